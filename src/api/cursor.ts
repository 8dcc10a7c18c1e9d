import { isValidDid, isValidNsid, isValidRecordKey, isValidTid } from '@atproto/syntax'
import { RequestError } from '../errors.js'
import type { ChangePosition } from '../store/record-changes.js'
import type { RecordPosition } from '../store/records.js'

/**
 * Page cursors: where the last row stood in its order, so that rows which come or go do not move a page. They
 * are opaque to callers and checked on the way in.
 */

/** `listJobs`: the id of the last job. */
export function readJobCursor(cursor: string | undefined): string | null {
  if (cursor === undefined) return null
  return isValidTid(cursor) ? cursor : refuse()
}

/** `listJobRepos` and `listCallers`: the last DID. */
export function readDidCursor(cursor: string | undefined): string {
  if (cursor === undefined) return ''
  return isValidDid(cursor) ? cursor : refuse()
}

/** `listRecords`: the place of the last record. */
export function writeRecordCursor(position: RecordPosition): string {
  return `${position.seq}/${position.collection}/${position.rkey}`
}

export function readRecordCursor(cursor: string | undefined): RecordPosition | null {
  if (cursor === undefined) return null
  const [, seq, collection, rkey] = /^(\d{1,15})\/([^/]+)\/([^/]+)$/.exec(cursor) ?? refuse()
  if (!isValidNsid(collection!) || !isValidRecordKey(rkey!)) refuse()
  return { seq: Number(seq), collection: collection!, rkey: rkey! }
}

/** `listRecords` with `changes`: the last repo that was closed, or the one that is open, with its last record. */
export function writeChangeCursor({ seq, open }: ChangePosition): string {
  return open ? `${seq}/${open.collection}/${open.rkey}/${open.version}` : String(seq)
}

export function readChangeCursor(cursor: string | undefined): ChangePosition {
  if (cursor === undefined) return { seq: 0, open: null }
  const [, seq, record, version] = /^(\d{1,15})(?:(\/.+)\/([0-9a-f]{32}))?$/.exec(cursor) ?? refuse()
  if (record === undefined) return { seq: Number(seq), open: null }
  const { collection, rkey } = readRecordCursor(`${seq}${record}`) ?? refuse()
  return { seq: Number(seq), open: { collection, rkey, version: version! } }
}

function refuse(): never {
  throw new RequestError('InvalidRequest', 'cursor is not one that this method gave out')
}
