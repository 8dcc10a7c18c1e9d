import { Kysely, PostgresDialect } from 'kysely'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Db } from '../../src/store/database.js'
import { hostsToGiveUp } from '../../src/store/give-up.js'
import { claimHost, hostsWithWork } from '../../src/store/hosts.js'
import { jobsWanting } from '../../src/store/jobs.js'
import { jobsToDiscover } from '../../src/store/listings.js'
import { readChangePage } from '../../src/store/record-changes.js'
import { listRecords } from '../../src/store/records.js'
import { dueRepos, hasUnresolvedRepos, listRepos, unresolvedRepos, wakeRepos } from '../../src/store/repos.js'
import type { Database } from '../../src/store/schema.js'
import { createStore } from '../support/database.js'
import { addJob, completeJob, didOf, POST } from '../support/fixtures.js'

/**
 * What a page costs does not grow with the job: how many blocks each statement touches in a database with a job
 * of 50,000 repos, when the planner has statistics and when it has none yet.
 */

const REPOS = 50_000
/** The repos by state are mixed evenly: most are done, the others are spread among them. */
const STATE = `(array['completed', 'completed', 'completed', 'completed', 'waiting', 'completed', 'resolved',
                      'completed', 'completed', 'failed'])[1 + n % 10]`

/** Most reads need a block or two for each row they give; a page has 101 rows, or 500. */
const BLOCKS_MAX = 1_000

/**
 * A planner without statistics takes this job for smaller than a page and may sort what it has of it, once.
 * Looking up more for each of its repos would take 50,000 blocks and more.
 */
const BLOCKS_MAX_UNKNOWN = 3_500

let store: Awaited<ReturnType<typeof createStore>>
let job: { key: number; scope: number }
const statements: { sql: string; parameters: readonly unknown[] }[] = []
let recording: Db

beforeAll(async () => {
  store = await createStore()
  const dialect = new PostgresDialect({ pool: store.pool })
  recording = new Kysely<Database>({
    dialect,
    log: ({ query: { sql, parameters } }) => {
      statements.push({ sql, parameters })
    },
  })
  for (const table of ['job', 'job_repo', 'repo', 'record', 'receipt', 'host', 'listing', 'collection']) {
    await store.pool.query(`alter table ${table} set (autovacuum_enabled = off)`)
  }
  job = await addJob(store, { collections: [POST], repos: [] })
  await addJob(store, { relays: ['https://relay.example'], collections: [POST] })
  await fill()
})

afterAll(() => store[Symbol.asyncDispose]())

/**
 * A job of many repos on 100 hosts, as far as it matters what a planner sees; every fifth holds no record, and of some
 * it is known what they were before.
 */
async function fill(): Promise<void> {
  const run = (text: string, ...values: unknown[]) => store.pool.query(text, values)
  await run(`insert into host (origin) select 'https://host' || n from generate_series(1, 100) n`)
  await run(
    `insert into repo (did) select 'did:plc:' || lpad(n::text, 24, '0') from generate_series(1, $1) n`,
    REPOS,
  )
  await run(
    `insert into job_repo (repo, job, host, did, status, failure, seq, since_rev, retry_at)
     select id, $1, case when status <> 'waiting' then 1 + n % 100 end, did, status,
            case when status = 'failed' then 'timeout'::failure_class end, n,
            case when n % 20 = 1 then '2222222222222' end,
            case when status = 'resolved' and n % 500 = 6 then timestamptz '2030-01-01' end
     from (select id, did, id as n, (${STATE.replaceAll('n %', 'id %')})::repo_status as status from repo) made`,
    job.key,
  )
  await run(
    `insert into receipt (repo, scope, records, level, method, host, counts, completed_at)
     select repo, $1, 2, 'content', 'list-records', host, jsonb_build_object($2::text, 2), now()
     from job_repo where status = 'completed'`,
    job.scope,
    POST,
  )
  await run(
    `insert into record (repo, collection, level, rkey, cid, value)
     select repo, 1, 'content', 'k' || k, 'cid', '{"text":"hello"}'
     from job_repo, generate_series(1, 2) k where status = 'completed' and repo % 5 <> 0`,
  )
  await run(
    `update job_progress set seq = ${REPOS}, total = ${REPOS}, resolved = ${REPOS * 0.9},
            completed = ${REPOS * 0.7}, failed = ${REPOS * 0.1} where job = $1`,
    job.key,
  )
}

interface Plan {
  'Node Type': string
  'Relation Name'?: string
  'Shared Hit Blocks'?: number
  'Shared Read Blocks'?: number
  Plans?: Plan[]
}

const nodesOf = (plan: Plan): Plan[] => [plan, ...(plan.Plans ?? []).flatMap(nodesOf)]

/** Runs it, then each of its statements again under EXPLAIN: which tables are read whole, and blocks in all. */
async function costOf(run: (db: Db) => Promise<unknown>): Promise<{ scanned: string[]; blocks: number }> {
  statements.length = 0
  await run(recording)
  const scanned: string[] = []
  let blocks = 0
  const reads = statements.filter(({ sql }) => !/^(start transaction|commit)/.test(sql))
  for (const { sql, parameters } of reads) {
    const { rows } = await store.pool.query<{ 'QUERY PLAN': { Plan: Plan }[] }>(
      `explain (analyze, buffers, format json) ${sql}`,
      [...parameters],
    )
    // json comes as text, as record values do.
    const [{ Plan: plan }] = JSON.parse(rows[0]!['QUERY PLAN'] as unknown as string) as [{ Plan: Plan }]
    blocks += (plan['Shared Hit Blocks'] ?? 0) + (plan['Shared Read Blocks'] ?? 0)
    for (const node of nodesOf(plan)) {
      if (node['Node Type'] === 'Seq Scan') scanned.push(node['Relation Name']!)
    }
  }
  return { scanned, blocks }
}

