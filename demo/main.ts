import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { AtpBaseClient } from '../codegen/client/index.js'
import type { JobView, RecordView, RepoView } from '../codegen/client/types/network/example/backfill/defs.js'
import { ProgressLine } from '../src/cli/progress.js'
import { Closers } from '../src/closers.js'
import { readConfig } from '../src/config.js'
import { createLogger } from '../src/events.js'
import { startService } from '../src/service.js'
import { type Caller, createWebCaller } from '../test/support/network/caller.js'
import { findFreePort } from '../test/support/network/loopback.js'
import { startNetwork } from '../test/support/network/network.js'
import { COLLECTIONS, populate, type World } from './world.js'

/**
 * `npm run demo`: a backfill from end to end, on this machine and nothing else. The directory, the PDSs, the
 * database and the service are the real ones; only the relay is a stand-in.
 */

type Backfill = AtpBaseClient['network']['example']['backfill']

const say = (text = '') => process.stdout.write(`${text}\n`)
const step = (number: number, text: string) => say(`\n${number}. ${text}`)

const closers = new Closers()
const began = performance.now()
try {
  await demo()
} finally {
  await closers.close()
}
say(
  `\nAll of it took ${((performance.now() - began) / 1000).toFixed(1)} s and is gone again. Next: the README.`,
)

async function demo(): Promise<void> {
  say('Aquifer brings every record of the collections you name, and says of every repo what became of it.')

  step(1, 'A small atproto network: a PLC directory, three PDSs and a relay.')
  const network = closers.use(await startNetwork({ pdsCount: 3, relayPageSize: 10 }))
  for (const pds of network.pdses) say(`   PDS    ${pds.url}`)
  say(`   PLC    ${network.plc.url}`)
  say(`   relay  ${network.relay.url}`)

  step(2, 'People write records of two collections that no public API serves.')
  const world = await populate(network)
  say(`   ${world.accounts.length} accounts, ${world.records.size} records of ${COLLECTIONS.join(' and ')}`)
  say(
    '   One account is then deactivated by its owner, one taken down by its PDS: the relay still lists both.',
  )

  step(3, 'Aquifer starts. No DATABASE_URL is set, so it starts a Postgres of its own.')
  const caller = closers.use(await createWebCaller())
  const service = await start(network.environment)
  say(`   ${service.config.identity.did} answers at ${service.config.server.publicUrl}`)

  step(4, 'Another service asks for a backfill, with a service-auth token signed by its own key.')
  say(`   ${caller.did} calls network.example.backfill.createJob`)
  const backfill = clientOf(service.config.server.publicUrl, service.config.identity.did, caller)
  const { data: created } = await backfill.createJob({ collections: COLLECTIONS, name: 'demo' })
  say(`   job ${created.id}: ${created.status}`)
  const job = await follow(backfill, created.id)

  step(5, 'What came out.')
  showRepos(job, await allRepos(backfill, job.id))
  await showRecords(world, await allRecords(backfill, job.id))
}

async function start(environment: Readonly<Record<string, string>>) {
  const directory = await mkdtemp(join(tmpdir(), 'aquifer-demo-'))
  closers.add(() => rm(directory, { recursive: true, force: true }))
  const config = readConfig({
    ...environment,
    DATA_DIR: directory,
    PORT: String(await findFreePort()),
    // Whoever can prove a DID may call: fit for a demo.
    BACKFILL_ACCESS: 'open',
    // The default of 100 requests a minute is kind to strangers; these PDSs are our own.
    HOST_MAX_RPM: '2000',
    HOST_START_RPM: '2000',
    LOG_LEVEL: 'warn',
  })
  return closers.use(
    await startService({ config, logger: createLogger(config.logLevel), api: true, engine: true }),
  )
}

/** The generated client, with a fresh token for every call. */
function clientOf(url: string, audience: string, caller: Caller): Backfill {
  const client = new AtpBaseClient(async (path, init) => {
    const lxm = new URL(path, url).pathname.slice('/xrpc/'.length)
    const headers = new Headers(init.headers)
    headers.set('authorization', `Bearer ${await caller.serviceJwt({ aud: audience, lxm })}`)
    return fetch(new URL(path, url), { ...init, headers })
  })
  return client.network.example.backfill
}

async function follow(backfill: Backfill, id: string): Promise<JobView> {
  const line = new ProgressLine(process.stdout)
  for (;;) {
    const { data: job } = await backfill.getJobStatus({ job: id })
    line.show(
      {
        discoveryComplete: job.discoveryComplete ?? false,
        total: job.totalRepos,
        processed: job.processedRepos,
        unavailable: job.unavailableRepos,
        failed: job.failedRepos,
        records: job.totalRecords,
      },
      Date.now(),
    )
    if (job.status !== 'running') {
      line.clear()
      say(`   ${job.status}: ${job.totalRecords} records of ${job.completedRepos} repos`)
      return job
    }
    await new Promise((resolve) => setTimeout(resolve, 200))
  }
}

async function allRepos(backfill: Backfill, job: string): Promise<RepoView[]> {
  const repos: RepoView[] = []
  let cursor: string | undefined
  do {
    const { data } = await backfill.listJobRepos({ job, limit: 100, ...(cursor && { cursor }) })
    repos.push(...data.repos)
    cursor = data.cursor
  } while (cursor)
  return repos
}

async function allRecords(backfill: Backfill, job: string): Promise<RecordView[]> {
  const records: RecordView[] = []
  let cursor: string | undefined
  do {
    const { data } = await backfill.listRecords({ job, limit: 500, ...(cursor && { cursor }) })
    records.push(...data.records)
    cursor = data.cursor
  } while (cursor)
  return records
}

function showRepos(job: JobView, repos: readonly RepoView[]): void {
  const outcomes = [
    `${job.completedRepos} completed`,
    `${job.unavailableRepos} unavailable`,
    `${job.failedRepos} failed`,
  ]
  say(`   Every repo has a verdict: ${outcomes.join(', ')}.`)
  for (const repo of repos.filter(({ status }) => status === 'unavailable')) {
    say(`     ${repo.did}  unavailable: ${repo.reason}`)
  }
  const largest = repos.reduce((a, b) => (b.recordsFetched > a.recordsFetched ? b : a))
  const receipt = largest.receipt
  if (receipt) {
    say(
      `     ${largest.did}  ${receipt.totalRecords} records, each with the CID of its content, at rev ${receipt.rev}`,
    )
  }
}

/** Compares what was delivered with what the PDSs hold, record for record. */
async function showRecords(world: World, delivered: readonly RecordView[]): Promise<void> {
  const { records, wanted } = world
  const same = delivered.filter(({ uri, cid, value }) => {
    const original = records.get(uri)
    return original?.cid === cid && isDeepStrictEqual(original.value, value)
  })
  say(`   ${delivered.length} records delivered. Beside what was written to the PDSs:`)
  say(
    `     ${same.length} the same, ${delivered.length - same.length} different, ${wanted.size - same.length} missing`,
  )
  for (const { uri, value } of delivered.slice(0, 2)) say(`     ${uri}\n       ${JSON.stringify(value)}`)
  if (same.length !== wanted.size || delivered.length !== wanted.size) {
    throw new Error('The backfill is not right record for record. This is a bug.')
  }
}
