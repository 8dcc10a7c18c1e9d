/** A task makes room for others after this long; it asks for its next turn then. */
export const TURN_MS = 60_000

/** A pause up to this long is waited out in place. For a longer one no more work is taken up. */
export const SHORT_PAUSE_MS = 2_000
