import type {
  Info,
  JobCompleted,
  Records,
  RecordsDeleted,
  RepoComplete,
  RepoFailed,
  RepoUnavailable,
} from '../../codegen/client/types/network/example/backfill/subscribeRecords.js'
import type { Named } from './job-messages.js'

/** How a job ended. */
export type JobEnd = Named<'jobCompleted', JobCompleted>

/** What `subscribeRecords` hands over. The `seq` of a message that closes a repo is what `cursor` takes. */
export type RecordMessage =
  | Named<'records', Records>
  | Named<'recordsDeleted', RecordsDeleted>
  | Named<'repoComplete', RepoComplete>
  | Named<'repoUnavailable', RepoUnavailable>
  | Named<'repoFailed', RepoFailed>
  | JobEnd
  | Named<'info', Info>

/** Where to go on after a message: behind a repo that it closes. Pure. */
export function cursorOf(message: RecordMessage): number | undefined {
  const closes = ['repoComplete', 'repoUnavailable', 'repoFailed'].includes(message.type)
  return closes && 'seq' in message ? message.seq : undefined
}

/**
 * Whether the body of a `records` message has what it must. Looked at by hand, because there are very many of them:
 * to check them by the lexicon takes longer than to read them. Pure.
 */
export function holdsRecords(body: Readonly<Record<string, unknown>>): boolean {
  const { seq, part, did, level, rev, records } = body
  const isHeaded = typeof did === 'string' && typeof level === 'string'
  const hasRev = rev === undefined || typeof rev === 'string'
  const isPlaced = Number.isInteger(seq) && Number.isInteger(part)
  return isHeaded && hasRev && isPlaced && Array.isArray(records) && records.every(isRecord)
}

function isRecord(record: unknown): boolean {
  if (typeof record !== 'object' || record === null) return false
  return (
    'uri' in record && typeof record.uri === 'string' && 'cid' in record && typeof record.cid === 'string'
  )
}
