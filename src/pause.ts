import { setTimeout as sleep } from 'node:timers/promises'

/**
 * Waits, unless the signal says not to any more.
 * @param options `ref: false`: the wait keeps no process from ending
 * @returns whether the time has passed without that
 */
export function pause(
  milliseconds: number,
  signal?: AbortSignal,
  { ref = true }: { ref?: boolean } = {},
): Promise<boolean> {
  return sleep(milliseconds, true, { ...(signal && { signal }), ref }).catch(() => false)
}
