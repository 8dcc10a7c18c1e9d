import type { Identities } from '../atproto/identity.js'
import type { Config } from '../config.js'
import type { Tell } from '../events.js'
import type { Db } from '../store/database.js'

/** What the use cases work with. */
export interface JobsContext {
  readonly config: Config
  readonly db: Db
  readonly identities: Identities
  readonly tell: Tell
  readonly now: () => number
}

/** Whoever asks, and whether it may see everybody's jobs. */
export interface Asker {
  readonly did: string
  readonly admin: boolean
}
