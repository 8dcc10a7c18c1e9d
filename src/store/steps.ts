import { sql } from 'kysely'
import type pg from 'pg'
import type { FailureClass, Level, Method, RepoStatus, UnavailableReason } from '../verdict.js'
import { bigintArray, IntArray, intArray, TextArray, textArray, timestampArray } from './binary.js'
import type { Db } from './database.js'
import { expectingNewRecords, isStoredAlready, WRITE_STEPS } from './steps-statement.js'
import { storedCollectionIds } from './stored-collections.js'
import { printable } from './text.js'

/**
 * Writing what happened to repos. A step is one move of one repo of one job: a page stored, a PDS found, a
 * verdict. Many steps of many repos go out in one statement, so that rows, receipt, progress and counters of
 * each are durable together or not at all.
 */

/** The longest message kept with a repo, in UTF-16 units: enough to tell failures apart in a list of them. */
const MESSAGE_LENGTH_MAX = 300

/** The claim under which a driver writes: its host and the epoch it raised when it started. */
export interface Fence {
  readonly host: number
  readonly epoch: number
}

export interface RecordRow {
  readonly collection: number
  readonly rkey: string
  readonly cid: string
  /** JSON text; null where the record's bytes are not valid data. */
  readonly value: string | null
}

export interface ReceiptRow {
  readonly scope: number
  readonly rev: string | null
  readonly dataCid: string | null
  /** Records per collection. */
  readonly counts: Readonly<Record<string, number>>
  /** Records whose bytes are not valid data, and the first of them; none when absent. */
  readonly unreadable?: number
  readonly unreadableFirst?: readonly { collection: string; rkey: string; cid: string }[]
  /** A moment, by the database's clock, before which nothing of all this was read. Not of use where there is a rev. */
  readonly readFrom?: Date
}

export interface RepoStep {
  readonly job: number
  readonly did: string
  readonly repo: number
  readonly fence: Fence
  /** The status after this step: for a retry, the one it had. */
  readonly status: RepoStatus
  /** Set when the repo turned out to live on another host than known so far. */
  readonly movedTo?: number
  /** Whether this step is the one that found the PDS. */
  readonly firstResolved?: boolean
  readonly method?: Method
  readonly failure?: FailureClass
  readonly reason?: UnavailableReason
  readonly message?: string
  readonly attempts: number
  readonly retryAt?: Date
  /** Where to go on inside the repo, as JSON text. */
  readonly progress?: string
  /** Records stored for this repo so far, and how many of them this step adds (or, below zero, takes back). */
  readonly records: number
  readonly recordsAdded: number
  /** The level and rev of `rows`. */
  readonly level: Level
  readonly rev: string | null
  readonly rows: readonly RecordRow[]
  /** The reading under which the keys of `rows` are kept until its end; absent where nobody will ask for them. */
  readonly reading?: number
  /** A moment, by the database's clock, at which the account was still there. Of steps that complete a repo. */
  readonly aliveAt?: Date
  readonly receipt?: ReceiptRow
}

/** What changes of a repo in a step; the rest is as it was. */
export type Move = Pick<RepoStep, 'status'> & Partial<RepoStep>

/**
 * Steps gathered for one statement. Two steps for the same repo must not be in one batch: a driver waits for
 * a repo's step before it makes the next one.
 */
export class StepBatch {
  readonly #steps: RepoStep[] = []
  readonly #ordinals = new IntArray()
  readonly #collections = new IntArray()
  readonly #rkeys = new TextArray()
  readonly #cids = new TextArray()
  readonly #values = new TextArray(64 * 1024, 'json')
  /** Whether none of its records is of a reading that replaces others. */
  #hasOnlyNewRows = true

  get steps(): readonly RepoStep[] {
    return this.#steps
  }
  get rows(): number {
    return this.#ordinals.length
  }
  get valueBytes(): number {
    return this.#values.byteLength
  }

  add(step: RepoStep): void {
    this.#steps.push(step)
    if (step.rows.length > 0 && step.reading !== undefined) this.#hasOnlyNewRows = false
    for (const row of step.rows) {
      this.#ordinals.push(this.#steps.length)
      this.#collections.push(row.collection)
      this.#rkeys.push(row.rkey)
      this.#cids.push(row.cid)
      this.#values.push(row.value)
    }
  }

