import { sql } from 'kysely'
import pg from 'pg'
import type { Db } from './database.js'
import { type CopiedRow, copyRows } from './delivery-copy.js'
import { PageWriter } from './delivery-page.js'
import { RECORDS_IN_RANGE } from './stored-ranges.js'

/** Reading records as the lines that they are handed over in. */

/** Records as JSON lines, `{"uri":…,"cid":…,"value":…}`; the values as they were stored, byte for byte. */
export interface Lines {
  readonly records: number
  readonly bytes: Buffer
  /** Records that are gone, where only changes are wanted. */
  readonly deleted?: readonly DeletedRecord[]
}

export interface DeletedRecord {
  readonly uri: string
  /** The rev at which it was found to be gone, if that is known. */
  readonly rev: string | null
}

/** The records of one collection of one repo: one stretch of the key that records are stored under. */
export interface Range {
  readonly head: string
  readonly repo: number
  readonly collection: string
  readonly collectionId: number
  /** The record key to go on after. */
  readonly after: string
  readonly limit: number
  /** Only what has changed since this rev; null for all there is. */
  readonly since: string | null
}

/** What of a range was read: nothing, where there was no room for it. */
export interface Stretch extends Lines {
  readonly last: string
  readonly ends: boolean
  /** What comes next in it is large and must be read in another way. */
  readonly isLarge: boolean
}

/** About how long a page is, unless another length is asked for; what is large is read in such portions. */
export const BYTES_MAX = 1024 * 1024

/**
 * Values up to this length are read together, whatever they add up to: that is bounded too, and to add up lengths
 * row by row costs as much as to read them. Larger ones are rare.
 */
const LARGE_BYTES = 8 * 1024

/** To make text of JSON in order to measure it costs more than to read it; what is not compressed needs none. */
const IS_LARGE = `case
  when pg_column_compression(value) is null then pg_column_size(value) > ${LARGE_BYTES}
  else octet_length(value::text) > ${LARGE_BYTES}
end`

/** The first record always fits, whatever is in it. */
const IS_BEHIND_PAGE = `
  sum(coalesce(octet_length(value::text), 0)) over (order by rkey rows between unbounded preceding and 1 preceding)
    >= ${BYTES_MAX}`

/**
 * The records of ranges, range by range, with the range's number below zero and no value for those that are not to
 * be read in this way.
 */
function queryOf(ranges: readonly Range[], isCut: string): string {
  const column = (type: string, pick: (range: Range) => string | number) =>
    `array[${ranges.map(pick).join()}]::${type}[]`
  return `
    select (case when is_cut then -n else n end)::int, rkey, cid, case when is_cut then null else value end,
      case when cid is null then rev end
    from unnest(
      ${column('bigint', ({ repo }) => repo)}, ${column('int', ({ collectionId }) => collectionId)},
      ${column('text', ({ after }) => pg.escapeLiteral(after))}, ${column('int', ({ limit }) => limit)},
      ${column('text', ({ since }) => (since === null ? 'null' : pg.escapeLiteral(since)))}
    ) with ordinality as range (repo, collection, after, most, since, n)
    cross join lateral (
      select rkey, cid, rev, value, ${isCut} as is_cut from (
        select rkey, cid, rev, value ${RECORDS_IN_RANGE}
        limit range.most
      ) record
    ) record
    order by range.n`
}

/**
 * Reads ranges in their order, and ends the transaction. Behind a range that is not read to its end nothing counts.
 * @param isLarge whether the first one has large values
 * @param bytes about how long all of them are
 */
export async function readStretches(
  db: Db,
  ranges: readonly Range[],
  isLarge: boolean,
  bytes: number,
): Promise<Stretch[]> {
  if (ranges.length === 0) {
    await sql`commit`.execute(db)
    return []
  }
  if (!isLarge) return read(db, ranges, IS_LARGE, bytes)
  const [first] = await read(db, ranges.slice(0, 1), IS_BEHIND_PAGE, BYTES_MAX)
  return [first!, ...ranges.slice(1).map(() => UNREAD)]
}

const UNREAD: Stretch = { records: 0, bytes: Buffer.alloc(0), last: '', ends: false, isLarge: false }

/** Where the fields of a row are. */
const PLACE = 0
const RKEY = 1
const CID = 2
const VALUE = 3
const REV = 4

async function read(db: Db, ranges: readonly Range[], isCut: string, bytes: number): Promise<Stretch[]> {
  const page = new PageWriter(bytes)
  const readings = ranges.map((range) => new Reading(range, page))
  let isOver = false
  const take = (row: CopiedRow) => {
    const place = row.bytes.readInt32BE(row.starts[PLACE])
    isOver ||= place < 0
    const reading = readings[Math.abs(place) - 1]!
    if (!isOver) reading.add(row)
    else if (place < 0) reading.isCut = true
  }
  await copyRows(db, queryOf(ranges, isCut), take, { behind: 'commit' })
  const lines = page.finish()
  return readings.map((reading) => reading.stretch(lines))
}

/** What is read of a range. */
class Reading {
  isCut = false
  readonly #range: Range
  readonly #head: Buffer
  readonly #page: PageWriter
  readonly #deleted: DeletedRecord[] = []
  #records = 0
  #start = 0
  #end = 0
  /** Where the last line has its key. */
  #rkeyAt = 0
  #rkeyBytes = 0
  /** The last key, if it has no line. */
  #last: string | null = null

  constructor(range: Range, page: PageWriter) {
    this.#range = range
    this.#head = Buffer.from(range.head)
    this.#page = page
  }

  add(row: CopiedRow): void {
    if (row.lengths[CID]! < 0) this.#addDeleted(row)
    else this.#addLine(row)
  }

  #addLine(row: CopiedRow): void {
    const start = this.#page.length
    if (this.#records === 0) this.#start = start
    this.#page.add(this.#head, row, RKEY, CID, VALUE)
    this.#records += 1
    this.#end = this.#page.length
    this.#rkeyAt = start + this.#head.length
    this.#rkeyBytes = row.lengths[RKEY]!
    this.#last = null
  }

  #addDeleted(row: CopiedRow): void {
    const rkey = textOf(row, RKEY)
    const rev = row.lengths[REV]! < 0 ? null : textOf(row, REV)
    this.#deleted.push({ uri: `${this.#range.head.slice(HEAD.length)}${rkey}`, rev })
    this.#last = rkey
  }

  stretch(page: Buffer): Stretch {
    const found = this.#records + this.#deleted.length
    return {
      records: this.#records,
      bytes: page.subarray(this.#start, this.#end),
      last: this.#last ?? page.toString('utf8', this.#rkeyAt, this.#rkeyAt + this.#rkeyBytes),
      ...(this.#deleted.length > 0 && { deleted: this.#deleted }),
      ends: !this.isCut && found < this.#range.limit,
      isLarge: this.isCut,
    }
  }
}

/** How a line begins. */
const HEAD = '{"uri":"'

function textOf({ bytes, starts, lengths }: CopiedRow, field: number): string {
  return bytes.toString('utf8', starts[field], starts[field]! + lengths[field]!)
}
