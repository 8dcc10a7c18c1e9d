import type { Db } from './database.js'
import { listRecords, type RecordPosition, type RecordQuery, type StoredRecord } from './records.js'

/** The most a page of records holds, as JSON text; a single larger record is a page of its own. */
const PAGE_BYTES_MAX = 8 * 1024 * 1024

/** Records read before anything is known of their size: each may be a megabyte or more. */
const RECORDS_AT_FIRST = 50

export interface RecordPage {
  readonly rows: readonly StoredRecord[]
  readonly more: boolean
}

/**
 * A page of what a job has fetched, as `listRecords` gives it, cut where it gets too large: what is read at once
 * follows the size of the records seen, so memory stays bounded whatever a stranger stored.
 * @param after null to start
 */
export async function readRecordPage(
  db: Db,
  query: RecordQuery,
  after: RecordPosition | null,
): Promise<RecordPage> {
  const rows: StoredRecord[] = []
  let bytes = 0
  let asked = RECORDS_AT_FIRST
  for (;;) {
    // One more than fits, which says whether another page follows.
    const limit = Math.min(asked, query.limit + 1 - rows.length)
    const records = await listRecords(db, { ...query, limit }, rows.at(-1) ?? after)
    for (const record of records) {
      const size = record.value === null ? 0 : Buffer.byteLength(record.value)
      const isFull = rows.length === query.limit || (rows.length > 0 && bytes + size > PAGE_BYTES_MAX)
      if (isFull) return { rows, more: true }
      rows.push(record)
      bytes += size
    }
    if (records.length < limit) return { rows, more: false }
    asked = Math.ceil((PAGE_BYTES_MAX - bytes) / (bytes / rows.length + 1)) + 1
  }
}
