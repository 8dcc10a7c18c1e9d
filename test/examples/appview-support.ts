import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { pathToFileURL } from 'node:url'
import { isDeepStrictEqual } from 'node:util'
import { expect } from 'vitest'
import { BackfillClient, callerDidDocument, formatPrivateKey, generateKey } from '../../src/client/index.js'
import type { Account } from '../support/network/accounts.js'
import { findFreePort, LoopbackServer, sendJson } from '../support/network/loopback.js'
import type { TestPds } from '../support/network/pds.js'
import type { TestRelay } from '../support/network/relay.js'
import { eventually } from '../support/wait.js'

export const STATUS = 'xyz.statusphere.status'

export const ROOT = resolve(import.meta.dirname, '../..')
export const EXAMPLE = join(ROOT, 'examples/appview')
/** For the compiler: the package that the example imports is this source. */
export const PROJECT = join(import.meta.dirname, 'appview.tsconfig.json')

const TSX = pathToFileURL(join(ROOT, 'node_modules/tsx/dist/esm/index.mjs')).href
/** Its standard input ends with the process that runs the tests, and it with that: none is left behind. */
const PROGRAM = `process.stdin.on('end', () => process.kill(process.pid, 'SIGKILL')).resume().unref()
import('${pathToFileURL(join(EXAMPLE, 'main.ts'))}')`

/** Two cores may be busy with other tests. */
const PATIENCE_MS = 60_000

/** A status as the table has it. */
export interface Row {
  readonly uri: string
  readonly cid: string
  readonly value: unknown
}

type StatusRow = Omit<Row, 'value'> & { readonly value: string }

/** How far the AppView has come, by its tables. */
export interface Progress {
  /** The last repo of the first backfill that is in the tables; null once it is done. */
  readonly cursor: number | null
  readonly statuses: number
  /** Where the relay is followed; null before it is. */
  readonly position: number | null
  readonly due: number
}

/** The example as a program of its own, which can be killed and started again over its table. */
export class AppView implements AsyncDisposable {
  readonly output: string[] = []
  readonly #directory: string
  readonly #environment: Readonly<Record<string, string>>
  readonly #web: LoopbackServer
  readonly #client: BackfillClient
  #child: ChildProcess | null = null

  private constructor(directory: string, web: LoopbackServer, environment: Readonly<Record<string, string>>) {
    this.#directory = directory
    this.#web = web
    this.#environment = environment
    const { AQUIFER_SERVICE, AQUIFER_DID, AQUIFER_KEY } = environment
    this.#client = new BackfillClient({ service: AQUIFER_SERVICE!, did: AQUIFER_DID!, key: AQUIFER_KEY! })
  }

  /** Has a DID and a table of its own; does not run yet. */
  static async create(service: string): Promise<AppView> {
    const key = await generateKey()
    const web = await LoopbackServer.start((_url, _request, response) =>
      sendJson(response, 200, callerDidDocument({ hostname: `localhost:${web.port}`, key })),
    )
    const directory = await mkdtemp(join(tmpdir(), 'aquifer-appview-'))
    return new AppView(directory, web, {
      AQUIFER_SERVICE: service,
      AQUIFER_DID: `did:web:localhost%3A${web.port}`,
      AQUIFER_KEY: await formatPrivateKey(key),
      DATABASE: join(directory, 'statusphere.db'),
      PORT: String(await findFreePort()),
      NODE_NO_WARNINGS: '1',
      TSX_TSCONFIG_PATH: PROJECT,
    })
  }

