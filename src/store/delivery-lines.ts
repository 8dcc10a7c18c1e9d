import { sql } from 'kysely'
import pg from 'pg'
import type { Db } from './database.js'
import { type CopiedRow, type Copy, copyRows } from './delivery-copy.js'
import { END, type PageWriter } from './delivery-page.js'
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
 * So many records of a range at most are put together by the server, which then need not be taken one by one. It costs
 * the server what it saves here where they are many; and this bounds what it holds.
 */
const TOGETHER_MAX = 1_000

/** A `from` of ranges that have a number, `n`. */
function rangesOf(ranges: readonly NumberedRange[]): string {
  const column = (type: string, pick: (range: NumberedRange) => string | number) =>
    `array[${ranges.map(pick).join()}]::${type}[]`
  return `from unnest(
    ${column('int', ({ n }) => n)},
    ${column('bigint', ({ repo }) => repo)}, ${column('int', ({ collectionId }) => collectionId)},
    ${column('text', ({ after }) => pg.escapeLiteral(after))}, ${column('int', ({ limit }) => limit)},
    ${column('text', ({ since }) => (since === null ? 'null' : pg.escapeLiteral(since)))},
    ${column('bytea', ({ head }) => `'\\x${END.toString('hex')}${Buffer.from(head).toString('hex')}'`)}
  ) with ordinality as range (n, repo, collection, after, most, since, between, place)`
}

/** The records of each range together: their lines, but for the head of the first one and the end of the last. */
function togetherQuery(ranges: readonly NumberedRange[]): string {
  return `
    select n, found, has_large, lines ${rangesOf(ranges)}
    cross join lateral (
      select count(*)::int as found, bool_or(${IS_LARGE}) as has_large, string_agg(
        case when value is null then textsend(rkey || '","cid":"' || cid || '"')
          else textsend(rkey || '","cid":"' || cid || '","value":') || json_send(value) end,
        range.between
      ) as lines
      from (
        select rkey, cid, value ${RECORDS_IN_RANGE}
        limit range.most
      ) record
    ) record`
}

/** Where the fields of such a row are. */
const FOUND = 1
const HAS_LARGE = 2
const LINES = 3

/** The records of ranges one by one, with a number below zero and no value for those that are not to be read. */
function singlyQuery(ranges: readonly NumberedRange[], isCut: string): string {
  return `
    select case when is_cut then -n else n end, rkey, cid, case when is_cut then null else value end,
      case when cid is null then rev end
    ${rangesOf(ranges)}
    cross join lateral (
      select rkey, cid, rev, value, ${isCut} as is_cut from (
        select rkey, cid, rev, value ${RECORDS_IN_RANGE}
        limit range.most
      ) record
    ) record
    order by range.place`
}

/** Where the fields of such a row are. */
const RKEY = 1
const CID = 2
const VALUE = 3
const REV = 4

/** Where either has the number of its range. */
const NUMBER = 0

/**
 * Reads ranges in their order, and ends the transaction. Behind a range that is not read to its end nothing counts.
 * @param isLarge whether the first one has large values
 * @param page where their lines are to be
 */
export async function readStretches(
  db: Db,
  ranges: readonly Range[],
  isLarge: boolean,
  page: PageWriter,
): Promise<Stretch[]> {
  if (ranges.length === 0) {
    await sql`commit`.execute(db)
    return []
  }
  if (!isLarge) return read(db, ranges, IS_LARGE, page)
  const [first] = await read(db, ranges.slice(0, 1), IS_BEHIND_PAGE, page)
  return [first!, ...ranges.slice(1).map(() => UNREAD)]
}

const UNREAD: Stretch = { records: 0, bytes: Buffer.alloc(0), last: '', ends: false, isLarge: false }

type NumberedRange = Range & { readonly n: number }

async function read(db: Db, ranges: readonly Range[], isCut: string, page: PageWriter): Promise<Stretch[]> {
  const readings = ranges.map((range) => new Reading(range, page))
  const numbered = ranges.map((range, index) => ({ ...range, n: index + 1 }))
  const isTogether = ({ since, limit }: Range) =>
    isCut === IS_LARGE && since === null && limit <= TOGETHER_MAX
  const together = numbered.filter(isTogether)
  const singly = numbered.filter((range) => !isTogether(range))
  const copies: Copy[] = []
  if (together.length > 0) {
    const take = (row: CopiedRow) => readings[numberIn(row, NUMBER) - 1]!.addAll(row)
    copies.push({ query: togetherQuery(together), take })
  }
  if (singly.length > 0) {
    let isOver = false
    const take = (row: CopiedRow) => {
      const number = numberIn(row, NUMBER)
      isOver ||= number < 0
      const reading = readings[Math.abs(number) - 1]!
      if (!isOver) reading.add(row)
      else if (number < 0) reading.isCut = true
    }
    copies.push({ query: singlyQuery(singly, isCut), take })
  }
  await copyRows(db, copies, { behind: 'commit' })
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
  /** The last key, if it has no line. */
  #last: string | null = null

  constructor(range: Range, page: PageWriter) {
    this.#range = range
    this.#head = Buffer.from(range.head)
    this.#page = page
  }

  /** Adds all records, unless one is large: then nobody knows what they add up to. */
  addAll(row: CopiedRow): void {
    const found = numberIn(row, FOUND)
    if (found === 0) return
    this.isCut = row.bytes[row.starts[HAS_LARGE]!] === 1
    if (this.isCut) return
    this.#start = this.#page.length
    this.#page.addAll(this.#head, row, LINES)
    this.#end = this.#page.length
    this.#records = found
  }

  add(row: CopiedRow): void {
    if (row.lengths[CID]! < 0) this.#addDeleted(row)
    else this.#addLine(row)
  }

  #addLine(row: CopiedRow): void {
    if (this.#records === 0) this.#start = this.#page.length
    this.#page.add(this.#head, row, RKEY, CID, VALUE)
    this.#records += 1
    this.#end = this.#page.length
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
    const bytes = page.subarray(this.#start, this.#end)
    return {
      records: this.#records,
      bytes,
      last: this.#last ?? this.#keyOfLast(bytes),
      ...(this.#deleted.length > 0 && { deleted: this.#deleted }),
      ends: !this.isCut && found < this.#range.limit,
      isLarge: this.isCut,
    }
  }

  #keyOfLast(lines: Buffer): string {
    if (lines.length === 0) return ''
    const key = lines.lastIndexOf(END[1]!, -2) + 1 + this.#head.length
    return lines.toString('utf8', key, lines.indexOf('"', key))
  }
}

/** How a line begins. */
const HEAD = '{"uri":"'

function numberIn({ bytes, starts }: CopiedRow, field: number): number {
  return bytes.readInt32BE(starts[field])
}

function textOf({ bytes, starts, lengths }: CopiedRow, field: number): string {
  return bytes.toString('utf8', starts[field], starts[field]! + lengths[field]!)
}
