import { EXIT } from './exit.js'

/**
 * Turns SIGINT, SIGTERM and SIGHUP into an abort; a second one ends the process at once.
 * @returns the signal, and a function that gives the signals back to Node's own handling
 */
export function untilInterrupted(): { signal: AbortSignal; restore: () => void } {
  const controller = new AbortController()
  const onSignal = () => {
    if (controller.signal.aborted) process.exit(EXIT.interrupted)
    controller.abort()
  }
  for (const name of SIGNALS) process.on(name, onSignal)
  const restore = () => {
    for (const name of SIGNALS) process.off(name, onSignal)
  }
  return { signal: controller.signal, restore }
}

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

/** Waits for the abort. */
export function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve()
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }))
}
