import { isValidRecordKey } from '@atproto/syntax'
import { cidOfJson, isCid, textOfJson } from '../atproto/content.js'
import { Failure } from '../atproto/outcome.js'
import { type ListedRecord, listRecords, type Query } from '../atproto/pds.js'
import type { ListProgress, Wish } from './list-records.js'
import type { CheckedRecord } from './reading.js'

/** One page of a listing: asked for, and checked as far as it can be without a signature. */

/** Records asked for at once: the most a PDS gives, and fewer where a page of them is too large. */
export const PAGE_RECORDS_MAX = 100
const PAGE_SIZES = [PAGE_RECORDS_MAX, 10, 1]

/** Empty pages in a row that a listing may hold before it counts as a loop. */
const EMPTY_PAGES_MAX = 20

/** The most records of one repo: what is beyond is not an account any more, but a trap. */
const RECORDS_MAX = 20_000_000

/** The longest JSON text of a record, in UTF-16 units: a record has at most a mebibyte of CBOR. */
const RECORD_LENGTH_MAX = 2 * 1024 * 1024

export interface CheckedPage {
  readonly records: readonly CheckedRecord[]
  /** Those whose values do not have their CIDs: only where that is good enough. */
  readonly unproven: readonly CheckedRecord[]
  readonly progress: ListProgress
}

/** Reads and checks the next page of the collection the reading is at. */
export async function readPage(query: Query, wish: Wish, progress: ListProgress): Promise<CheckedPage> {
  const collection = progress.collections[progress.at]!
  const { page, pageRecords } = await fetchPage(query, wish.did, collection, progress)
  const checked = checkPage(wish, collection, progress, page.records)
  const emptyPages = page.records.length === 0 ? progress.emptyPages + 1 : 0
  if (page.cursor !== null && (page.cursor === progress.cursor || emptyPages > EMPTY_PAGES_MAX)) {
    throw new Failure(
      'cursor-loop',
      `${collection}: the listing does not get past cursor ${page.cursor.slice(0, 60)}`,
    )
  }
  const records = progress.records + page.records.length
  if (records > RECORDS_MAX)
    throw new Failure('body-too-large', `the repo has more than ${RECORDS_MAX} records`)
  const next: ListProgress = {
    ...progress,
    ...checked.order,
    pageRecords,
    emptyPages,
    pages: progress.pages + (page.records.length > 0 ? 1 : 0),
    counts: { ...progress.counts, [collection]: progress.counts[collection]! + page.records.length },
    records,
    level: checked.unproven.length > 0 ? 'none' : progress.level,
  }
  const { unproven } = checked
  if (page.cursor !== null)
    return { records: checked.records, unproven, progress: { ...next, cursor: page.cursor } }
  const { cursor: _, lastRkey: __, direction: ___, ...atEnd } = next
  return { records: checked.records, unproven, progress: { ...atEnd, at: progress.at + 1, emptyPages: 0 } }
}

/** A page of the size that worked so far, or a smaller one where that is too large. */
async function fetchPage(query: Query, did: string, collection: string, progress: ListProgress) {
  for (const pageRecords of PAGE_SIZES) {
    if (pageRecords > progress.pageRecords) continue
    try {
      const page = await listRecords(query, {
        repo: did,
        collection,
        limit: pageRecords,
        cursor: progress.cursor,
      })
      return { page, pageRecords }
    } catch (error) {
      const smaller = error instanceof Failure && error.failure === 'body-too-large' && pageRecords > 1
      if (!smaller) throw error
    }
  }
  throw new Failure('body-too-large', `${collection}: a single record exceeds the size of a page`)
}

/** Checks what can be checked without a signature. */
function checkPage(wish: Wish, collection: string, progress: ListProgress, listed: readonly ListedRecord[]) {
  const prefix = `at://${wish.did}/${collection}/`
  let { lastRkey, direction } = progress
  const records: CheckedRecord[] = []
  const unproven: CheckedRecord[] = []
  for (const [index, { uri, cid, value }] of listed.entries()) {
    const rkey = uri.slice(prefix.length)
    if (!uri.startsWith(prefix) || !isValidRecordKey(rkey)) {
      throw new Failure('bad-response', `${uri.slice(0, 200)} does not belong to ${wish.did} ${collection}`)
    }
    if (lastRkey !== undefined) {
      direction ??= rkey > lastRkey ? 1 : -1
      const goesOn = direction === 1 ? rkey > lastRkey : rkey < lastRkey
      if (!goesOn) {
        const failure = index === 0 ? 'cursor-loop' : 'bad-response'
        throw new Failure(failure, `${collection}: key ${rkey} comes after ${lastRkey}, out of order`)
      }
    }
    lastRkey = rkey
    const json = textOfJson(value)
    if (json === null) throw new Failure('bad-response', `${uri}: the value is nested too deeply`)
    if (json.length > RECORD_LENGTH_MAX) {
      throw new Failure('body-too-large', `${uri}: a record of ${json.length} characters`)
    }
    const record = { collection, rkey, cid, value: json }
    if (cidOfJson(value) === cid) {
      records.push(record)
    } else {
      if (!isCid(cid))
        throw new Failure('bad-response', `${uri}: ${JSON.stringify(cid.slice(0, 80))} is not a CID`)
      if (wish.level !== 'none')
        throw new Failure('cid-mismatch', `${uri}: the value does not have the CID ${cid}`)
      unproven.push(record)
    }
  }
  const order = lastRkey === undefined ? {} : direction === undefined ? { lastRkey } : { lastRkey, direction }
  return { records, unproven, order }
}
