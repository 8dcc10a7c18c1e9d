import { Kysely, PostgresDialect } from 'kysely'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import {
  deferRevListing,
  dueRevListing,
  endRevListing,
  type PageTimes,
  revsFor,
  saveRevs,
  saveRevsPage,
  standingReceipts,
} from '../../src/store/host-revs.js'
import { markUnsupported, unsupportedBy } from '../../src/store/host-support.js'
import { claimHost, type HostClaim } from '../../src/store/hosts.js'
import type { Database } from '../../src/store/schema.js'
import { createStore } from '../support/database.js'
import {
  addJob,
  completion,
  didOf,
  didsOf,
  drive,
  empty,
  LIKE,
  POST,
  posts,
  resolution,
  revOf,
  type TestJob,
  writeSteps,
} from '../support/fixtures.js'

let store: Awaited<ReturnType<typeof createStore>>
let host: HostClaim
let job: TestJob

beforeAll(async () => {
  store = await createStore()
})

afterAll(() => store[Symbol.asyncDispose]())

beforeEach(async () => {
  host = await drive(store.db)
  job = await addJob(store, { repos: didsOf(10) })
  await writeSteps(store, ...didsOf(10).map((did) => resolution(job, did, host)))
})

afterEach(async () => {
  await empty(store)
  await store.pool.query('truncate repo_rev')
})

/** Moments of a morning, by minute. */
const at = (minute: number) => new Date(Date.UTC(2030, 4, 6, 7, minute))
/** A question and its answer a second later. */
const asked = (minute: number): PageTimes => ({
  askedAt: at(minute),
  answeredAt: new Date(at(minute).getTime() + 1_000),
})

const named = (dids: readonly string[], rev = revOf(1)) => dids.map((did) => ({ did, rev }))
const due = (minute: number, jobs = [job]) =>
  dueRevListing(
    store.db,
    host.host,
    jobs.map(({ key }) => key),
    { share: 0.05, now: at(minute) },
  )

interface PageOf {
  readonly from?: string | null
  readonly cursor?: string | null
  readonly listed?: number
  readonly of?: HostClaim
}

const save = (
  minute: number,
  revs: { did: string; rev: string }[],
  { from = null, cursor = null, listed = revs.length, of = host }: PageOf = {},
) => saveRevsPage(store.db, of.host, from, { revs, listed, cursor }, asked(minute))

/** A whole listing of one page. */
async function list(minute: number, revs: { did: string; rev: string }[], jobs = [job]) {
  await store.pool.query('update rev_listing set done = true, jobs = $1', [[]])
  expect(await due(minute, jobs)).not.toBeNull()
  return save(minute, revs)
}

const repo = (number: number) => job.repos.get(didOf(number))!
const revsOf = async (numbers: readonly number[], of = job, at = host) => {
  const found = await revsFor(store.db, { host: at.host, job: of.key, repos: numbers.map(repo) })
  return numbers.map((number) => found.get(repo(number))?.rev ?? null)
}

describe('the revs that a host names', () => {
  test('are kept for repos that we know, the newest where it names several', async () => {
    await due(0)
    const revs = [...named([didOf(0), didOf(1)]), ...named([didOf(1)], revOf(2)), ...named([didOf(99)])]
    expect(await save(1, revs)).toEqual({ became: 'saved', listed: 4, wanted: 2 })
    expect(await revsOf([0, 1, 2])).toEqual([revOf(1), revOf(2), null])
    expect((await store.pool.query('select 1 from repo where did = $1', [didOf(99)])).rows).toEqual([])
  })

  test('count for the job that they were read for, and not for one that came later', async () => {
    await due(0)
    await save(1, named([didOf(0)]))
    const late = await addJob(store, { repos: [didOf(0)] })
    expect(await revsOf([0], job)).toEqual([revOf(1)])
    expect(await revsOf([0], late)).toEqual([null])
  })

  test('count for a job only as far as they were named since it was begun', async () => {
    await list(0, named(didsOf(2)))
    const late = await addJob(store, { repos: didsOf(10) })
    await writeSteps(store, ...didsOf(10).map((did) => resolution(late, did, host)))
    expect(await due(10, [late])).toEqual({ cursor: null, attempts: 0 })
    expect(await revsOf([0, 1], late)).toEqual([null, null])
    await save(11, named([didOf(0)]))
    expect(await revsOf([0, 1], late)).toEqual([revOf(1), null])
  })

  test('count at the host that named them last, and at no other', async () => {
    const other = await drive(store.db, 'https://other.example')
    await due(0)
    await save(1, named([didOf(0)]))
    expect(await revsOf([0], job, other)).toEqual([null])
  })

  test('are wanted where a job that runs has the account, whatever became of it', async () => {
    const failed = await addJob(store, { repos: [didOf(20)] })
    await due(0, [job, failed])
    await writeSteps(store, completion(job, didOf(0), host, posts(job, 'a')))
    expect(await save(1, named([didOf(0), didOf(5), didOf(20), didOf(30)]))).toMatchObject({ wanted: 3 })
    await store.pool.query(`update job set status = 'paused' where key = $1`, [job.key])
    await store.pool.query('update rev_listing set done = false')
    expect(await save(2, named([didOf(0), didOf(5), didOf(20)]))).toMatchObject({ wanted: 4 })
  })
})

