import { collectDefaultMetrics, Registry } from 'prom-client'

let registry: Registry | null = null

/**
 * What there is to measure of the process itself: memory, processor, garbage collection, delay of the event loop.
 * Once for each process, however many services run in it: what watches for it is never taken down again.
 */
export function processMetrics(): Registry {
  if (registry === null) {
    registry = new Registry()
    collectDefaultMetrics({ register: registry })
  }
  return registry
}
