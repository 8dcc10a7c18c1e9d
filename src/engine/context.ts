import type { HttpClient } from '../atproto/http.js'
import type { Identities } from '../atproto/identity.js'
import type { Config } from '../config.js'
import type { Tell } from '../events.js'
import type { Metrics } from '../metrics.js'
import type { CollectionIds } from '../store/collections.js'
import type { Db } from '../store/database.js'
import type { JobNotices } from '../store/notices.js'
import type { DatabaseClock } from './database-clock.js'
import type { Dispatch } from './dispatch.js'
import type { Engagements } from './engagements.js'
import type { Gate } from './gate.js'
import type { LargeRepos } from './large-repos.js'
import type { Relays } from './relays.js'
import type { RetryPolicy } from './retry.js'
import type { Standstill } from './standstill.js'
import type { Writer } from './writer.js'

/** What every part of the engine works with. */
export interface EngineContext {
  readonly config: Config
  readonly db: Db
  readonly http: HttpClient
  readonly writer: Writer
  readonly dispatch: Dispatch
  /** To be entered by whoever works on a job, for as long as it does. */
  readonly engagements: Engagements
  readonly notices: JobNotices
  /** To be told of whatever goes wrong with the database; asked by whoever begins something. */
  readonly standstill: Standstill
  /** The same for the files of whole repos; asked by whoever drives hosts. */
  readonly spool: Standstill
  readonly collections: CollectionIds
  readonly tell: Tell
  readonly metrics: Metrics
  /** The directory, as a host. */
  readonly directoryHost: number
  /** Sets the pace at the directory for everybody: the resolver, drivers that look for a repo, requests. */
  readonly directoryGate: Gate
  readonly relays: Relays
  readonly largeRepos: LargeRepos
  readonly now: () => number
  /** For moments that hold back other processes too. */
  readonly clock: DatabaseClock
  readonly random: () => number
  readonly sweepEveryMs: number
  readonly houseEveryMs: number
  /** How long a host is parked for the first time. */
  readonly parkMs: number
  /** How long the firehose of a relay may be silent before it counts as quiet. */
  readonly quietMs: number
  /** How long a page of a host's revs may take, and repos wait for these. */
  readonly revsMs: number
  /** Between two times that this process says it is alive. */
  readonly aliveEveryMs: number
  readonly retry: { readonly repo: RetryPolicy; readonly listing: RetryPolicy }
  /** Looks up accounts, each request after `pace`: in its turn at the directory. */
  readonly identitiesPaced: (pace: () => Promise<void>) => Identities
}
