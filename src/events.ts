import { type Logger, destination as openDestination, pino, stdTimeFunctions } from 'pino'
import type { LogLevel } from './config.js'
import type { JobStatus } from './verdict.js'

export type { Logger }

/**
 * Everything the service tells its operator, by name. One line per thing worth telling; the names are stable,
 * so that they can be searched and counted.
 */
export type EventName =
  | 'service.listening'
  | 'service.stopping'
  | 'service.stopped'
  | 'service.failed'
  | 'database.embedded'
  | 'database.connection-lost'
  | 'request.finished'
  | 'request.failed'
  | 'auth.directory-unreachable'
  | 'caller.put'
  | 'caller.deleted'
  | 'job.created'
  | `job.${JobStatus}`
  | 'job.retried'
  | 'job.details-deleted'
  | 'job.purging'
  | 'job.purged'
  | 'job.manifest-made'
  | 'engine.started'
  | 'engine.stopped'
  | 'engine.halted'
  | 'engine.resumed'
  | 'engine.sweep-failed'
  | 'engine.task-failed'
  | 'dispatch.warning'
  | 'discovery.page'
  | 'discovery.deferred'
  | 'discovery.failed'
  | 'discovery.start-cursor'
  | 'discovery.no-start-cursor'
  | 'host.claimed'
  | 'host.released'
  | 'host.cooling'
  | 'host.parked'
  | 'host.given-up'
  | 'host.claim-lost'
  | 'repo.completed'
  | 'repo.deferred'
  | 'repo.fallback'
  | 'repo.failed'
  | 'repo.moved'
  | 'repo.unavailable'

/** How loud each event is; the ones not named here are `info`. */
const LEVELS: Partial<Record<EventName, 'debug' | 'warn' | 'error' | 'fatal'>> = {
  'service.failed': 'fatal',
  'database.connection-lost': 'error',
  'request.finished': 'debug',
  'request.failed': 'error',
  'auth.directory-unreachable': 'warn',
  'job.failed': 'warn',
  'engine.sweep-failed': 'error',
  'engine.halted': 'error',
  'engine.resumed': 'warn',
  'engine.task-failed': 'error',
  'dispatch.warning': 'warn',
  'discovery.page': 'debug',
  'discovery.deferred': 'warn',
  'discovery.failed': 'warn',
  'discovery.start-cursor': 'debug',
  'discovery.no-start-cursor': 'warn',
  'host.claimed': 'debug',
  'host.released': 'debug',
  'host.cooling': 'warn',
  'host.parked': 'warn',
  'host.given-up': 'warn',
  'host.claim-lost': 'warn',
  'repo.completed': 'debug',
  'repo.deferred': 'debug',
  'repo.fallback': 'debug',
  'repo.failed': 'debug',
  'repo.moved': 'debug',
  'repo.unavailable': 'debug',
}

/** The events that may want an operator's attention. */
export const LOUD_EVENTS = Object.keys(LEVELS).filter(
  (name) => LEVELS[name as EventName] !== 'debug',
) as EventName[]

/** Tells the operator that something happened. `err` is printed with its stack, everything else as it is. */
export type Tell = (name: EventName, detail?: Record<string, unknown>) => void

export function createLogger(level: LogLevel, destination: 'stdout' | 'stderr' = 'stdout'): Logger {
  return pino(
    {
      level,
      base: null,
      formatters: { level: (label) => ({ level: label }) },
      timestamp: stdTimeFunctions.isoTime,
    },
    openDestination({ fd: destination === 'stdout' ? 1 : 2, sync: true }),
  )
}

/** @param happened told of every event, whether it is loud enough to be printed or not */
export function createTell(logger: Logger, happened: (name: EventName) => void = () => {}): Tell {
  return (name, detail = {}) => {
    happened(name)
    logger[LEVELS[name] ?? 'info']({ event: name, ...detail })
  }
}
