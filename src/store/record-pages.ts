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
 * A page of what a job has fetched, as `listRecords` gives it, cut where it gets too large.
 * @param after null to start
 */
export async function readRecordPage(
  db: Db,
  query: RecordQuery,
  after: RecordPosition | null,
): Promise<RecordPage> {
  const { rows, next } = await fillPage<StoredRecord>(query.limit, (limit, last) =>
    listRecords(db, { ...query, limit }, last ?? after),
  )
  return { rows, more: next !== null }
}

/**
 * As many rows as fit a page: what is read at once follows the size of the records seen, so memory stays bounded
 * whatever a stranger stored.
 * @param read gives the first rows after the one that it gave last; fewer than it may only at the end of all
 * @returns the rows, and the first one that did not fit
 */
export async function fillPage<Row extends { readonly value: string | null }>(
  most: number,
  read: (limit: number, last: Row | undefined) => Promise<readonly Row[]>,
): Promise<{ rows: Row[]; next: Row | null }> {
  const rows: Row[] = []
  let bytes = 0
  let asked = RECORDS_AT_FIRST
  for (;;) {
    // One more than fits, which says whether another page follows.
    const limit = Math.min(asked, most + 1 - rows.length)
    const found = await read(limit, rows.at(-1))
    for (const row of found) {
      const size = row.value === null ? 0 : Buffer.byteLength(row.value)
      const isFull = rows.length === most || (rows.length > 0 && bytes + size > PAGE_BYTES_MAX)
      if (isFull) return { rows, next: row }
      rows.push(row)
      bytes += size
    }
    if (found.length < limit) return { rows, next: null }
    asked = Math.ceil((PAGE_BYTES_MAX - bytes) / (bytes / rows.length + 1)) + 1
  }
}