describe('a receipt of a reading in a single answer', () => {
  /** Read between these minutes, at no rev. */
  async function read(from: number, to: number, number = 0, of = host) {
    await writeSteps(store, completion(job, didOf(number), of, posts(job, 'a')))
    await store.pool.query('update receipt set read_from = $1, completed_at = $2 where repo = $3', [
      at(from),
      at(to),
      repo(number),
    ])
  }
  const receipt = async (number = 0) => {
    const { rows } = await store.pool.query('select rev from receipt where repo = $1', [repo(number)])
    return rows[0].rev
  }

  test('gets the rev that was named before the reading, and still is after it', async () => {
    await list(1, named([didOf(0)]))
    await read(2, 3)
    await list(4, named([didOf(0)]))
    expect(await receipt()).toBe(revOf(1))
  })

  test.each<[string, { before: number; read: [number, number]; after: number }]>([
    ['named before only', { before: 1, read: [2, 6], after: 5 }],
    ['named after only', { before: 3, read: [2, 4], after: 5 }],
    ['answered after the reading had begun', { before: 2, read: [2, 3], after: 4 }],
  ])('gets none that was %s', async (_, { before, read: [from, to], after }) => {
    await list(before, named([didOf(0)]))
    await read(from, to)
    await list(after, named([didOf(0)]))
    expect(await receipt()).toBeNull()
  })

  test('gets none where the rev has moved, though it is named again', async () => {
    await list(1, named([didOf(0)]))
    await read(2, 3)
    await list(4, named([didOf(0)], revOf(2)))
    expect(await receipt()).toBeNull()
    await list(5, named([didOf(0)]))
    expect(await receipt()).toBeNull()
  })

  test('gets none where it is not known when the reading began', async () => {
    await list(1, named([didOf(0)]))
    await read(2, 3)
    await store.pool.query('update receipt set read_from = null')
    await list(4, named([didOf(0)]))
    expect(await receipt()).toBeNull()
  })

  test('gets none from a host that it was not read at', async () => {
    const other = await drive(store.db, 'https://other.example')
    await list(1, named([didOf(0)]))
    await read(2, 3)
    await store.pool.query('update receipt set host = $1', [other.host])
    await list(4, named([didOf(0)]))
    expect(await receipt()).toBeNull()
  })

  test('keeps the rev that it has', async () => {
    await list(1, named([didOf(0)]))
    await read(2, 3)
    await store.pool.query('update receipt set rev = $1', [revOf(7)])
    await list(4, named([didOf(0)]))
    expect(await receipt()).toBe(revOf(7))
  })
})

