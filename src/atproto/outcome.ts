import type { FailureClass, UnavailableReason } from '../verdict.js'

/**
 * The ways reading from a host can end short of a result. They are thrown by whatever speaks to a host and
 * turned into rows in one place.
 */

/** It failed, and this is why. */
export class Failure extends Error {
  override readonly name = 'Failure'
  constructor(
    readonly failure: FailureClass,
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options)
  }
}

/** The account itself is not to be had: an answer, not a failure. */
export class Unavailable extends Error {
  override readonly name = 'Unavailable'
  constructor(readonly reason: UnavailableReason) {
    super(`the account is ${reason}`)
  }
}

/** The host asked to wait. Costs nobody an attempt. */
export class RateLimited extends Error {
  override readonly name = 'RateLimited'
  constructor(readonly until: Date) {
    super(`asked to wait until ${until.toISOString()}`)
  }
}