  /**
   * Writes the batch in one statement; or, where it is the first to find records of another job, in a second one.
   * @returns for each step whether it took effect; false when its driver had lost the host, or the repo had
   *   its outcome already
   */
  async write(client: pg.ClientBase): Promise<boolean[]> {
    const values = this.#parameters()
    const written = await this.#writeNew(client, values)
    const rows =
      written ??
      (await client.query<{ n: number }>({ name: 'write-steps-over', text: WRITE_STEPS, values })).rows
    const applied = new Array<boolean>(this.#steps.length).fill(false)
    for (const { n } of rows) applied[n - 1] = true
    return applied
  }

  /** @returns null when records of it are stored already, or are likely to be; nothing is written then */
  async #writeNew(client: pg.ClientBase, values: unknown[]): Promise<{ n: number }[] | null> {
    // What fails takes the transaction with it that it is part of.
    if (!this.#hasOnlyNewRows || client.getTransactionStatus() !== 'I') return null
    try {
      const text = expectingNewRecords(WRITE_STEPS)
      return (await client.query<{ n: number }>({ name: 'write-steps', text, values })).rows
    } catch (error) {
      if (isStoredAlready(error)) return null
      throw error
    }
  }

  #parameters(): unknown[] {
    const steps = this.#steps
    return [
      intArray(steps.map((s) => s.job)),
      textArray(steps.map((s) => s.did)),
      bigintArray(steps.map((s) => s.repo)),
      intArray(steps.map((s) => s.fence.host)),
      bigintArray(steps.map((s) => s.fence.epoch)),
      textArray(steps.map((s) => s.status)),
      intArray(steps.map((s) => s.movedTo ?? null)),
      intArray(steps.map((s) => (s.firstResolved ? 1 : 0))),
      textArray(steps.map((s) => s.method ?? null)),
      textArray(steps.map((s) => s.failure ?? null)),
      textArray(steps.map((s) => s.reason ?? null)),
      textArray(
        steps.map((s) => (s.message === undefined ? null : printable(s.message, MESSAGE_LENGTH_MAX))),
      ),
      intArray(steps.map((s) => s.attempts)),
      timestampArray(steps.map((s) => s.retryAt ?? null)),
      textArray(steps.map((s) => s.progress ?? null)),
      intArray(steps.map((s) => s.records)),
      intArray(steps.map((s) => s.recordsAdded)),
      textArray(steps.map((s) => s.level)),
      textArray(steps.map((s) => s.rev)),
      intArray(steps.map((s) => s.receipt?.scope ?? null)),
      textArray(steps.map((s) => s.receipt?.dataCid ?? null)),
      textArray(steps.map((s) => (s.receipt ? JSON.stringify(s.receipt.counts) : null))),
      intArray(steps.map((s) => s.receipt?.unreadable ?? 0)),
      textArray(steps.map((s) => listText(s.receipt?.unreadableFirst ?? []))),
      timestampArray(steps.map((s) => s.receipt?.readFrom ?? null)),
      bigintArray(steps.map((s) => s.reading ?? null)),
      timestampArray(steps.map((s) => s.aliveAt ?? null)),
      this.#ordinals.toParameter(),
      this.#collections.toParameter(),
      this.#rkeys.toParameter(),
      this.#cids.toParameter(),
      this.#values.toParameter(),
      steps.length,
    ]
  }
}

function listText(list: readonly object[]): string | null {
  return list.length === 0 ? null : JSON.stringify(list)
}

/** What a reading at rev $3 may remove: of signed rows nothing, unless it is signed itself. */
const removable = (level: Level) =>
  `cid is not null and (rev is null or rev <= $3)${level === 'signed' ? '' : " and level < 'signed'"}`

/** Keys in hand at once while records are removed. */
const GONE_ROWS = 10_000

