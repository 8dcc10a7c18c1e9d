import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Client } from '@did-plc/lib'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createHttpClient, type HttpClient } from '../../src/atproto/http.js'
import { Unavailable } from '../../src/atproto/outcome.js'
import { RepoNotFound } from '../../src/atproto/pds.js'
import { layerOf } from '../../src/atproto/repo/keys.js'
import {
  BLOCKS_AT_ONCE_MAX,
  getBlocks,
  getRecordProof,
  getRepoInto,
  listRepoRevs,
  MethodUnsupported,
} from '../../src/atproto/sync.js'
import { readByGetRepo } from '../../src/engine/get-repo.js'
import type { Reading, SnapshotProgress } from '../../src/engine/reading.js'
import type { SnapshotWish } from '../../src/engine/snapshot.js'
import { probe, readBySparse } from '../../src/engine/sparse.js'
import { matchesCollection } from '../../src/jobs/scope.js'
import { HostCalls } from '../support/host-calls.js'
import {
  type Account,
  createAccount,
  deactivate,
  deleteAccount,
  deleteRecord,
  putRecord,
  putRecords,
  type StoredRecord,
  takeDown,
} from '../support/network/accounts.js'
import { startPds, type TestPds } from '../support/network/pds.js'
import { startPlc, type TestPlc } from '../support/network/plc.js'

/** The signed methods against the reference PDS. */

const ONE = 'com.example.one'
const TEN = 'com.example.ten'
const HUNDREDS = 'com.example.hundreds'
const LATER = 'com.example.later'
const NONE = 'com.example.none'
const SIZES = { [ONE]: 1, [TEN]: 10, [HUNDREDS]: 450, [LATER]: 500 }

let http: HttpClient
let plc: TestPlc
let pds: TestPds
let account: Account
let signingKey: string
let spoolDirectory: string
const truth = new Map<string, StoredRecord>()
/** Values by CID, of records that are gone too. */
const values = new Map<string, object>()

beforeAll(async () => {
  spoolDirectory = await mkdtemp(join(tmpdir(), 'aquifer-spool-'))
  http = createHttpClient({ userAgent: 'aquifer-test', allowPrivateNetwork: true })
  plc = await startPlc()
  pds = await startPds({ plcUrl: plc.url })
  account = await createAccount(pds, 'reader-1')
  signingKey = await keyOf(account)
  for (const [collection, count] of Object.entries(SIZES)) {
    const contents = Array.from({ length: count }, (_, n) => ({ n, text: `${collection} ${n}`.repeat(5) }))
    for (const record of await putRecords(account, collection, contents)) keep(record)
  }
}, 120_000)

afterAll(async () => {
  await pds?.[Symbol.asyncDispose]()
  await plc?.[Symbol.asyncDispose]()
  await http?.close()
  await rm(spoolDirectory, { recursive: true, force: true })
})

const keyOf = async ({ did }: Account): Promise<string> =>
  (await new Client(plc.url).getDocumentData(did)).verificationMethods.atproto!
const keyIn = (uri: string) => uri.split('/').slice(3).join('/')
function keep(record: StoredRecord): void {
  truth.set(keyIn(record.uri), record)
  values.set(record.cid, record.value)
}
const calls = () => new HostCalls(http, pds.url)

function wishFor(collections: readonly string[] | null, more: Partial<SnapshotWish> = {}) {
  const wish = { did: account.did, signingKey, collections, stored: false, lastRev: null }
  return { ...wish, spoolDirectory, maxBytes: 64 * 1024 * 1024, ...more }
}

function expected(collections: readonly string[] | null): [string, string][] {
  const wanted = (key: string) =>
    collections === null || collections.some((pattern) => matchesCollection(pattern, key.split('/')[0]!))
  return [...truth].filter(([key]) => wanted(key)).map(([key, { cid }]) => [key, cid] as [string, string])
}

/** What is left of readings for whoever takes them up. */
async function kept(readings: AsyncIterable<Reading<SnapshotProgress>>) {
  let rows = new Map<string, string>()
  let last: Reading<SnapshotProgress> | undefined
  const kinds: string[] = []
  for await (const reading of readings) {
    if (reading.kind === 'restarted') rows = new Map()
    for (const { collection, rkey, cid, value } of reading.records) {
      rows.set(`${collection}/${rkey}`, cid)
      expect(JSON.parse(value!)).toEqual(values.get(cid))
    }
    kinds.push(reading.kind)
    last = reading
  }
  return { rows: [...rows], progress: last!.progress, kinds }
}

async function sparsely(host: HostCalls, wish: SnapshotWish, probed = probe(host.car, wish, Date.now)) {
  return kept(readBySparse(host.car, wish, await probed, Date.now))
}

