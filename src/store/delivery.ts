import { sql } from 'kysely'
import pg from 'pg'
import type { FailureClass, JobDetails, JobStatus, UnavailableReason } from '../verdict.js'
import type { Db } from './database.js'
import { copyObjects } from './delivery-copy.js'
import { BYTES_MAX, type Lines, type Range, readStretches, type Stretch } from './delivery-lines.js'
import { PageWriter } from './delivery-page.js'
import {
  collectionsStored,
  DELIVERED_FIELDS,
  DELIVERED_FROM,
  type DeliveredReceipt,
  type Outcome,
  outcomeOf,
} from './outcomes.js'

/** Which records of a job are handed over. */
export interface DeliveryQuery {
  readonly job: number
  readonly scope: number
  readonly collection: string | null
  readonly did: string | null
  /** Only what has changed since the job that this one refreshes, where that is known of a repo. */
  readonly changes?: boolean
  /**
   * Only what had a lower number, or this one, when the reading began, even if it has got a higher one since then;
   * null for all there will be.
   */
  readonly through: number | null
  /** About how long a page may be. */
  readonly pageBytes?: number
}

/** A repo, or a part of one. */
export interface DeliveredRepo {
  readonly seq: number
  readonly did: string
  readonly outcome: Outcome
  readonly lines: readonly Lines[]
  /** These are its first records; what came of it before does not count. */
  readonly begins: boolean
  /** These are its last records. */
  readonly ends: boolean
}

export interface DeliveryPage {
  readonly status: JobStatus
  readonly error: string | null
  readonly repos: readonly DeliveredRepo[]
  /** Every repo that ends later has a higher number than this. */
  readonly through: number
  /** Whether there is more to read at once. */
  readonly more: boolean
  /** What the lines lie in, if there are any. */
  readonly memory: Buffer | null
}

/** A repo that is read in several pages. */
interface OpenRepo {
  readonly seq: number
  readonly version: string
  readonly collection: string
  readonly rkey: string
}

/** Where a reader goes on, and how much it takes there. */
interface Place {
  /** Everything up to this number has been read. */
  readonly after: number
  readonly open: OpenRepo | null
  /** Repos looked up at once. */
  readonly look: number
  /** Records of a page. */
  readonly rows: number
  /** The next range has large values. */
  readonly isLarge: boolean
}

/** The most rows of a page. */
const ROWS_MAX = 8_000

/** Records read before anything is known of their size. */
const ROWS_AT_FIRST = 100

/** Repos looked up at once: few at first, and more as long as they hold little. */
const REPOS_AT_FIRST = 20
const REPOS_MAX = 1_000

/**
 * The receipts of repos looked up at once take about so much; a single one may take more. How long a compressed one is
 * nobody knows without reading it: by what is usual, as long as if it named as many collections as it may.
 */
const LOOK_BYTES = 4 * 1024 * 1024
const RECEIPT_BYTES = `case
  when pg_column_compression(counts) is null then pg_column_size(counts) else 64 * least(records, 5000)
end`

/** Names of collections kept from page to page: strangers may make up ever more of them. */
const COLLECTIONS_KNOWN = 10_000

/** So many records of a collection are looked up first when only changes are wanted: nobody knows how many there are. */
const CHANGES_AT_FIRST = 200

/** A repo may have got a few records more than its receipt counts; if it is more than that, another page has them. */
const UNCOUNTED = 20

/** The list of the job's repos is not whole any more, or the job is gone. */
export class DetailsGone extends Error {
  override readonly name = 'DetailsGone'
  constructor(readonly details: JobDetails | null) {
    super('the details of the job are gone')
  }
}

/**
 * Reads what a job has come to, repo by repo in the order of their numbers, a page at a time.
 *
 * A page is a picture of one moment; nothing is held between two of them. So a repo that fits one page comes with
 * the receipt that describes these very rows. One that takes several is begun again when any of its receipts has
 * been renewed in between: rows that are not yet covered by a receipt may be among its records, but none that is
 * older than its receipt.
 */
