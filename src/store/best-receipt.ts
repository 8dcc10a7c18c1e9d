import type { Selectable } from 'kysely'
import { wanted } from './coverage.js'
import type { Database } from './schema.js'

/**
 * Which receipt describes the records of a repo that a job is about. Another job that wants more, and has read the
 * repo later, moves the rows on, but writes a receipt for its own scope only.
 */

/** What there is of `best`, see below. */
export type BestReceipt = Omit<Selectable<Database['receipt']>, 'repo' | 'scope' | 'read_from'>

/** Whether the scope of `other` holds all that `mine`, which names something, asks for: pattern by pattern. */
const HOLDS_ALL = `exists (
  select from scope held, scope mine
  where held.id = other.scope and mine.id = own.scope and mine.collections <> '{}' and (
    held.collections = '{}' or not exists (
      select from unnest(mine.collections) as wish
      where not exists (
        select from unnest(held.collections) as pattern
        where wish = pattern or pattern like '%.*' and starts_with(wish, left(pattern, -1))
      )
    )
  )
)`

/** Of `other`, a receipt of the same repo: whether its reading, and not that of `own`, says what the rows are now. */
const IS_NEWER = `other.level >= own.level
  and (other.rev > own.rev or own.rev is null and other.completed_at > own.completed_at)`

/**
 * What is of `mine` in `other`, which is of a wider scope. Where not all unreadable records are named, nobody knows
 * which collections the others are of: all are counted then.
 */
const CUT = `
  select counted.counts, counted.records,
    case when other.unreadable > jsonb_array_length(coalesce(other.unreadable_first, '[]')) then other.unreadable
      else named.unreadable end as unreadable,
    named.unreadable_first
  from scope mine
  cross join lateral (
    select coalesce(jsonb_object_agg(stored.nsid, stored.records), '{}') as counts,
      coalesce(sum(stored.records), 0)::int as records
    from (
      select key as nsid, value::int as records from jsonb_each_text(other.counts)
      union all
      select pattern, 0 from unnest(mine.collections) as pattern
      where pattern not like '%.*' and not jsonb_exists(other.counts, pattern)
    ) stored
    where ${wanted('mine.collections')}
  ) counted
  cross join lateral (
    select count(*)::int as unreadable, jsonb_agg(stored.entry) as unreadable_first
    from (
      select entry, entry ->> 'collection' as nsid from jsonb_array_elements(other.unreadable_first) as entry
    ) stored
    where ${wanted('mine.collections')}
  ) named
  where mine.id = own.scope and other.scope <> own.scope`

/**
 * `best` for a `from`, behind a receipt `own` of a job's scope: the verdict with the newest rev, and a level no lower,
 * of all that cover what this one is about, cut to that.
 */
export const BEST_RECEIPT = `lateral (
  select other.rev, other.data_cid, other.level, other.method, other.host, other.completed_at, cut.*
  from (
    select * from receipt other
    where other.repo = own.repo and (other.scope = own.scope or (${IS_NEWER}) and ${HOLDS_ALL})
    order by other.scope = own.scope, other.rev desc nulls last, other.completed_at desc
    limit 1
  ) other
  cross join lateral (
    select other.counts, other.records, other.unreadable, other.unreadable_first where other.scope = own.scope
    union all
    ${CUT}
  ) cut
) best`
