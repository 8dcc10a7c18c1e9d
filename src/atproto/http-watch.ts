import { HttpFailure } from './http-failure.js'

/** How a request can end, for whoever counts: `refused` is a 429, `host-error` a 5xx but 501, `dropped` our own end. */
export type ExchangeOutcome = 'answered' | 'refused' | 'host-error' | 'dropped' | HttpFailure['failure']

/** A request that has come to its end. */
export interface Exchanged {
  readonly url: URL
  readonly outcome: ExchangeOutcome
}

/** Not Implemented: somebody is there and says so. */
const NOT_IMPLEMENTED = 501

/** Gives what a request gives, and tells how it ended. */
export async function watched<T>(
  url: URL,
  request: () => Promise<T>,
  statusOf: (result: T) => number,
  tell: ((exchanged: Exchanged) => void) | undefined,
): Promise<T> {
  try {
    const result = await request()
    tell?.({ url, outcome: outcomeOf(statusOf(result)) })
    return result
  } catch (error) {
    tell?.({ url, outcome: error instanceof HttpFailure ? error.failure : 'dropped' })
    throw error
  }
}

function outcomeOf(status: number): ExchangeOutcome {
  if (status === 429) return 'refused'
  return status >= 500 && status !== NOT_IMPLEMENTED ? 'host-error' : 'answered'
}