const page = { collection: null, did: null, limit: 101 }
const listing = { statuses: null, resolvedOnly: false, origin: null, after: '', limit: 101 }
const NOW = new Date('2029-01-01')
const middle = { seq: REPOS / 2, collection: POST, rkey: 'k1' }

const READS: Record<string, (db: Db) => Promise<unknown>> = {
  'the first records': (db) => listRecords(db, { ...job, job: job.key, ...page }, null),
  'records from the middle': (db) => listRecords(db, { ...job, job: job.key, ...page }, middle),
  'records of one collection': (db) =>
    listRecords(db, { ...job, job: job.key, ...page, collection: POST }, middle),
  'records of one repo': (db) => listRecords(db, { ...job, job: job.key, ...page, did: didOf(40_001) }, null),
  'no records, where nothing is left': (db) =>
    listRecords(db, { ...job, job: job.key, ...page }, { ...middle, seq: REPOS + 1 }),
  'the first changes': (db) => readChangePage(db, { ...job, job: job.key, ...page }, { seq: 0, open: null }),
  'changes from the middle of a repo': (db) =>
    readChangePage(
      db,
      { ...job, job: job.key, ...page },
      { seq: middle.seq, open: { ...middle, version: '' } },
    ),
  'changes of one collection': (db) =>
    readChangePage(db, { ...job, job: job.key, ...page, collection: POST }, { seq: 25_000, open: null }),
  'changes of one repo': (db) =>
    readChangePage(db, { ...job, job: job.key, ...page, did: didOf(40_001) }, { seq: 0, open: null }),
  'the first repos': (db) => listRepos(db, { ...listing, job: job.key, scope: job.scope }),
  'repos from the middle': (db) =>
    listRepos(db, { ...listing, job: job.key, scope: job.scope, after: didOf(25_000) }),
  'repos that are completed': (db) =>
    listRepos(db, {
      ...listing,
      job: job.key,
      scope: job.scope,
      statuses: ['completed'],
      after: didOf(25_000),
    }),
  'repos with a status that none has': (db) =>
    listRepos(db, { ...listing, job: job.key, scope: job.scope, statuses: ['fetching'] }),
  'repos with a status that few have': (db) =>
    listRepos(db, { ...listing, job: job.key, scope: job.scope, statuses: ['failed'], after: didOf(25_000) }),
  'repos of a host that nobody has met': (db) =>
    listRepos(db, { ...listing, job: job.key, scope: job.scope, origin: 'https://nowhere.example' }),
  'due repos of a host': (db) => dueRepos(db, { host: 7, job: job.key, after: 0, limit: 100 }),
  'due repos of a host, further on': (db) =>
    dueRepos(db, { host: 7, job: job.key, after: 25_000, limit: 100 }),
  'unresolved repos': (db) => unresolvedRepos(db, { job: job.key, after: 0, limit: 500 }),
  'unresolved repos, further on': (db) => unresolvedRepos(db, { job: job.key, after: 25_000, limit: 500 }),
  'whether there are unresolved repos': (db) => hasUnresolvedRepos(db),
  'jobs that want something of a host': (db) => jobsWanting(db, 7),
  'hosts with work': (db) => hostsWithWork(db, NOW),
  'hosts to give up': (db) => hostsToGiveUp(db, NOW, NOW),
  'jobs to discover': (db) => jobsToDiscover(db, NOW, 1_000_000),
  'repos to wake': (db) => wakeRepos(db, NOW),
  'whether a job is complete': (db) => completeJob(db, job.key, NOW),
  'a claim': (db) => claimHost(db, 7),
}

const LARGE = ['record', 'job_repo', 'receipt', 'repo']

describe.each(['without statistics', 'with statistics'])('a planner %s', (when) => {
  beforeAll(async () => {
    if (when === 'with statistics') await store.pool.query('analyze')
  })

  test.each(Object.keys(READS))('reads only what it gives: %s', async (what) => {
    const { scanned, blocks } = await costOf(READS[what]!)
    expect(scanned.filter((table) => LARGE.includes(table))).toEqual([])
    expect(blocks).toBeLessThan(when === 'with statistics' ? BLOCKS_MAX : BLOCKS_MAX_UNKNOWN)
  })
})

test('looking for hosts with work costs nothing for hosts that have none, however many jobs there are', async () => {
  const { blocks: before } = await costOf((db) => hostsWithWork(db, NOW))
  await store.pool.query(
    `insert into host (origin) select 'https://idle' || n from generate_series(1, 500) n`,
  )
  for (let count = 0; count < 20; count += 1) await addJob(store, { repos: [] })
  await store.pool.query('analyze')
  const { blocks } = await costOf((db) => hostsWithWork(db, NOW))
  expect(blocks).toBeLessThan(before + 100)
})