export class DeliveryReader {
  readonly #db: Db
  readonly #query: DeliveryQuery
  readonly #collectionIds = new Map<string, number>()
  #place: Place
  /** By the database's clock. */
  #beganAt: string | null = null
  /** What a page that was given back lay in. */
  #memory: Buffer | null = null

  /** @param after the number of the last repo that is not wanted any more */
  constructor(db: Db, query: DeliveryQuery, after: number) {
    this.#db = db
    this.#query = query
    this.#place = { after, open: null, look: REPOS_AT_FIRST, rows: ROWS_AT_FIRST, isLarge: false }
  }

  /**
   * The next page. One that could not be read may be asked for again.
   * @throws DetailsGone; the reason of the signal
   */
  async page(signal?: AbortSignal): Promise<DeliveryPage> {
    for (;;) {
      signal?.throwIfAborted()
      const read = await this.#db.connection().execute((connection) => this.#readOn(connection))
      // Only with a page that is handed out: the database may go away as late as at the end of the transaction.
      this.#place = read.next
      if (read.page !== null) return read.page
    }
  }

  /** Takes a page back whose lines nobody needs any more: another page will lie where it was. */
  reuse({ memory }: DeliveryPage): void {
    this.#memory = memory
  }

  async #readOn(connection: Db): Promise<{ page: DeliveryPage | null; next: Place }> {
    try {
      return await this.#read(connection)
    } catch (error) {
      // A connection that is lost needs no end of its transaction.
      await sql`rollback`.execute(connection).catch(() => {})
      throw error
    }
  }

  /** Reads a page in a transaction of its own. There is none where the first record turns out to be large. */
  async #read(db: Db): Promise<{ page: DeliveryPage | null; next: Place }> {
    const { after, look, isLarge } = this.#place
    const job = await beginWithJob(db, this.#query, { after, limit: look, beganAt: this.#beganAt })
    if (job?.details !== 'kept') throw new DetailsGone(job?.details ?? null)
    const { status, error, ended, isLast } = job
    this.#beganAt ??= job.readAt
    // Numbers become visible in order: whoever sees one sees all below it.
    const through = Math.max(after, Math.min(this.#query.through ?? job.seq, job.seq))
    if (ended.length === 0) {
      await sql`commit`.execute(db)
      const page = { status, error, repos: [], through, more: false, memory: null }
      return { page, next: { ...this.#place, after: through, open: null } }
    }
    await this.#learnCollections(db, ended)
    const plan = this.#plan(ended, await changedOf(db, this.#query, ended))
    const ranges = plan.flatMap((repo) => repo.ranges)
    const writer = new PageWriter(this.#bytesOf(ranges), this.#memory)
    this.#memory = null
    const stretches = await readStretches(db, ranges, isLarge, writer)
    const { repos, ...place } = assemble(plan, stretches)
    const next = { ...this.#place, ...place }
    if (repos.length === 0) return { page: null, next }
    const isWhole = isLast && repos.length === ended.length && place.open === null
    const end = isWhole
      ? Math.max(through, repos.at(-1)!.seq)
      : (repos.findLast((repo) => repo.ends)?.seq ?? after)
    const rows = rowsOf(repos, this.#query.pageBytes ?? BYTES_MAX) ?? this.#place.rows
    const page = { status, error, repos, through: end, more: !isWhole, memory: writer.memory }
    return { page, next: { ...next, after: end, look: lookOf(look, repos.length), rows } }
  }

  async #learnCollections(db: Db, ended: readonly EndedRepo[]): Promise<void> {
    if (this.#collectionIds.size > COLLECTIONS_KNOWN) this.#collectionIds.clear()
    const named = new Set(ended.flatMap(({ own }) => Object.keys(own?.counts ?? {})))
    const unknown = [...named].filter((nsid) => !this.#collectionIds.has(nsid))
    if (unknown.length === 0) return
    const rows = await db
      .selectFrom('collection')
      .select(['id', 'nsid'])
      .where('nsid', '=', sql<string>`any(${unknown}::text[])`)
      .execute()
    for (const { id, nsid } of rows) this.#collectionIds.set(nsid, id)
  }

  /** The repos for one page, as far as receipts tell how many records they have. */
  #plan(ended: readonly EndedRepo[], changed: ReadonlyMap<number, readonly Stored[]>): PlannedRepo[] {
    const { open: before, rows: most } = this.#place
    const plan: PlannedRepo[] = []
    let rows = 0
    for (const repo of ended) {
      const outcome = outcomeFor(repo, this.#query.changes ?? false)
      const version = repo.version ?? ''
      const open = before?.seq === repo.seq && before.version === version ? before : null
      const ranges = this.#rangesOf(repo, outcome, open, changed.get(repo.repo) ?? [])
      plan.push({ repo, outcome, version, ranges, begins: open === null })
      rows += ranges.reduce((sum, { limit }) => sum + limit - UNCOUNTED, 0)
      if (rows >= most) break
    }
    return plan
  }

  /** About how long the records of ranges are, by those before. */
  #bytesOf(ranges: readonly Range[]): number {
    const { pageBytes = BYTES_MAX } = this.#query
    const rows = ranges.reduce((sum, { limit }) => sum + limit, 0)
    return Math.ceil(Math.min((rows * pageBytes) / this.#place.rows, 1.25 * pageBytes))
  }

  #rangesOf(repo: EndedRepo, outcome: Outcome, open: OpenRepo | null, changed: readonly Stored[]): Range[] {
    if (outcome.status !== 'completed') return []
    const { receipt, since } = outcome
    // At the same rev it is the same repo.
    if (since !== null && receipt.rev === since) return []
    const wanted = this.#query.collection
    const stored = since === null ? this.#counted(receipt.counts) : changed
    return stored
      .filter(({ nsid }) => wanted === null || nsid === wanted)
      .filter(({ nsid }) => open === null || nsid >= open.collection)
      .sort((a, b) => (a.nsid < b.nsid ? -1 : 1))
      .map(({ nsid, id, records }) => ({
        head: JSON.stringify({ uri: `at://${repo.did}/${nsid}/` }).slice(0, -2),
        repo: repo.repo,
        collection: nsid,
        collectionId: id,
        after: nsid === open?.collection ? open.rkey : '',
        limit: Math.min(records, this.#place.rows) + UNCOUNTED,
        since,
      }))
  }

  #counted(counts: Record<string, number>): Stored[] {
    return Object.entries(counts).flatMap(([nsid, records]) => {
      const id = this.#collectionIds.get(nsid)
      return records > 0 && id !== undefined ? [{ nsid, id, records }] : []
    })
  }
}

/** A collection of which records are stored; about so many are to be read. */
interface Stored {
  readonly nsid: string
  readonly id: number
  readonly records: number
}

interface PlannedRepo {
  readonly repo: EndedRepo
  readonly outcome: Outcome
  readonly version: string
  readonly ranges: readonly Range[]
  readonly begins: boolean
}

/** Puts together what was read: repos that are whole, and perhaps one that is not. Pure. */
function assemble(
  plan: readonly PlannedRepo[],
  stretches: readonly Stretch[],
): { repos: DeliveredRepo[]; open: OpenRepo | null; isLarge: boolean } {
  const repos: DeliveredRepo[] = []
  let read = 0
  for (const { repo, outcome, version, ranges, begins } of plan) {
    const own = stretches.slice(read, read + ranges.length)
    read += ranges.length
    const delivered = { seq: repo.seq, did: repo.did, outcome, begins }
    const cut = own.findIndex(({ ends }) => !ends)
    // What was read behind a cut comes with another page.
    const lines = own.filter(
      ({ records, deleted = [] }, index) => records + deleted.length > 0 && (cut < 0 || index <= cut),
    )
    if (cut < 0) {
      repos.push({ ...delivered, lines, ends: true })
      continue
    }
    const { last, isLarge } = own[cut]!
    // Of a repo that is cut where it begins, all is for the next page.
    if (cut === 0 && lines.length === 0 && begins) return { repos, open: null, isLarge }
    repos.push({ ...delivered, lines, ends: false })
    const { collection, after } = ranges[cut]!
    return { repos, open: { seq: repo.seq, version, collection, rkey: last || after }, isLarge }
  }
  return { repos, open: null, isLarge: false }
}

/** How many records like these make a page. */
function rowsOf(repos: readonly DeliveredRepo[], bytesMax: number): number | null {
  const lines = repos.flatMap((repo) => repo.lines)
  const records = lines.reduce((sum, each) => sum + each.records, 0)
  const length = lines.reduce((sum, each) => sum + each.bytes.length, 0)
  return records === 0 ? null : Math.min(ROWS_MAX, Math.ceil((bytesMax * records) / length))
}

/** How many repos to look up after so many, of which some filled a page. */
function lookOf(looked: number, read: number): number {
  const wanted = read === looked ? 4 * looked : Math.ceil(1.25 * read)
  return Math.min(Math.max(wanted, REPOS_AT_FIRST), REPOS_MAX)
}

/** A repo of a job that has an outcome. */
interface EndedRepo {
  readonly seq: number
  readonly did: string
  readonly repo: number
  readonly status: 'completed' | 'unavailable' | 'failed'
  readonly failure: FailureClass | null
  readonly message: string | null
  readonly reason: UnavailableReason | null
  /** The rev that it had in the job that this one refreshes, if that is known. */
  readonly sinceRev: string | null
  /** Why its account is unavailable by now; null if it is not. */
  readonly account: UnavailableReason | null
  /** Another one whenever any receipt of the repo is made or renewed: all of them have to do with its rows. */
  readonly version: string | null
  /** The one that says what there is of the job's scope now. */
  readonly own: OwnReceipt | null
}

/** A receipt as JSON has it. */
type OwnReceipt = Omit<DeliveredReceipt, 'did' | 'completed_at'> & { readonly completed_at: string }

interface Job {
  readonly status: JobStatus
  readonly details: JobDetails
  readonly error: string | null
  readonly seq: number
  readonly readAt: string
}

interface Looked extends Job {
  readonly ended: readonly EndedRepo[]
  /** There are no more of them. */
  readonly isLast: boolean
}

/**
 * Begins a transaction with a job, and the next of its repos that have an outcome, in the order of their numbers.
 * @param beganAt when the reading began; null where this is its beginning
 */
async function beginWithJob(
  db: Db,
  { job, scope, did, through }: DeliveryQuery,
  { after, limit, beganAt }: { after: number; limit: number; beganAt: string | null },
): Promise<Looked | null> {
  // An account by its key alone: asked for more, a planner without statistics walks all repos of the job.
  const repos =
    did === null
      ? 'select * from job_repo'
      : `select * from job_repo where did = ${pg.escapeLiteral(did)} offset 0`
  // What becomes of an account later gives its repo another number, and leaves the moment at which it ended.
  const began = beganAt === null ? 'now()' : `${pg.escapeLiteral(beganAt)}::timestamptz`
  const isWanted =
    through === null ? 'true' : `(job_repo.seq <= ${through} or job_repo.changed_at <= ${began})`
  const query = `
    select job.status, job.details, job.error, p.seq, now() as "readAt",
      r."isBehind", r.seq as r, r.did, r.repo, r.status as outcome, r.failure, r.message, r.reason, r.since_rev as "sinceRev",
      (select a.reason from account_state a where a.repo = r.repo) as account,
      receipts.version, receipts."areSeveral",
      (
        select row_to_json(told) from (
          select ${DELIVERED_FIELDS} from receipt best join host on host.id = best.host
          where best.repo = r.repo and best.scope = ${scope} and r.status = 'completed' and not r."isBehind"
        ) told
      ) as own
    from job
    join job_progress p on p.job = job.key
    left join lateral (
      select page.*, coalesce(
        sum(bytes) over (order by seq rows between unbounded preceding and 1 preceding) > ${LOOK_BYTES}, false
      ) as "isBehind"
      from (
        select job_repo.*, (
          select max(${RECEIPT_BYTES}) from receipt where receipt.repo = job_repo.repo
        ) as bytes
        from (${repos}) job_repo
        where job_repo.job = ${job} and job_repo.seq > ${after} and ${isWanted}
          and job_repo.status in ('completed', 'unavailable', 'failed')
        order by job_repo.seq
        limit ${limit}
      ) page
    ) r on true
    left join lateral (
      select string_agg(receipt.scope || ' ' || receipt.completed_at, ',' order by receipt.scope) as version,
        count(*) > 1 as "areSeveral"
      from receipt where receipt.repo = r.repo and r.status = 'completed'
    ) receipts on true
    where job.key = ${job}
    order by r.seq`
  const rows = await copyObjects<
    Job & { readonly r: EndedRepo['seq'] | null } & Omit<EndedRepo, 'seq' | 'status'> & {
        readonly outcome: EndedRepo['status']
        readonly isBehind: boolean | null
        readonly areSeveral: boolean
      }
  >(db, query, { before: 'start transaction isolation level repeatable read read only' })
  const [first] = rows
  if (first === undefined) return null
  const { status, details, error, seq, readAt } = first
  const found = rows.filter(({ r }) => r !== null)
  const looked = found.filter(({ isBehind }) => !isBehind)
  const several = looked.filter(({ areSeveral, own }) => areSeveral && own !== null)
  const best = await bestOf(
    db,
    scope,
    several.map(({ repo }) => repo),
  )
  const ended = looked.map(
    ({ r, did, repo, outcome, failure, message, reason, sinceRev, account, version, own }) => {
      const ending = { status: outcome, failure, message, reason, sinceRev }
      return { seq: r!, did, repo, ...ending, account, version, own: best.get(repo) ?? own }
    },
  )
  return {
    status,
    details,
    error,
    seq,
    readAt,
    ended,
    isLast: ended.length < limit && ended.length === found.length,
  }
}

/**
 * The receipts that describe the records of repos of a scope, by repo. Only for those that have several: to make a plan
 * for all that may be asked of these takes the server longer than to look up a page of repos that have one each.
 */
async function bestOf(db: Db, scope: number, repos: readonly number[]): Promise<Map<number, OwnReceipt>> {
  if (repos.length === 0) return new Map()
  const query = `
    select own.repo, ${DELIVERED_FIELDS} ${DELIVERED_FROM}
    where own.repo = any(array[${repos.join()}]::bigint[]) and own.scope = ${scope}`
  const rows = await copyObjects<OwnReceipt & { readonly repo: number }>(db, query)
  return new Map(rows.map(({ repo, ...receipt }) => [repo, receipt]))
}

function outcomeFor(repo: EndedRepo, changes: boolean): Outcome {
  const { status, did, failure, message, own, sinceRev } = repo
  if (status === 'failed') return { status, failure: failure ?? 'bad-response', message: message ?? '' }
  const receipt = own && { ...own, did, completed_at: new Date(own.completed_at) }
  return outcomeOf({ ...repo, status }, receipt, changes ? sinceRev : null)
}

/** Collections in which something may have changed, by repo, with a guess of how much. */
async function changedOf(
  db: Db,
  { job, changes }: DeliveryQuery,
  ended: readonly EndedRepo[],
): Promise<Map<number, Stored[]>> {
  const repos = ended.filter(({ status, sinceRev }) => status === 'completed' && sinceRev !== null)
  const found = changes
    ? await collectionsStored(
        db,
        job,
        repos.map(({ repo }) => repo),
      )
    : []
  const guessed = found.map((stored) => ({ ...stored, records: CHANGES_AT_FIRST }))
  return Map.groupBy(guessed, ({ repo }) => repo)
}
