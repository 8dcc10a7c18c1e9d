import { expect } from 'vitest'
import type { JobView } from '../../codegen/client/types/network/example/backfill/defs.js'
import { Closers } from '../../src/closers.js'
import { createDatabase, type TestDatabase } from '../support/database.js'
import { assertCountersEqualRows } from '../support/fixtures.js'
import { collectRecords, collectRepos, finished as finishedJob } from '../support/jobs.js'
import type { StoredRecord } from '../support/network/accounts.js'
import { type Caller, createWebCaller } from '../support/network/caller.js'
import { startRelay, type TestRelay } from '../support/network/relay.js'
import { type StandInDirectory, startStandInDirectory } from '../support/network/stand-in-directory.js'
import { type StandInOptions, type StandInPds, startStandInPds } from '../support/network/stand-in-pds.js'
import {
  type Backfill,
  startTestService,
  type TestService,
  type TestServiceOptions,
} from '../support/service.js'
import { eventually } from '../support/wait.js'

/** Often, because most of what these tests wait for is the next sweep. */
export const SWEEP_EVERY_MS = 300

export const POST = 'network.example.post'
export const LIKE = 'network.example.like'

let dids = 0

/** A DID that nobody has used in this process. They ascend. */
export function newDid(): string {
  dids += 1
  const digits = dids.toString(32).padStart(4, '0')
  const letters = [...digits].map((digit) => BASE32[Number.parseInt(digit, 32)])
  return `did:plc:${'standin'.repeat(3).slice(0, 20)}${letters.join('')}`
}

/** In the order of their characters. */
const BASE32 = '234567abcdefghijklmnopqrstuvwxyz'

export const newDids = (count: number) => Array.from({ length: count }, newDid)

/** A network of stand-ins: a relay, a directory, PDSs as they are asked for, and somebody who asks for jobs. */
export class StandIns implements AsyncDisposable {
  readonly #closers = new Closers()

  private constructor(
    readonly relay: TestRelay,
    readonly directory: StandInDirectory,
    readonly caller: Caller,
  ) {
    for (const part of [relay, directory, caller]) this.#closers.use(part)
  }

  /** @param options how many repos the relay has on a page; as many as are asked for when absent */
  static async start(options: { relayPageSize?: number } = {}): Promise<StandIns> {
    return new StandIns(
      await startRelay({ pageSize: options.relayPageSize }),
      await startStandInDirectory(),
      await createWebCaller(),
    )
  }

  /** What points a service at these hosts. */
  get environment(): Readonly<Record<string, string>> {
    return {
      RELAYS: this.relay.url,
      PLC_URL: this.directory.url,
      // Nobody has a handle here.
      HANDLE_RESOLVER_URL: this.directory.url,
      ALLOW_PRIVATE_NETWORK: 'true',
    }
  }

  async pds(options?: StandInOptions): Promise<StandInPds> {
    return this.#closers.use(await startStandInPds(options))
  }

  /** Accounts with so many records each on a PDS, known to the directory and to the relay. */
  populate(
    pds: StandInPds,
    accounts: number,
    records: number | ((index: number) => number),
    collection = POST,
  ) {
    const made = newDids(accounts)
    for (const [index, did] of made.entries()) {
      pds.host(did, collection, typeof records === 'number' ? records : records(index))
      this.directory.register(did, pds.url)
      this.relay.add(did, [collection])
    }
    return made
  }

  /** A service on these hosts. */
  service(options: Omit<TestServiceOptions, 'network'> = {}): Promise<TestService> {
    return startTestService({
      ...options,
      network: this,
      overrides: { sweepEveryMs: SWEEP_EVERY_MS, ...options.overrides },
    })
  }

  /** An empty database with a service that answers requests, and no engine. */
  async bench(): Promise<Bench> {
    const database = await createDatabase()
    const api = await this.service({ database, engine: false })
    return {
      database,
      api,
      backfill: api.as(this.caller),
      async [Symbol.asyncDispose]() {
        await api[Symbol.asyncDispose]()
        await database[Symbol.asyncDispose]()
      },
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#closers.close()
  }
}

/** What outlives the engines that a test starts and stops. */
export interface Bench extends AsyncDisposable {
  readonly database: TestDatabase
  readonly api: TestService
  readonly backfill: Backfill
}

/** A job once it has ended. Two cores may be busy with other tests. */
export function finished(backfill: Backfill, job: string, timeoutMs = 40_000): Promise<JobView> {
  return finishedJob(backfill, job, timeoutMs)
}

/** For an engine that `told` is waited for. */
export const ALIVE_EVERY_MS = 250

/**
 * Waits until every engine on a database has looked, after this was called, which of its jobs are to stop: a look
 * follows each time that it says it is alive, and is through before the next.
 */
export async function told({ api }: Pick<Bench, 'api'>): Promise<void> {
  const { pool } = api.service.store
  for (let reports = 0; reports < 2; reports += 1) {
    const { rows } = await pool.query<{ now: string }>('select now()::text as now')
    await eventually(
      () => pool.query('select from worker having count(*) > 0 and min(reported_at) > $1', [rows[0]!.now]),
      ({ rowCount }) => rowCount === 1,
    )
  }
}

/** Asserts that all counters equal their rows, once what was under way for jobs that have ended is through. */
export async function expectCounters({ service }: Pick<TestService, 'service'>): Promise<void> {
  const differences = () => assertCountersEqualRows(service.store).catch((error: unknown) => String(error))
  await eventually(differences, (found) => found === undefined, 5_000)
}

/** Asserts that a job holds exactly these records, each once, and that all counters equal their rows. */
export async function expectRecords(
  { backfill, api }: { backfill: Backfill; api: Pick<TestService, 'service'> },
  job: string,
  expected: Iterable<StoredRecord>,
): Promise<void> {
  const records = await collectRecords(backfill, { job, limit: 1_000 })
  const byUri = (list: Iterable<StoredRecord>) => [...list].sort((a, b) => (a.uri < b.uri ? -1 : 1))
  expect(byUri(records as unknown as StoredRecord[])).toEqual(byUri(expected))
  await expectCounters(api)
}

/** What became of each repo of a job, by DID. */
export async function outcomes(backfill: Backfill, job: string): Promise<Map<string, string>> {
  const repos = await collectRepos(backfill, job, 100)
  return new Map(
    repos.map(({ did, status, reason, failure }) => [
      did,
      [status, reason ?? failure?.class].filter(Boolean).join(' '),
    ]),
  )
}