  start(): void {
    this.output.length = 0
    const child = spawn(process.execPath, ['--import', TSX, '--input-type=module', '--eval', PROGRAM], {
      cwd: this.#directory,
      env: { PATH: process.env.PATH, ...this.#environment },
      stdio: ['pipe', 'pipe', 'pipe'],
    })
    child.stdout.on('data', (text) => this.output.push(String(text)))
    child.stderr.on('data', (text) => this.output.push(String(text)))
    this.#child = child
  }

  /** Whether it has ended by itself. */
  get isGone(): boolean {
    return this.#child !== null && (this.#child.exitCode !== null || this.#child.signalCode !== null)
  }

  /** As `kill -9`: at once, whatever it is doing. */
  async kill(): Promise<void> {
    const child = this.#child
    this.#child = null
    if (child === null || child.exitCode !== null || child.signalCode !== null) return
    const exited = once(child, 'exit')
    child.kill('SIGKILL')
    await exited
  }

  /** Has its latest job stop for a while. @returns once nothing of it is in flight */
  async pauseJob(): Promise<void> {
    const { jobs } = await this.#client.listJobs({ limit: 1 })
    await this.#client.pauseJob(jobs[0]!.id)
    await eventually(
      () => this.#client.getJobStatus(jobs[0]!.id),
      (job) => job.status === 'paused',
    )
  }

  async resumeJob(): Promise<void> {
    const { jobs } = await this.#client.listJobs({ limit: 1 })
    await this.#client.resumeJob(jobs[0]!.id)
  }

  /** What it answers to whoever asks. */
  async latest(): Promise<{ author: string; status: string }[]> {
    const response = await fetch(`http://localhost:${this.#environment.PORT}/`)
    return (await response.json()) as { author: string; status: string }[]
  }

  progress(): Progress {
    const one = (sql: string) => Number(Object.values(this.#read(sql)[0] ?? {})[0] ?? Number.NaN)
    const orNull = (number: number) => (Number.isNaN(number) ? null : number)
    return {
      cursor: orNull(one('SELECT cursor FROM backfill WHERE repos IS NULL')),
      statuses: one('SELECT count(*) FROM status'),
      position: orNull(one('SELECT max(seq) FROM position')),
      due: one('SELECT count(*) FROM repo WHERE due IS NOT NULL'),
    }
  }

  /** What it would show, by URI. */
  rows(): Row[] {
    const rows = this.#read('SELECT uri, cid, value FROM visible_status') as unknown as StatusRow[]
    const found = rows.map(({ value, ...row }) => ({ ...row, value: JSON.parse(value) as unknown }))
    return found.sort(byUri)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill()
    await this.#web[Symbol.asyncDispose]()
    await rm(this.#directory, { recursive: true, force: true })
  }

  /** Nothing as long as there are no tables. */
  #read(sql: string): Record<string, unknown>[] {
    try {
      using database = new DatabaseSync(this.#environment.DATABASE!, { readOnly: true })
      // Whoever comes first after a kill has the log to read.
      database.exec('PRAGMA busy_timeout = 5000')
      return database.prepare(sql).all()
    } catch (error) {
      if (/unable to open|no such table/.test(String(error))) return []
      throw error
    }
  }
}

const byUri = (a: { uri: string }, b: { uri: string }) => (a.uri < b.uri ? -1 : a.uri > b.uri ? 1 : 0)

/** Waits for something in its tables; fails at once, with its last words, when it ends by itself. */
export async function eventuallyIn<T>(appView: AppView, look: () => T, isSo: (value: T) => boolean) {
  return eventually(
    () => {
      if (appView.isGone) throw new Error(`the AppView has ended: ${appView.output.slice(-5).join('')}`)
      return look()
    },
    isSo,
    PATIENCE_MS,
  )
}

/** Waits until it shows exactly what the PDSs of these accounts have, and has nothing to read again. */
export async function eventuallyShows(appView: AppView, accounts: readonly Account[]): Promise<void> {
  const world = await worldOf(accounts)
  const isWorld = () => appView.progress().due === 0 && isDeepStrictEqual(appView.rows(), world)
  await eventuallyIn(appView, isWorld, Boolean).catch((error: unknown) => {
    // Says which records are wrong, if that is it.
    expect(appView.rows()).toEqual(world)
    throw error
  })
}

/** A relay that lists what the stand-in lists, and whose firehose is that of a real PDS, byte for byte. */
export async function startRelayOf(pds: TestPds, lists: TestRelay) {
  const open = new Set<() => void>()
  const server = await LoopbackServer.start(
    async (url, _request, response) => {
      const answer = await fetch(new URL(url.pathname + url.search, lists.url))
      sendJson(response, answer.status, await answer.json())
    },
    (_url, request, socket, head) => {
      const upstream = connect(Number(new URL(pds.url).port), '127.0.0.1')
      const cut = () => {
        socket.destroy()
        upstream.destroy()
        open.delete(cut)
      }
      open.add(cut)
      for (const end of [socket, upstream]) end.on('error', cut).on('close', cut)
      const headers = request.rawHeaders
        .map((text, index) => text + (index % 2 === 0 ? ': ' : '\r\n'))
        .join('')
      upstream.write(`GET ${request.url} HTTP/1.1\r\n${headers}\r\n`)
      upstream.write(head)
      upstream.pipe(socket).pipe(upstream)
    },
  )
  return {
    url: server.url,
    /** Cuts every connection to the firehose. */
    cut: () => {
      for (const each of [...open]) each()
    },
    async [Symbol.asyncDispose]() {
      for (const each of [...open]) each()
      await server[Symbol.asyncDispose]()
    },
  }
}

/** What the PDSs of these accounts have now, asked of them directly, by URI. */
async function worldOf(accounts: readonly Account[]): Promise<Row[]> {
  const found: Row[] = []
  for (const { did, pds } of accounts) {
    let cursor: string | undefined
    do {
      const query = { repo: did, collection: STATUS, limit: 100, cursor }
      const { data } = await pds.agent.com.atproto.repo.listRecords(query)
      found.push(...data.records.map(({ uri, cid, value }) => ({ uri, cid, value })))
      cursor = data.cursor
    } while (cursor)
  }
  return found.sort(byUri)
}
