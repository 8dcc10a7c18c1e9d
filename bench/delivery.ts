import { fork } from 'node:child_process'
import { once } from 'node:events'
import { decodeFirst, encode } from '@atcute/cbor'
import { TID } from '@atproto/common-web'
import { BackfillClient, callerDidDocument, generateKey } from '../src/client/index.js'
import { CollectionIds } from '../src/store/collections.js'
import type { Store } from '../src/store/database.js'
import { hostIds } from '../src/store/hosts.js'
import { findFreePort } from '../test/support/network/loopback.js'
import type { Benchmark } from './main.js'
import { copyOut } from './support/copy-out.js'
import { cpuSeconds } from './support/cpu.js'
import { COLLECTION, makePosts } from './support/posts.js'
import { programPath } from './support/program.js'
import { makeJob } from './support/timed-job.js'

const PROGRAM = programPath(import.meta.url, './support/delivery-service')
const CALLER = 'bench.example'
const RECORDS_PER_REPO = 100
const ROUNDS = 3

/** Who follow a job at the same time, one of them taking nothing. */
const FOLLOWERS = 50

/** Different posts; all others are like these. */
const POSTS = 2_000

/**
 * Records a second that leave the service, from the first request to the last record parsed by who asked, against
 * `COPY … TO STDOUT` of the same rows with one `JSON.parse` for each; and what the service needs for that.
 */
export const delivery: Benchmark = {
  about: 'exportRecords and subscribeRecords against COPY … TO STDOUT and a JSON.parse per row',
  async run(store, say, url, short) {
    await using service = await startService(store, url)
    const small = await fill(store, 10_000)
    const large = await fill(store, short ? 100_000 : 1_000_000)
    await store.pool.query('vacuum analyze')
    const ways = { copy: [] as number[], exported: [] as number[], subscribed: [] as number[] }
    const peaks = { exported: [0, 0], subscribed: [0, 0] }
    // Warm: what is measured is not the compiler.
    for (const job of [small, large]) await drain(service, job)
    for (let round = 0; round < ROUNDS; round += 1) {
      for (const [index, job] of [small, large].entries()) {
        await service.read()
        const exported = await timed(job, service, () => exportAll(service.client, job))
        const subscribed = await timed(job, service, () => subscribeAll(service.client, job))
        const parsed = await timed(job, service, () => copyAll(url, job))
        peaks.exported[index] = Math.max(peaks.exported[index]!, exported.peakRssMb)
        peaks.subscribed[index] = Math.max(peaks.subscribed[index]!, subscribed.peakRssMb)
        if (job !== large) continue
        ways.copy.push(parsed.rate)
        ways.exported.push(exported.rate)
        ways.subscribed.push(subscribed.rate)
        for (const [name, figures] of Object.entries({ parsed, exported, subscribed }))
          say(
            `${name.padEnd(10)} ${Math.round(figures.rate)} records/s, CPU: service ${figures.cpu.toFixed(1)} µs, ` +
              `Postgres ${figures.postgres.toFixed(1)} µs, here ${figures.here.toFixed(1)} µs a record`,
          )
      }
    }
    const stalledVsNone = await crowded(service, small, say)
    const [copy, exported, subscribed] = [ways.copy, ways.exported, ways.subscribed].map(median)
    return {
      exportVsCopy: round(exported! / copy!),
      subscribeVsCopy: round(subscribed! / copy!),
      stalledVsNone,
      exportRssMb: peaks.exported[1]!,
      exportRssGrowth: round(peaks.exported[1]! / peaks.exported[0]!),
      subscribeRssMb: peaks.subscribed[1]!,
      subscribeRssGrowth: round(peaks.subscribed[1]! / peaks.subscribed[0]!),
    }
  },
}

interface StoredJob {
  readonly id: string
  readonly key: number
  readonly records: number
  /** The numbers of its repos, the first and the last. */
  readonly repos: readonly [number, number]
}

interface Service extends AsyncDisposable {
  readonly client: BackfillClient
  readonly store: Store
  read(): Promise<{ cpuSeconds: number; peakRssMb: number }>
}

async function startService(store: Store, url: string): Promise<Service> {
  const key = await generateKey()
  const document = callerDidDocument({ hostname: CALLER, key })
  await store.pool.query('insert into identity (did, document, updated_at) values ($1, $2, now())', [
    document.id,
    JSON.stringify(document),
  ])
  const port = await findFreePort()
  const child = fork(PROGRAM, {
    env: {
      PATH: process.env.PATH,
      PORT: String(port),
      DATABASE_URL: url,
      BACKFILL_ACCESS: 'open',
      QUOTA_REQUESTS_PER_MINUTE: '0',
      QUOTA_STREAMS: '0',
      LOG_LEVEL: 'warn',
    },
  })
  const gone = once(child, 'exit').then(() => {
    throw new Error('the service has ended')
  })
  gone.catch(() => {})
  const told = async () => (await Promise.race([once(child, 'message'), gone]))[0]
  await told()
  return {
    client: new BackfillClient({ service: `http://localhost:${port}`, did: document.id, key }),
    store,
    async read() {
      const answer = told()
      child.send('read')
      return answer
    },
    async [Symbol.asyncDispose]() {
      child.kill()
      await gone.catch(() => {})
    },
  }
}

