import { type HeaderReader, resetMoment } from '../atproto/cooldown.js'

/** What a host says of its limit. Times are ms since epoch. */
export interface Advertised {
  readonly limit: number
  /** Null where only the end of the window is told. */
  readonly windowMs: number | null
  /** What is left of the limit until then; null where it is not told. */
  readonly left: { readonly requests: number; readonly resetAt: number } | null
}

/** Beyond any limit there is; more is a mistake or a lie. */
const LIMIT_MAX = 100_000_000

/** The longest window a host may count in. */
const WINDOW_MS_MAX = 24 * 3_600_000

/** How far a host's clock may be off, with the second it rounds by. */
const SKEW_MS = 5_000

/**
 * Reads the `ratelimit-*` headers as PDSs send them: `-limit`, `-remaining`, `-reset` (unix time, or seconds from
 * now where the number is small) and `-policy` ("3000;w=300").
 * @returns null where nothing is said; `nonsense` where what is said cannot be true, or contradicts itself
 */
export function readAdvertised(header: HeaderReader, now: number): Advertised | 'nonsense' | null {
  const policies = policiesOf(header('ratelimit-policy'))
  const limit = numberOf(header('ratelimit-limit'))
  const remaining = numberOf(header('ratelimit-remaining'))
  const reset = numberOf(header('ratelimit-reset'))
  if (policies === null && limit === null && remaining === null) return null
  if (policies === 'nonsense' || limit === 'nonsense') return 'nonsense'
  if (remaining === 'nonsense' || reset === 'nonsense') return 'nonsense'
  // Of several policies the one the other headers are about, or else the strictest.
  const policy = policies?.find((each) => each.limit === limit) ?? policies?.[0] ?? null
  const most = limit ?? policy?.limit ?? null
  if (most === null || most < 1 || most > LIMIT_MAX || (remaining ?? 0) > most) return 'nonsense'
  const resetAt = reset === null ? null : resetMoment(reset, now)
  if (resetAt !== null) {
    if (resetAt < now - SKEW_MS) return 'nonsense'
    if (resetAt > now + (policy?.windowMs ?? WINDOW_MS_MAX) + SKEW_MS) return 'nonsense'
  }
  if (policy === null && resetAt === null) return null
  const left = remaining === null || resetAt === null ? null : { requests: remaining, resetAt }
  return { limit: most, windowMs: policy?.windowMs ?? null, left }
}

type Policy = { readonly limit: number; readonly windowMs: number }

/** The policies of a list, the strictest first. */
function policiesOf(text: string | undefined): Policy[] | 'nonsense' | null {
  if (text === undefined) return null
  const policies: Policy[] = []
  for (const item of text.split(',')) {
    const [, limit, seconds] = /^\s*(\d{1,12})\s*;(?:.*;)?\s*w=(\d{1,9})\s*(?:;|$)/.exec(item) ?? []
    const windowMs = Number(seconds) * 1_000
    if (!(Number(limit) >= 1 && windowMs >= 1_000 && windowMs <= WINDOW_MS_MAX)) return 'nonsense'
    policies.push({ limit: Number(limit), windowMs })
  }
  return policies.sort((a, b) => a.limit / a.windowMs - b.limit / b.windowMs)
}

function numberOf(text: string | undefined): number | 'nonsense' | null {
  if (text === undefined) return null
  return /^\s*\d{1,12}\s*$/.test(text) ? Number(text) : 'nonsense'
}