describe('reading the revs of a host', () => {
  test('goes on from page to page, whoever drives it, and begins once for a job', async () => {
    expect(await due(0)).toEqual({ cursor: null, attempts: 0 })
    expect(await save(1, named([didOf(0)]), { cursor: 'next' })).toMatchObject({ became: 'saved' })
    host = (await claimHost(store.db, host.host))!
    expect(await due(2)).toMatchObject({ cursor: 'next' })
    const last = await save(3, named([didOf(1)]), { from: 'next' })
    expect(last).toEqual({ became: 'saved', listed: 2, wanted: 2 })
    expect(await due(4)).toBeNull()
    expect(await revsOf([0, 1])).toEqual([revOf(1), revOf(1)])
  })

  test('writes nothing of a page that somebody else has read meanwhile', async () => {
    await due(0)
    await save(1, named([didOf(0)]), { cursor: 'next' })
    expect(await save(2, named([didOf(1)]), { cursor: 'other' })).toMatchObject({ became: 'moved-on' })
    expect(await save(2, named([didOf(1)]), { from: 'else' })).toMatchObject({ became: 'moved-on' })
    expect(await revsOf([0, 1])).toEqual([revOf(1), null])
    expect(await due(3)).toMatchObject({ cursor: 'next' })
  })

  test('ends where cursors lead in circles', async () => {
    await due(0)
    const circle = ['a', 'b', 'c', 'd']
    let from: string | null = null
    let pages = 0
    for (let became = 'saved'; became === 'saved' && pages < 20; pages += 1) {
      const cursor: string = circle[pages % circle.length]!
      became = (await save(1, [], { from, cursor })).became
      from = cursor
    }
    expect(pages).toBeLessThan(12)
    expect(await due(2)).toBeNull()
  })

  test('waits where it failed, and is given up', async () => {
    await due(0)
    await deferRevListing(store.db, host.host, { attempts: 1, retryAt: at(2) })
    expect(await due(1)).toBeNull()
    expect(await due(2)).toMatchObject({ attempts: 1 })
    await endRevListing(store.db, host.host, 'failed', at(30))
    expect(await due(60)).toBeNull()
    // Another job need not find out again what the host cannot do, but may see whether it can by then.
    const late = await addJob(store, { repos: didsOf(10) })
    await writeSteps(store, ...didsOf(10).map((did) => resolution(late, did, host)))
    expect(await due(29, [job, late])).toBeNull()
    expect(await due(30, [job, late])).toEqual({ cursor: null, attempts: 0 })
  })

  test('is not begun for a few repos, nor for none', async () => {
    const few = await addJob(store, { repos: didsOf(4) })
    await writeSteps(store, ...didsOf(4).map((did) => resolution(few, did, host)))
    expect(await due(0, [few])).toBeNull()
    expect(await due(0, [])).toBeNull()
    const enough = await addJob(store, { repos: didsOf(5) })
    await writeSteps(store, ...didsOf(5).map((did) => resolution(enough, did, host)))
    expect(await due(0, [few, enough])).not.toBeNull()
  })

  test('is begun on a host of a known size where a job wants a share of it, for a day', async () => {
    await due(0)
    await save(1, named([didOf(0)]), { listed: 201 })
    const late = await addJob(store, { repos: didsOf(10) })
    await writeSteps(store, ...didsOf(10).map((did) => resolution(late, did, host)))
    expect(await due(2, [late])).toBeNull()
    await store.pool.query('update rev_listing set listed = 200')
    expect(await due(2, [late])).not.toBeNull()
    await store.pool.query('update rev_listing set listed = 201, done = true, jobs = $1', [[]])
    expect(await due(60, [late])).toBeNull()
    expect(await due(2 + 24 * 60, [late])).not.toBeNull()
  })

  test('is tried again later for a job that is still finding repos, and not for others', async () => {
    const finding = await addJob(store, { relays: ['https://relay.example'] })
    await store.pool.query(
      `insert into job_repo (repo, job, host, did, status, seq)
       select repo, $1, host, did, 'resolved', seq from job_repo where job = $2`,
      [finding.key, job.key],
    )
    await due(0, [job, finding])
    await save(1, named([didOf(0)]), { cursor: 'next', listed: 100 })
    await endRevListing(store.db, host.host, 'judged', at(3))
    expect(await due(2, [job, finding])).toBeNull()
    expect(await due(3, [job])).toBeNull()
    expect(await due(3, [job, finding])).toEqual({ cursor: null, attempts: 0 })
  })
})

