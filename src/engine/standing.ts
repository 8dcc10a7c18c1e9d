/** How a host has behaved lately; kept with it, so that it outlasts its drivers. */
export interface Standing {
  /** Requests in a row without an answer, or answered with 5xx. */
  readonly failures: number
  /** Left alone but for a probe from time to time. */
  readonly parked: boolean
  /** How often in a row it was parked without a good answer between. */
  readonly parkings: number
  /** Refusals in a row, and how many of them did not say until when. */
  readonly refusals: number
  readonly unstated: number
}

export const GOOD: Standing = { failures: 0, parked: false, parkings: 0, refusals: 0, unstated: 0 }

/** Failures in a row, for whichever repos, after which a host is parked. */
export const FAILURES_MAX = 5

/** For the first time. */
export const PARKED_MS = 60_000
const PARKED_MS_MAX = 3_600_000

/** A request failed: no answer, or 5xx. */
export function withFailure(standing: Standing): Standing {
  const failures = standing.failures + 1
  const parks = !standing.parked && failures >= FAILURES_MAX
  return { ...standing, failures, ...(parks && { parked: true, parkings: standing.parkings + 1 }) }
}

/** The probe of a parked host came to nothing. */
export function withVainProbe(standing: Standing): Standing {
  return { ...standing, parked: true, parkings: standing.parkings + 1 }
}

/**
 * The probe was answered: the host is asked again. What it is asked for in earnest may still fail, so that how
 * often it was parked is not forgotten.
 */
export function withAnsweredProbe(standing: Standing): Standing {
  return { ...standing, failures: 0, parked: false }
}

/** It refused a request. @param stated whether it said until when */
export function withRefusal(standing: Standing, stated: boolean): Standing {
  const { refusals, unstated } = standing
  // An answer, though not the one that was wanted: somebody is there.
  const counted = { refusals: refusals + 1, unstated: stated ? unstated : unstated + 1 }
  return { ...standing, ...counted, failures: 0, parked: false }
}

/** Whether its last word was a good answer. */
export function isGood(standing: Standing): boolean {
  return standing === GOOD || Object.values(standing).every((value) => !value)
}

/**
 * How long it is left alone: doubling from a minute to an hour, with up to a tenth of chance.
 * @param parkings at least 1
 * @param random from 0 to 1
 * @param firstMs for the first time
 */
export function parkedMs(parkings: number, random: number, firstMs = PARKED_MS): number {
  return Math.min(firstMs * 2 ** (parkings - 1), PARKED_MS_MAX) * (1 + random / 10)
}
