import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Client } from '@did-plc/lib'
import { createHttpClient, type HttpClient } from '../src/atproto/http.js'
import { Closers } from '../src/closers.js'
import { readByGetRepo } from '../src/engine/get-repo.js'
import { readByListRecords } from '../src/engine/list-records.js'
import type { Reading } from '../src/engine/reading.js'
import { probe, readBySparse } from '../src/engine/sparse.js'
import { HostCalls } from '../test/support/host-calls.js'
import { type Account, createAccount } from '../test/support/network/accounts.js'
import { startPds } from '../test/support/network/pds.js'
import { startPlc } from '../test/support/network/plc.js'
import type { Benchmark } from './main.js'
import { importRepo, LAST_COLLECTION } from './support/import-repo.js'

const REPO_RECORDS = 50_000
const SHORT_REPO_RECORDS = 5_000
/** Collections by their size; the rest of the repo is one more, in the middle of them. */
const SIZES: Readonly<Record<number, string>> = {
  1: LAST_COLLECTION,
  10: 'com.example.badge',
  100: 'com.example.list',
  1000: 'com.example.repost',
}
const REST = 'com.example.like'

const MAX_BYTES = 1024 ** 3

/** What each method takes for a part of a repo, asked of the reference PDS. */
export const methods: Benchmark = {
  about: 'requests and bytes of each method for a part of a repo on a real PDS; --short: a smaller repo',
  async run(_store, say, _url, short) {
    const total = short ? SHORT_REPO_RECORDS : REPO_RECORDS
    const closers = new Closers()
    try {
      const directory = await mkdtemp(join(tmpdir(), 'aquifer-spool-'))
      closers.add(() => rm(directory, { recursive: true, force: true }))
      const http = createHttpClient({ userAgent: 'aquifer-bench', allowPrivateNetwork: true })
      closers.add(() => http.close())
      const plc = closers.use(await startPlc())
      const pds = closers.use(await startPds({ plcUrl: plc.url }))
      const account = await createAccount(pds, 'bench-1')
      const document = await new Client(plc.url).getDocumentData(account.did)
      const signingKey = document.verificationMethods.atproto!
      await fill(account, total)
      const reader = { http, account, signingKey, directory }
      const figures: Record<string, number> = {}
      say(`a repo of ${total} records: requests, and KiB of answers`)
      say(
        row(
          'records',
          METHODS.map(([method]) => method),
        ),
      )
      for (const [size, collection] of Object.entries(SIZES)) {
        const cells: string[] = []
        for (const [method, read] of METHODS) {
          const { requests, bytes, records } = await measure(read, reader, collection)
          if (records !== Number(size)) throw new Error(`${method} found ${records} records, not ${size}`)
          figures[`${KEYS[method]}${size}Requests`] = requests
          figures[`${KEYS[method]}${size}KiB`] = kib(bytes)
          cells.push(`${requests} / ${kib(bytes)} KiB`)
        }
        say(row(size, cells))
      }
      return figures
    } finally {
      await closers.close()
    }
  },
}

interface Reader {
  readonly http: HttpClient
  readonly account: Account
  readonly signingKey: string
  readonly directory: string
}

type Read = (host: HostCalls, reader: Reader, collection: string) => Promise<AsyncIterable<Reading>>

const wishOf = ({ account, signingKey }: Reader, collection: string) => ({
  did: account.did,
  signingKey,
  collections: [collection],
  stored: false,
  lastRev: null,
})

const KEYS: Readonly<Record<string, string>> = {
  sparse: 'sparse',
  'list-records': 'list',
  'get-repo': 'getRepo',
}

const METHODS: readonly [string, Read][] = [
  [
    'sparse',
    async ({ car }, reader, collection) => {
      const wish = wishOf(reader, collection)
      return readBySparse(car, wish, await probe(car, wish, Date.now), Date.now)
    },
  ],
  [
    'list-records',
    async ({ query }, reader, collection) =>
      readByListRecords(query, { ...wishOf(reader, collection), level: 'content' }, null, Date.now),
  ],
  [
    'get-repo',
    async ({ car }, reader, collection) => {
      const wish = { ...wishOf(reader, collection), spoolDirectory: reader.directory, maxBytes: MAX_BYTES }
      return readByGetRepo(car, wish, Date.now)
    },
  ],
]

/** @returns what it took, and how many records that gave */
async function measure(read: Read, reader: Reader, collection: string) {
  const host = new HostCalls(reader.http, reader.account.pds.url)
  let records = 0
  for await (const reading of await read(host, reader, collection)) {
    if (reading.kind === 'restarted') throw new Error('the repo changed, though nobody changes it')
    records += reading.records.length
  }
  return { requests: host.log.length, bytes: host.bytes, records }
}

async function fill(account: Account, total: number): Promise<void> {
  const sizes = Object.entries(SIZES).map(([size, collection]) => [collection, Number(size)] as const)
  const counts = Object.fromEntries(sizes.filter(([collection]) => collection !== LAST_COLLECTION))
  const rest = total - sizes.reduce((sum, [, size]) => sum + size, 0)
  await importRepo(account, { ...counts, [REST]: rest })
}

const kib = (bytes: number): number => Math.round(bytes / 1024)

const row = (name: string, cells: readonly string[]): string =>
  [name.padStart(8), ...cells.map((cell) => cell.padStart(18))].join('')
