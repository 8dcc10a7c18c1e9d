/** How long requests of one caller are counted together. */
export const WINDOW_MS = 60_000

/** The requests of one caller in the minute that it is now, by the clock on the wall. */
export interface Requests {
  /** How many there may be. */
  readonly limit: number
  /** How many there were, this one included. */
  readonly count: number
  /** When counting begins anew; ms since the epoch. */
  readonly resetMs: number
}