describe('receipts that may stand for another wish', () => {
  const find = (level: 'none' | 'content' | 'signed' = 'content', of = job, repos = [repo(0), repo(1)]) =>
    standingReceipts(store.db, { repos, scope: of.scope, level })

  test('have a rev, reach the level, and come the best first', async () => {
    const rev = (number: number) => ({ rev: revOf(number) })
    const likes = await addJob(store, { collections: [LIKE], repos: didsOf(2) })
    const all = await addJob(store, { collections: null, repos: didsOf(2) })
    await writeSteps(
      store,
      completion(job, didOf(0), host, posts(job, 'a'), rev(1)),
      completion(job, didOf(1), host, posts(job, 'b')),
      completion(likes, didOf(0), host, [], rev(3)),
    )
    await writeSteps(store, completion(all, didOf(0), host, [], { ...rev(2), level: 'signed' }))
    const found = await find()
    expect([...found.keys()]).toEqual([repo(0)])
    expect(found.get(repo(0))!.map(({ collections, rev, level }) => ({ collections, rev, level }))).toEqual([
      { collections: [LIKE, POST], rev: revOf(1), level: 'content' },
      { collections: [], rev: revOf(2), level: 'signed' },
      { collections: [LIKE], rev: revOf(3), level: 'content' },
    ])
    expect(found.get(repo(0))![0]).toMatchObject({ counts: { [POST]: 1, [LIKE]: 0 }, host: host.host })
    expect((await find('signed')).get(repo(0))!.map(({ rev }) => rev)).toEqual([revOf(2)])
  })
})

describe('what a host does not offer', () => {
  const unsupported = async (minute: number) => [...(await unsupportedBy(store.db, host.host, at(minute)))]
  const DAYS = 24 * 60

  test('is known until it is asked again, days later', async () => {
    expect(await unsupported(0)).toEqual([])
    await markUnsupported(store.db, host, 'getBlocks', at(0))
    await markUnsupported(store.db, host, 'getRecord', at(DAYS))
    await markUnsupported(store.db, host, 'getBlocks', at(2 * DAYS))
    expect((await unsupported(3 * DAYS - 1)).sort()).toEqual(['getBlocks', 'getRecord'])
    expect(await unsupported(3 * DAYS)).toEqual([])
    await markUnsupported(store.db, host, 'getRepo', at(3 * DAYS))
    expect(await unsupported(3 * DAYS)).toEqual(['getRepo'])
  })

  test('is noted by the one who drives it only', async () => {
    await claimHost(store.db, host.host)
    await markUnsupported(store.db, host, 'getBlocks', at(0))
    expect(await unsupported(0)).toEqual([])
  })
})

describe('in a large database without statistics', () => {
  test('a page is kept without reading tables whole', async () => {
    for (const table of ['job_repo', 'repo', 'receipt', 'repo_rev']) {
      await store.pool.query(`alter table ${table} set (autovacuum_enabled = off)`)
    }
    await store.pool.query(
      `insert into repo (did) select 'did:plc:' || lpad(n::text, 24, '0') from generate_series(10, 30000) n`,
    )
    await store.pool.query(
      `insert into job_repo (repo, job, host, did, status, seq)
       select id, $1, $2, did, 'resolved', id from repo on conflict do nothing`,
      [job.key, host.host],
    )
    await store.pool.query(
      `insert into receipt (repo, scope, records, level, method, host, counts, completed_at, read_from)
       select id, $1, 2, 'content', 'list-records', $2, '{}', $3, $3 from repo`,
      [job.scope, host.host, at(2)],
    )
    await list(1, named(didsOf(1_000, 5_000)))
    await list(3, named(didsOf(1_000, 5_000)))
    const { rows } = await store.pool.query('select count(*) from receipt where rev is not null')
    expect(rows).toEqual([{ count: 1_000 }])

    const statements: { sql: string; parameters: readonly unknown[] }[] = []
    const recording = new Kysely<Database>({
      dialect: new PostgresDialect({ pool: store.pool }),
      log: ({ query: { sql, parameters } }) => {
        statements.push({ sql, parameters })
      },
    })
    await recording.transaction().execute(async (trx) => {
      await saveRevs(trx, host.host, named(didsOf(1_000, 5_000)), asked(4))
      await revsFor(trx, { host: host.host, job: job.key, repos: [1, 2, 3] })
    })
    const asking = statements.filter(({ parameters }) => parameters.length > 0)
    expect(asking).toHaveLength(4)
    const scanned: string[] = []
    for (const { sql, parameters } of asking) {
      const { rows: lines } = await store.pool.query<{ 'QUERY PLAN': string }>(`explain ${sql}`, [
        ...parameters,
      ])
      const plan = lines.map((line) => line['QUERY PLAN']).join('\n')
      scanned.push(...[...plan.matchAll(/Seq Scan on (\w+)/g)].map(([, table]) => table!))
    }
    expect(scanned.filter((table) => ['job_repo', 'repo', 'receipt', 'repo_rev'].includes(table))).toEqual([])
  })
})