/** A job that has ended, with so many posts of accounts of its own. */
async function fill(store: Store, records: number): Promise<StoredJob> {
  const { pool } = store
  const repos = records / RECORDS_PER_REPO
  const id = TID.nextStr()
  const dids = Array.from({ length: repos }, (_, n) => `did:plc:${id}${String(n).padStart(11, 'a')}`)
  const key = await makeJob(store, { id, collections: [COLLECTION], from: { repos: dids } })
  const host = (await hostIds(store.db, ['https://pds.example'])).get('https://pds.example')!
  const collection = (await new CollectionIds(store.db).of([COLLECTION])).get(COLLECTION)!
  await pool.query(`update job_repo set status = 'completed', host = $2, records = $3 where job = $1`, [
    key,
    host,
    RECORDS_PER_REPO,
  ])
  await pool.query(
    `insert into receipt (repo, scope, records, level, method, host, counts, completed_at)
     select r.repo, job.scope, $2, 'content', 'list-records', $3, $4, now()
     from job_repo r join job on job.key = r.job where r.job = $1`,
    [key, RECORDS_PER_REPO, host, JSON.stringify({ [COLLECTION]: RECORDS_PER_REPO })],
  )
  const posts = makePosts(POSTS, 1)
  await pool.query(
    `insert into record (repo, collection, level, rkey, cid, value)
     select r.repo, $2, 'content', p.rkey, p.cid, p.value
     from (select repo, row_number() over (order by seq) as n from job_repo where job = $1) r
     cross join lateral (
       select * from unnest($3::text[], $4::text[], $5::json[]) with ordinality as t (rkey, cid, value, n)
       where t.n > r.n * 7 % $6 and t.n <= r.n * 7 % $6 + $7
     ) p
     -- A page of a repo is written at once: its records lie side by side.
     order by r.n, p.n`,
    [
      key,
      collection,
      posts.map(({ rkey }) => rkey),
      posts.map(({ cid }) => cid),
      // In the order that a PDS gives the fields in, which is that of DAG-CBOR.
      posts.map(({ value }) => JSON.stringify(decodeFirst(encode(value))[0])),
      POSTS - RECORDS_PER_REPO,
      RECORDS_PER_REPO,
    ],
  )
  await pool.query(`update job_progress set completed = total, records = $2 where job = $1`, [key, records])
  await pool.query(`update job set status = 'completed', stage = 'completed' where key = $1`, [key])
  const { rows: range } = await pool.query<{ first: number; last: number }>(
    'select min(repo) as first, max(repo) as last from job_repo where job = $1',
    [key],
  )
  return { id, key, records, repos: [range[0]!.first, range[0]!.last] }
}

async function exportAll(client: BackfillClient, job: StoredJob): Promise<number> {
  let records = 0
  for await (const message of client.exportRecords(job.id))
    if (message.type === 'records') records += message.records.length
  return records
}

async function subscribeAll(client: BackfillClient, job: StoredJob): Promise<number> {
  let records = 0
  for await (const message of client.records(job.id))
    if (message.type === 'records') records += message.records.length
  return records
}

/** Records a second to all followers but one, when that one has stalled, against when it is not there. */
async function crowded(service: Service, job: StoredJob, say: (line: string) => void): Promise<number> {
  const rates = { none: [] as number[], stalled: [] as number[] }
  for (const kind of ['none', 'stalled', 'stalled', 'none'] as const) {
    const stalled = kind === 'stalled' ? service.client.records(job.id) : null
    await stalled?.next()
    const others = Array.from({ length: FOLLOWERS - 1 }, () => subscribeAll(service.client, job))
    const began = performance.now()
    const records = (await Promise.all(others)).reduce((sum, each) => sum + each)
    const rate = records / ((performance.now() - began) / 1_000)
    await stalled?.return()
    if (records !== others.length * job.records) throw new Error(`${records} records to ${others.length}`)
    rates[kind].push(rate)
    say(`${others.length} others, ${kind} stalled: ${Math.round(rate)} records/s`)
  }
  const sum = (values: readonly number[]) => values.reduce((total, value) => total + value)
  return round(sum(rates.stalled) / sum(rates.none))
}

/** Of `COPY`'s escapes only the backslash is in a JSON text. */
async function copyAll(url: string, { repos: [first, last] }: StoredJob): Promise<number> {
  const statement = `copy (
    select repo, collection, rkey, cid, value from record
    where repo between ${first} and ${last} and cid is not null
  ) to stdout`
  return copyOut(url, statement, (row) => {
    const [, , , , value = ''] = row.split('\t')
    JSON.parse(value.includes('\\') ? value.replaceAll('\\\\', '\\') : value)
  })
}

async function drain(service: Service, job: StoredJob): Promise<void> {
  await exportAll(service.client, job)
  await subscribeAll(service.client, job)
}

async function timed(job: StoredJob, service: Service, run: () => Promise<number>) {
  const before = { service: await service.read(), ...(await cpuSeconds(service.store.pool)) }
  const began = performance.now()
  const records = await run()
  const seconds = (performance.now() - began) / 1_000
  const after = { service: await service.read(), ...(await cpuSeconds(service.store.pool)) }
  if (records !== job.records) throw new Error(`${records} records, and not ${job.records}`)
  const perRecord = (spent: number) => (spent / records) * 1e6
  return {
    rate: records / seconds,
    peakRssMb: after.service.peakRssMb,
    cpu: perRecord(after.service.cpuSeconds - before.service.cpuSeconds),
    postgres: perRecord((after.postgres ?? 0) - (before.postgres ?? 0)),
    here: perRecord(after.node - before.node),
  }
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1]!
}

function round(value: number): number {
  return Math.round(value * 100) / 100
}
