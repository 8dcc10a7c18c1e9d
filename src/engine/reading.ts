import type { Level, Method } from '../verdict.js'
import type { ListProgress } from './list-records.js'

/** What every method of reading a repo gives out, and what is kept of a reading that goes on later. */

export interface CheckedRecord {
  readonly collection: string
  readonly rkey: string
  readonly cid: string
  /** JSON text; null for a record that the signed tree names, but whose bytes are not valid atproto data. */
  readonly value: string | null
}

/** What has been read of a repo so far, whichever method reads it. */
export interface ReadSoFar {
  /** The collections read, or known to be there so far. */
  readonly collections: readonly string[]
  /** The rev all this belongs to; null where one answer held it all and named none. */
  readonly rev: string | null
  /** Records of each collection. */
  readonly counts: Readonly<Record<string, number>>
  readonly records: number
  /** What the least proven record has reached. */
  readonly level: Level
  /** How often the repo changed under the reading. */
  readonly restarts: number
  /** Rows of an older state may be stored, so it must be known at the end which keys the reading found. */
  readonly replaces: boolean
  /**
   * Which reading of the repo this is: ms since epoch when it began, later with each restart. The keys found
   * are kept under it. Absent in what older versions wrote.
   */
  readonly reading?: number
}

/** A record that the signed tree names, but whose bytes are not valid atproto data. */
export type Unreadable = Omit<CheckedRecord, 'value'>

/** Of a reading at one signed commit. It cannot be gone on with: whoever takes the repo up starts over. */
export interface SnapshotProgress extends ReadSoFar {
  readonly method: 'get-repo' | 'sparse'
  readonly rev: string
  /** The root of the tree. */
  readonly dataCid: string
  readonly unreadable: number
  /** The first hundred of them. */
  readonly unreadableFirst: readonly Unreadable[]
}

/** Where a reading stands; kept with the repo. */
export type Progress = ListProgress | SnapshotProgress

/** A part of a repo's record set: to be made durable before the next one. */
export interface Reading<Of extends Progress = Progress> {
  /** `page`: more follows. `restarted`: what was read so far does not count. `complete`: this was all. */
  readonly kind: 'page' | 'restarted' | 'complete'
  readonly records: readonly CheckedRecord[]
  readonly progress: Of
  /** What these records have reached, where others of the reading have reached less. */
  readonly level?: Level
}

/** The method that a progress is of. */
export function methodOf(progress: Progress): Method {
  return 'method' in progress ? progress.method : 'list-records'
}

/** The longest list of unreadable records that a receipt carries. */
export const UNREADABLE_NAMED_MAX = 100

/** Later than the one before also where clocks differ or are set back: their keys must not be mixed up. */
export function nextReading(now: () => number, before: ReadSoFar | null): number {
  return Math.max(now(), (before?.reading ?? 0) + 1)
}