const wishes: [string, readonly string[] | null][] = [
  ['one record', [ONE]],
  ['ten', [TEN]],
  ['hundreds', [HUNDREDS]],
  ['the last collection', [LATER]],
  ['one that it does not have', [NONE]],
  ['several', [LATER, NONE, ONE]],
  ['a prefix', ['com.example.*']],
  ['a prefix of nothing', ['org.other.*']],
  ['everything', null],
]

describe('get-repo', () => {
  test.each(wishes)('%s', async (_what, collections) => {
    const host = calls()
    const { rows, progress, kinds } = await kept(readByGetRepo(host.car, wishFor(collections), Date.now))
    expect(rows.sort()).toEqual(expected(collections).sort())
    expect(kinds.at(-1)).toBe('complete')
    expect(host.methods).toEqual(['getRepo'])
    const { data } = await account.agent.com.atproto.sync.getLatestCommit({ did: account.did })
    expect(progress).toMatchObject({ method: 'get-repo', level: 'signed', rev: data.rev, unreadable: 0 })
    expect(progress.records).toBe(rows.length)
    for (const name of collections ?? []) {
      if (!name.endsWith('*'))
        expect(progress.counts[name]).toBe((SIZES as Record<string, number>)[name] ?? 0)
    }
    expect(await readdir(spoolDirectory)).toEqual([])
  })

  test('another key is a bad signature', async () => {
    const other = await createAccount(pds, 'reader-2')
    const wish = wishFor([ONE], { signingKey: await keyOf(other) })
    await expect(kept(readByGetRepo(calls().car, wish, Date.now))).rejects.toMatchObject({
      failure: 'bad-signature',
    })
    await expect(probe(calls().car, wish, Date.now)).rejects.toMatchObject({ failure: 'bad-signature' })
  })
})

describe('sparse', () => {
  test.each(wishes)('%s', async (_what, collections) => {
    const host = calls()
    const { rows, progress } = await sparsely(host, wishFor(collections))
    expect(rows.sort()).toEqual(expected(collections).sort())
    expect(progress).toMatchObject({ method: 'sparse', level: 'signed', restarts: 0, records: rows.length })
    const { data } = await account.agent.com.atproto.sync.getLatestCommit({ did: account.did })
    expect(progress.rev).toBe(data.rev)
  })

  test('takes few requests', async () => {
    const taken: Record<string, number> = {}
    for (const collection of [NONE, ONE, TEN, HUNDREDS]) {
      const host = calls()
      await sparsely(host, wishFor([collection]))
      taken[collection] = host.log.length
      expect(host.methods[0]).toBe('getRecord')
    }
    // One for each edge and one for records, and between them one for each level on which more is wanted.
    expect(taken[NONE]).toBe(1)
    expect(taken[ONE]).toBeLessThanOrEqual(3)
    expect(taken[TEN]).toBeLessThanOrEqual(7)
    expect(taken[HUNDREDS]).toBeLessThanOrEqual(13)
  })

  test('the probe tells the tree and what is missing', async () => {
    const probed = await probe(calls().car, wishFor([HUNDREDS]), Date.now)
    const { data } = await account.agent.com.atproto.sync.getLatestCommit({ did: account.did })
    expect(probed.commit).toMatchObject({ did: account.did, rev: data.rev, cid: data.cid })
    const height = Math.max(...[...truth.keys(), 'x'].map(layerOf))
    expect(probed.height).toBe(height)
    // The way down ends above the lowest layer where nothing lies between two neighbours.
    expect(probed.pathEntries!.length).toBeLessThanOrEqual(height)
    expect(probed.nodesMissing).toHaveLength(height)
    expect(probed.nodesMissing.reduce((sum, count) => sum + count)).toBeGreaterThan(0)
    expect(probed.recordsMissing).toBe(probed.entriesInRange)
  })
})

