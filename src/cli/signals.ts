/**
 * Turns SIGINT and SIGTERM into an abort; a second one ends the process at once.
 * @returns the signal, and a function that gives the signals back to Node's own handling
 */
export function untilInterrupted(): { signal: AbortSignal; restore: () => void } {
  const controller = new AbortController()
  const onSignal = () => {
    if (controller.signal.aborted) process.exit(130)
    controller.abort()
  }
  process.on('SIGINT', onSignal)
  process.on('SIGTERM', onSignal)
  const restore = () => {
    process.off('SIGINT', onSignal)
    process.off('SIGTERM', onSignal)
  }
  return { signal: controller.signal, restore }
}

/** Waits for the abort. */
export function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve()
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }))
}
