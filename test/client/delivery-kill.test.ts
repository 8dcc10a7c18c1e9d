import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { fileURLToPath } from 'node:url'
import { isDeepStrictEqual } from 'node:util'
import { Secp256k1Keypair } from '@atproto/crypto'
import { expect, onTestFinished, test } from 'vitest'
import { formatPrivateKey } from '../../src/client/index.js'
import { Closers } from '../../src/closers.js'
import { startEmbeddedPostgres } from '../../src/postgres/embedded.js'
import { migrate, openStore, type Store } from '../../src/store/database.js'
import { postsOf } from '../api/delivery-support.js'
import { killHard, serverPid } from '../postgres/support.js'
import {
  addJob,
  completeJob,
  completion,
  didsOf,
  drive,
  resolution,
  writeSteps,
} from '../support/fixtures.js'
import { startDidWeb } from '../support/network/did-web.js'
import { findFreePort } from '../support/network/loopback.js'
import { AquiferProcess } from '../support/process.js'
import { eventually } from '../support/wait.js'

/** How many records there are; `npm run soak:delivery` is the long form, with a million. */
const RECORDS = Number(process.env.RECORDS ?? 20_000)

/** Repos are of different sizes, up to three messages; so many records on average. */
const RECORDS_PER_REPO = 601
const sizeOf = (index: number) => 1 + ((index * 5) % 13) * 100

/** Between two messages: what is killed is killed in the middle, and is back long before the end. */
const PAUSE_MS = RECORDS < 100_000 ? 60 : 15
const ROUNDS = Math.max(2, Math.round(RECORDS / 200_000))

/** It may take its time, but not stand still: a killed database has much to recover. */
const STALLED_MS = 180_000

/** Long enough that not everything is on its way at once, in the buffers of sockets. */
const TEXT = 'x'.repeat(1_500)

const CONSUMER = fileURLToPath(new URL('delivery-consumer.ts', import.meta.url))

/** The consumer's process. */
class Consumer {
  readonly #child: ChildProcess
  readonly #exited: Promise<unknown>

  constructor(child: ChildProcess, key: string) {
    this.#child = child
    this.#exited = once(child, 'exit')
    child.stdin!.end(key)
  }

  async kill(): Promise<void> {
    this.#child.kill('SIGKILL')
    await this.#exited
  }

  /** Waits until it has everything. @returns its exit code */
  async end(): Promise<number | null> {
    await this.#exited
    return this.#child.exitCode
  }
}

/** A job that has ended, with repos of all sizes. */
async function fill(store: Store, caller: string) {
  const dids = didsOf(Math.ceil(RECORDS / RECORDS_PER_REPO))
  const job = await addJob(store, { repos: dids, caller })
  const host = await drive(store.db)
  const sizes = dids.map((_, index) => sizeOf(index))
  const rows = postsOf(job, Math.max(...sizes), { text: TEXT })
  await writeSteps(store, ...dids.map((did) => resolution(job, did, host)))
  for (const [index, did] of dids.entries())
    await writeSteps(store, completion(job, did, host, rows.slice(0, sizes[index])))
  expect(await completeJob(store.db, job.key)).toBe(job.id)
  return { id: job.id, dids, records: sizes.reduce((sum, size) => sum + size) }
}

/** Where the consumer's table is not what is stored; not everywhere, if that is in many places. */
async function differences(db: DatabaseSync, store: Store, dids: readonly string[]): Promise<unknown[]> {
  const theirsOf = db.prepare('select uri, cid, value from record where did = ?')
  const found: unknown[] = []
  // Repo by repo: each is found by its key, however many there are.
  for (const did of dids) {
    const theirs = new Map(theirsOf.all(did).map(({ uri, cid, value }) => [String(uri), { cid, value }]))
    const { rows } = await store.pool.query<{ uri: string; cid: string; value: string }>(
      'select uri, cid, value from readable_record where did = $1',
      [did],
    )
    for (const { uri, cid, value } of rows) {
      const their = theirs.get(uri)
      theirs.delete(uri)
      const isSame =
        their?.cid === cid && isDeepStrictEqual(JSON.parse(String(their.value)), JSON.parse(value))
      if (!isSame) found.push(their ? { other: uri } : { missing: uri })
    }
    for (const uri of theirs.keys()) found.push({ excess: uri })
    if (found.length >= 10) break
  }
  return found.slice(0, 10)
}