/** The collections of which a repo has rows, with their numbers. */
export async function storedCollections(client: pg.ClientBase, repo: number): Promise<Map<string, number>> {
  const { rows } = await client.query<{ id: number; nsid: string }>(
    `select collection.id, collection.nsid
     from (${storedCollectionIds('$1')}) stored join collection on collection.id = stored.collection`,
    [repo],
  )
  return new Map(rows.map(({ id, nsid }) => [nsid, id]))
}

/** A reading that came to its end, of which the keys are kept but for those of its last page. */
export interface EndedReading {
  readonly job: number
  readonly repo: number
  readonly reading: number
  /** All it was for. */
  readonly collections: readonly number[]
  readonly rev: string | null
  readonly level: Level
  readonly lastPage: readonly Pick<RecordRow, 'collection' | 'rkey'>[]
}

/**
 * Removes the records of a repo that a complete reading did not contain, and leaves tombstones. Part of the
 * transaction that completes the repo. Signed rows stay unless the reading is signed: an unsigned one proves nothing
 * against them. Rows with a rev stay unless the reading has one that is as new.
 * @returns how many records were removed
 */
export async function entombMissing(client: pg.ClientBase, ended: EndedReading): Promise<number> {
  const isRemovable = removable(ended.level)
  // A set difference, because it takes the time of a sort at worst. An anti-join takes the square of the keys
  // when the planner expects few rows, as it does for a repo that is larger than the others.
  await client.query(
    `declare gone no scroll cursor for
     select collection, rkey from record where repo = $1 and collection = any($2::int[]) and ${isRemovable}
     except (
       select page.collection, kept.rkey
       from reading_page page, unnest(page.rkeys) as kept (rkey)
       where page.job = $4 and page.repo = $1 and page.reading = $5
       union all
       select last.collection, last.rkey collate "C" from unnest($6::int[], $7::text[]) as last (collection, rkey)
     )
     order by collection, rkey`,
    [
      ended.repo,
      ended.collections,
      ended.rev,
      ended.job,
      ended.reading,
      ended.lastPage.map(({ collection }) => collection),
      textArray(ended.lastPage.map(({ rkey }) => rkey)),
    ],
  )
  let removed = 0
  for (let more = true; more; ) {
    const { rows } = await client.query<{ collection: number; rkey: string }>(`fetch ${GONE_ROWS} from gone`)
    for (const [collection, keys] of Map.groupBy(rows, (row) => row.collection)) {
      const { rowCount } = await client.query(
        `update record set cid = null, value = null, rev = coalesce($3, rev)
         where repo = $1 and collection = $2 and rkey = any($4::text[]) and ${isRemovable}`,
        [ended.repo, collection, ended.rev, textArray(keys.map(({ rkey }) => rkey))],
      )
      removed += rowCount ?? 0
    }
    more = rows.length === GONE_ROWS
  }
  await client.query('close gone')
  return removed
}

/**
 * Gives the rev of a complete reading to all that it has found, changed or not: what is asked for as changed since an
 * earlier rev is rather too much than too little. Signed rows have the rev that they are of.
 */
export async function raiseRevs(
  client: pg.ClientBase,
  { repo, collections, rev }: Pick<EndedReading, 'repo' | 'collections'> & { readonly rev: string },
): Promise<void> {
  await client.query(
    `update record set rev = $3
     where repo = $1 and collection = any($2::int[]) and cid is not null and level < 'signed' and rev < $3`,
    [repo, collections, rev],
  )
}

/** Makes signed rows of a repo that has no signed receipt replaceable by unsigned readings, under a driver's claim. */
export async function weakenRecords(db: Db, fence: Fence, repo: number): Promise<void> {
  await sql`
    update record set level = 'content'
    where repo = ${repo} and level = 'signed'
      and not exists (select from receipt where receipt.repo = ${repo} and receipt.level = 'signed')
      and exists (select from host where id = ${fence.host} and epoch = ${fence.epoch} for share)`.execute(db)
}

/** Drops the keys that readings of a repo by a job found. Part of the transaction that ends such a reading. */
export async function forgetReadings(
  client: pg.ClientBase,
  { job, repo }: Pick<RepoStep, 'job' | 'repo'>,
): Promise<void> {
  await client.query('delete from reading_page where job = $1 and repo = $2', [job, repo])
}
