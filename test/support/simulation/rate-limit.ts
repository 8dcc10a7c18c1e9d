/** What a host says of its limit with every answer. */
export type Announcement =
  /** `ratelimit-limit`, `-remaining`, `-reset` and `-policy`, as they are. */
  | 'honest'
  /** The same, with the reset rounded down to the second, as the reference PDS has it. */
  | 'early'
  /** Nothing. */
  | 'none'
  /** Twice the limit there is, none of it used. */
  | 'lying'

/** What a refusal looks like. */
export type Refusal =
  /** With `retry-after` as seconds, as the reference PDS has it. */
  | 'seconds'
  /** With `retry-after` as a date. */
  | 'date'
  /** With the `ratelimit-*` headers only. */
  | 'reset'
  /** A page for humans, with `retry-after`. */
  | 'html'
  /** A page for humans and no header at all. */
  | 'bare'

export interface RateLimit {
  /** Requests in a window, which begins with the first of them. */
  readonly points: number
  readonly windowMs: number
  /** `getRepo` has a window of its own with so many. Without, it counts with the others. */
  readonly repoPoints?: number
  readonly announces: Announcement
  readonly refuses: Refusal
}

type Headers = Record<string, string>

export interface Taken {
  readonly allowed: boolean
  readonly headers: Headers
  /** ms since epoch. */
  readonly resetAt: number
}

/** A window that begins with the first request after the last one. */
export class RateWindow {
  readonly #limit: RateLimit
  readonly #points: number
  #resetAt = 0
  #used = 0
  #mostUsed = 0

  constructor(limit: RateLimit, points = limit.points) {
    this.#limit = limit
    this.#points = points
  }

  /** The most requests that any window has seen, those refused included. */
  get mostUsed(): number {
    return this.#mostUsed
  }

  get points(): number {
    return this.#points
  }

  /** Counts a request. @param now ms since epoch */
  take(now: number): Taken {
    if (now >= this.#resetAt) {
      this.#resetAt = now + this.#limit.windowMs
      this.#used = 0
    }
    this.#used += 1
    this.#mostUsed = Math.max(this.#mostUsed, this.#used)
    const allowed = this.#used <= this.#points
    return { allowed, resetAt: this.#resetAt, headers: this.#headers() }
  }

  #headers(): Headers {
    const { announces, windowMs } = this.#limit
    const left = Math.max(0, this.#points - this.#used)
    const seconds = this.#resetAt / 1_000
    switch (announces) {
      case 'none':
        return {}
      case 'honest':
        return announced(this.#points, left, Math.ceil(seconds), windowMs)
      case 'early':
        return announced(this.#points, left, Math.floor(seconds), windowMs)
      case 'lying':
        return announced(2 * this.#points, 2 * this.#points, Math.ceil(seconds), windowMs)
    }
  }
}

function announced(limit: number, remaining: number, reset: number, windowMs: number): Headers {
  return {
    'ratelimit-limit': String(limit),
    'ratelimit-remaining': String(remaining),
    'ratelimit-reset': String(reset),
    'ratelimit-policy': `${limit};w=${Math.ceil(windowMs / 1_000)}`,
  }
}

/** A 429, and until when the client has been asked to wait by it; null: it says nothing of that. */
export interface RefusalAnswer {
  readonly headers: Headers
  readonly body: string
  readonly until: number | null
}

const TOO_MANY = JSON.stringify({ error: 'RateLimitExceeded', message: 'Rate Limit Exceeded' })
const PAGE = '<html><head><title>429 Too Many Requests</title></head><body>Slow down.</body></html>'

/**
 * @param announcement headers that every answer of the host has
 * @param resetAt ms since epoch
 */
export function refusalOf(
  refuses: Refusal,
  announcement: Headers,
  resetAt: number,
  now: number,
): RefusalAnswer {
  const json = { ...announcement, 'content-type': 'application/json' }
  const seconds = Math.max(1, Math.ceil((resetAt - now) / 1_000))
  const second = Math.ceil(resetAt / 1_000)
  switch (refuses) {
    case 'seconds':
      return { headers: { ...json, 'retry-after': String(seconds) }, body: TOO_MANY, until: resetAt }
    case 'date': {
      const date = new Date(second * 1_000).toUTCString()
      return { headers: { ...json, 'retry-after': date }, body: TOO_MANY, until: resetAt }
    }
    case 'reset':
      return { headers: { ...json, 'ratelimit-reset': String(second) }, body: TOO_MANY, until: resetAt }
    case 'html': {
      const headers = { ...announcement, 'content-type': 'text/html', 'retry-after': String(seconds) }
      return { headers, body: PAGE, until: resetAt }
    }
    case 'bare':
      return { headers: { 'content-type': 'text/html' }, body: PAGE, until: null }
  }
}