describe('a repo that changes meanwhile', () => {
  const text = 'changed '.repeat(10)

  test('before the nodes are read: all is of the new commit', async () => {
    const host = calls()
    const wish = wishFor([HUNDREDS])
    const probed = await probe(host.car, wish, Date.now)
    const [first] = expected([HUNDREDS])[0]!
    keep(await putRecord(account, HUNDREDS, first.split('/')[1]!, { text }))
    const { rows, progress, kinds } = await sparsely(host, wish, Promise.resolve(probed))
    expect(rows.sort()).toEqual(expected([HUNDREDS]).sort())
    expect(progress.rev > probed.commit.rev).toBe(true)
    // Nothing of the old one was given out.
    expect({ restarts: progress.restarts, replaces: progress.replaces }).toEqual({
      restarts: 1,
      replaces: false,
    })
    expect(kinds).not.toContain('restarted')
  })

  test('while records are read: what was given out is taken back', async () => {
    const host = calls()
    const wish = wishFor(['com.example.*'])
    const seen: Reading<SnapshotProgress>[] = []
    let gone: string | undefined
    const unsteady: typeof host.car = async (nsid, params, maxBytes, sink) => {
      if (seen.length > 0 && gone === undefined) {
        // One of those that are about to be asked for.
        gone = [...truth].find(([, { cid }]) => (params.cids as string[]).includes(cid))![0]
        const [collection, rkey] = gone.split('/') as [string, string]
        await deleteRecord(account, collection, rkey)
        truth.delete(gone)
      }
      return host.car(nsid, params, maxBytes, sink)
    }
    const readings = readBySparse(unsteady, wish, await probe(host.car, wish, Date.now), Date.now)
    const noted = async function* () {
      for await (const reading of readings) {
        seen.push(reading)
        yield reading
      }
    }
    const { rows, progress, kinds } = await kept(noted())
    expect(gone).toBeDefined()
    expect(rows.sort()).toEqual(expected(['com.example.*']).sort())
    expect(kinds.slice(0, 2)).toEqual(['page', 'restarted'])
    expect(progress).toMatchObject({ restarts: 1, replaces: true })
    expect(progress.reading).toBeGreaterThan(seen[0]!.progress.reading!)
  })

  test('without end: it is given up', async () => {
    const host = calls()
    const wish = wishFor([HUNDREDS])
    const rkey = expected([HUNDREDS]).sort()[0]![0].split('/')[1]!
    const unsteady: typeof host.car = async (nsid, params, maxBytes, sink) => {
      if (nsid.endsWith('getBlocks')) keep(await putRecord(account, HUNDREDS, rkey, { at: host.log.length }))
      return host.car(nsid, params, maxBytes, sink)
    }
    const readings = readBySparse(unsteady, wish, await probe(host.car, wish, Date.now), Date.now)
    const failed = kept(readings).then(
      () => null,
      (error: Error) => error.name,
    )
    expect(await failed).toBe('SparseMoved')
  })
})

describe('what the PDS answers', () => {
  const notThere = { collection: NONE, rkey: '-' }
  const blob = 'bafyreigbtj4x7ip5legnfznufuopl4sg4knzc2cof6duas4b3q2fy6swua'

  test('the absence of a record comes with its proof', async () => {
    const proof = await getRecordProof(calls().car, account.did, notThere)
    const { data } = await account.agent.com.atproto.sync.getLatestCommit({ did: account.did })
    expect(proof!.roots).toEqual([data.cid])
    expect(proof!.blocks.size).toBeGreaterThan(1)
  })

  test('of blocks it has all or none', async () => {
    const { data } = await account.agent.com.atproto.sync.getLatestCommit({ did: account.did })
    const found = await getBlocks(calls().car, account.did, [data.cid])
    expect(found!.has(data.cid)).toBe(true)
    expect(await getBlocks(calls().car, account.did, [data.cid, blob])).toBeNull()
  })

  test('as many blocks as are asked for at once', async () => {
    const cids = expected([HUNDREDS])
      .slice(0, BLOCKS_AT_ONCE_MAX)
      .map(([, cid]) => cid)
    const host = calls()
    const found = await getBlocks(host.car, account.did, cids)
    expect(cids.every((cid) => found!.has(cid))).toBe(true)
    expect(host.log[0]!.url.href.length).toBeLessThan(8_000)
  })

  test.each([
    ['deactivated', async (one: Account) => deactivate(one), new Unavailable('deactivated')],
    ['takendown', async (one: Account) => takeDown(pds, one.did), new Unavailable('takendown')],
    ['deleted', async (one: Account) => deleteAccount(one), expect.any(RepoNotFound)],
  ])('%s accounts', async (word, end, error) => {
    const one = await createAccount(pds, `left-${word}`.slice(0, 18))
    await putRecords(one, ONE, [{ n: 1 }])
    await end(one)
    const { car } = calls()
    await expect(getRepoInto(car, one.did, () => {}, 1024 * 1024)).rejects.toEqual(error)
    await expect(getRecordProof(car, one.did, notThere)).rejects.toEqual(error)
    await expect(getBlocks(car, one.did, [blob])).rejects.toEqual(error)
  })

  test('the revs of all its repos', async () => {
    const { repos, cursor } = await listRepoRevs(calls().query, null)
    const { data } = await account.agent.com.atproto.sync.getLatestCommit({ did: account.did })
    expect(repos).toContainEqual({ did: account.did, rev: data.rev, active: true })
    expect(repos.filter(({ active }) => !active).length).toBeGreaterThan(0)
    // A cursor comes with every page that has any.
    expect(await listRepoRevs(calls().query, cursor)).toEqual({ repos: [], cursor: null })
  })

  test('a server without these methods says so: a directory, say', async () => {
    const host = new HostCalls(http, plc.url)
    await expect(getRepoInto(host.car, account.did, () => {}, 1024)).rejects.toBeInstanceOf(MethodUnsupported)
    await expect(getBlocks(host.car, account.did, [blob])).rejects.toBeInstanceOf(MethodUnsupported)
  })
})
