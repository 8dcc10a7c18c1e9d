import type { Identities } from '../atproto/identity.js'
import type { Config } from '../config.js'
import type { Tell } from '../events.js'
import type { Db } from '../store/database.js'
import type { JobNotices } from '../store/notices.js'

/** What the use cases work with. */
export interface JobsContext {
  readonly config: Config
  readonly db: Db
  readonly identities: Identities
  readonly tell: Tell
  readonly now: () => number
  readonly notices: JobNotices
}

/** Whoever asks, and whose jobs it may see. */
export interface Asker {
  readonly did: string
  /** May see and steer everybody's jobs. */
  readonly admin: boolean
  /** Others whose jobs it may see, and no more than that. */
  readonly jobsOf: readonly string[]
}
