import { type RawBuilder, sql } from 'kysely'
import type { Trx } from './database.js'

/** Reading records as the lines that they are handed over in. */

/** Records as JSON lines, `{"uri":…,"cid":…,"value":…}`; the values as they were stored, byte for byte. */
export interface Lines {
  readonly records: number
  readonly text: string
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
  /** What comes next in it must be read in another way: it is large, or has line breaks. */
  readonly isLarge: boolean
}

/** About how long a page is, unless another length is asked for; what is large is read in such portions. */
export const BYTES_MAX = 1024 * 1024

/**
 * Values up to this length are read together, whatever they add up to: that is bounded too, and to add up lengths
 * row by row costs as much as to read them. Larger ones are rare.
 */
const LARGE_BYTES = 8 * 1024

/** The line of a record, from the text of its value. */
const lineOf = (value: RawBuilder<unknown>) => sql<string>`
  range.head || rkey || '","cid":"' || cid || coalesce('","value":' || ${value} || E'}\n', E'"}\n')`

/**
 * The records of a range, as far as it is to be read. Of what was stored without a rev nobody knows whether it has
 * changed. JSON becomes text here, once: wherever a text is asked for it would be written and read again.
 */
const RECORDS = sql`
  select rkey, cid, rev, value::text as value from record
  where record.repo = range.repo and record.collection = range.collection and record.rkey > range.after
    and case
      when range.since is null then record.cid is not null
      else record.rev is null or record.rev > range.since
    end
  order by record.rkey
  limit range.most`

/** Those that are gone, with the keys that they had. */
const DELETED = sql`
  coalesce(jsonb_agg(jsonb_build_object('rkey', rkey, 'rev', rev)) filter (where cid is null), '[]')`

function rangeTable(ranges: readonly Range[]) {
  const column = <Key extends keyof Range>(key: Key) => ranges.map((range) => range[key])
  return sql`
    unnest(
      ${column('head')}::text[], ${column('repo')}::bigint[], ${column('collectionId')}::int[],
      ${column('after')}::text[], ${column('limit')}::int[], ${column('since')}::text[]
    ) with ordinality as range (head, repo, collection, after, most, since, n)`
}

/**
 * Reads ranges in their order. Behind one that is not read to its end nothing counts.
 * @param isLarge whether the first one has large values
 */
export async function readStretches(
  trx: Trx,
  ranges: readonly Range[],
  isLarge: boolean,
): Promise<Stretch[]> {
  if (ranges.length === 0) return []
  const readFirst = async () => [await readLarge(trx, ranges[0]!), ...ranges.slice(1).map(() => UNREAD)]
  if (isLarge) return readFirst()
  const { rows } = await sql<FoundRecords & { last: string; largest: number; text: string }>`
    select stretch.* from ${rangeTable(ranges)} cross join lateral (
      select count(*)::int as found, count(cid)::int as records, ${DELETED} as gone, coalesce(max(rkey), '') as last,
        coalesce(max(octet_length(value)), 0) as largest,
        coalesce(string_agg(case when octet_length(value) > ${LARGE_BYTES} then null else ${lineOf(sql`value`)} end, ''), '')
          as text
      from (${RECORDS}) record
    ) stretch
    order by n`.execute(trx)
  const stretches = rows.map(({ found, records, gone, last, largest, text }, index) => {
    if (largest > LARGE_BYTES || breaksIn(text) !== records) return { ...UNREAD, isLarge: true }
    const range = ranges[index]!
    return { records, text, last, ...deletedOf(range, gone), ends: found < range.limit, isLarge: false }
  })
  return stretches[0]!.isLarge ? readFirst() : stretches
}

/** How a line begins. */
const HEAD = '{"uri":"'

interface FoundRecords {
  readonly found: number
  readonly records: number
  readonly gone: readonly { rkey: string; rev: string | null }[]
}

function deletedOf({ head }: Range, gone: FoundRecords['gone']): Pick<Lines, 'deleted'> {
  if (gone.length === 0) return {}
  const prefix = head.slice(HEAD.length)
  return { deleted: gone.map(({ rkey, rev }) => ({ uri: `${prefix}${rkey}`, rev })) }
}

const UNREAD: Stretch = { records: 0, text: '', last: '', ends: false, isLarge: false }

function breaksIn(text: string): number {
  let breaks = 0
  for (let at = text.indexOf('\n'); at >= 0; at = text.indexOf('\n', at + 1)) breaks += 1
  return breaks
}

/** Reads as much of a range as fits a page, which is one record at least, whatever is in it. */
async function readLarge(trx: Trx, range: Range): Promise<Stretch> {
  // In JSON line breaks mean nothing where they may stand.
  const line = lineOf(sql`replace(value, E'\n', ' ')`)
  const { rows } = await sql<FoundRecords & { read: number; last: string | null; text: string | null }>`
    select count(*)::int as found, count(*) filter (where fits)::int as read,
      count(cid) filter (where fits)::int as records,
      coalesce(jsonb_agg(jsonb_build_object('rkey', rkey, 'rev', rev)) filter (where fits and cid is null), '[]')
        as gone,
      max(rkey) filter (where fits) as last, string_agg(${line}, '' order by rkey) filter (where fits) as text
    from ${rangeTable([range])} cross join lateral (
      select record.*, sum(bytes) over (order by rkey rows unbounded preceding) - bytes < ${BYTES_MAX} as fits
      from (
        select record.*, coalesce(octet_length(value), 0) as bytes from (${RECORDS}) record
      ) record
    ) record`.execute(trx)
  const { found, read, records, gone, last, text } = rows[0]!
  const ends = read === found && found < range.limit
  return { records, text: text ?? '', last: last ?? '', ...deletedOf(range, gone), ends, isLarge: !ends }
}