test(
  'consumer, service and database killed in turn: the consumer has what is stored, nothing closed comes twice',
  async () => {
    const closers = new Closers()
    onTestFinished(() => closers.close())
    const folder = await mkdtemp(join(tmpdir(), 'aquifer-test-'))
    closers.add(() => rm(folder, { recursive: true, force: true, maxRetries: 10 }))
    const dataDirectory = join(folder, 'postgres')
    let server = await startEmbeddedPostgres({ dataDirectory })
    closers.add(() => server.release())
    const { url } = server
    const store = openStore({ url, connections: 3, applicationName: 'test', onError: () => {} })
    closers.use(store)
    await migrate(store)
    const web = closers.use(await startDidWeb())
    const keypair = await Secp256k1Keypair.create({ exportable: true })
    web.publish({ signingKey: keypair.did() })
    const key = await formatPrivateKey(keypair)
    const job = await fill(store, web.did)

    const environment = {
      PORT: String(await findFreePort()),
      ALLOW_PRIVATE_NETWORK: 'true',
      RELAYS: web.server.url,
    }
    const startService = () => AquiferProcess.start('serve', { database: { url, ...NOT_OURS }, environment })
    let service = await startService()
    closers.add(() => service[Symbol.asyncDispose]())
    const table = join(folder, 'consumer.db')
    const mayEnd = join(folder, 'may-end')
    const startConsumer = () => {
      const how = [String(PAUSE_MS), String(job.dids.length), mayEnd]
      const args = ['--import', 'tsx', CONSUMER, table, service.url, web.did, job.id, ...how]
      return new Consumer(spawn(process.execPath, args, { stdio: ['pipe', 'ignore', 'inherit'] }), key)
    }
    let consumer = startConsumer()
    closers.add(() => consumer.kill())

    const turns = {
      async consumer() {
        await consumer.kill()
        consumer = startConsumer()
      },
      async service() {
        await service.kill()
        service = await startService()
      },
      async database() {
        await killHard(await serverPid(dataDirectory))
        server = await startEmbeddedPostgres({ dataDirectory })
        expect(server.url).toBe(url)
      },
    }
    const db = new DatabaseSync(table)
    closers.add(() => db.close())
    db.exec('pragma journal_mode = wal')
    const closedRepos = () => {
      const isThere = db.prepare("select 1 from sqlite_master where name = 'repo'").get()
      return isThere ? Number(db.prepare('select count(*) as n from repo').get()!.n) : 0
    }
    const kills = Array.from({ length: ROUNDS }, () => Object.values(turns)).flat()
    for (const [index, kill] of kills.entries()) {
      // Somewhere in the next part.
      const target = (job.dids.length * (index + Math.random())) / (kills.length + 1)
      for (let closed = closedRepos(); closed < target; )
        closed = await eventually(closedRepos, (count) => count > closed, STALLED_MS)
      expect(closedRepos(), 'how far it is when it is killed').toBeLessThan(job.dids.length)
      await kill()
    }
    await writeFile(mayEnd, '')
    expect(await consumer.end()).toBe(0)

    expect(await differences(db, store, job.dids)).toEqual([])
    // Nobody else has anything.
    expect(db.prepare('select count(*) as n from record').get()).toEqual({ n: job.records })
    expect(db.prepare('select count(*) as repos, sum(records) as records from repo').get()).toEqual({
      repos: job.dids.length,
      records: job.records,
    })
    expect(db.prepare('select * from late').all()).toEqual([])
    const repeated = db.prepare('select count(distinct did) as repos from record where copies > 1').get()
    expect(repeated!.repos).toBeLessThanOrEqual(kills.length)
  },
  600_000 + RECORDS,
)

/** The database is disposed of by whoever started it. */
const NOT_OURS = { [Symbol.asyncDispose]: async () => {} }
