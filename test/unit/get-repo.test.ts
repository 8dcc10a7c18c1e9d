import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { TID } from '@atproto/common-web'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type GetRepoWish, readByGetRepo } from '../../src/engine/get-repo.js'
import type { SnapshotReading } from '../../src/engine/snapshot.js'
import { blockOf, textOf } from '../support/repo/block.js'
import { bytesOf, contentsOf, DID, MemoryRepo, NOW, REV } from './memory-repo.js'

const POST = 'com.example.post'
const LIKE = 'com.example.like'
const NONE = 'com.example.none'
/** A map with a float, which atproto data does not have. */
const FLOAT = Buffer.from('a1616efb3ff8000000000000', 'hex')

let spoolDirectory: string
beforeAll(async () => {
  spoolDirectory = await mkdtemp(join(tmpdir(), 'aquifer-spool-'))
})
afterAll(() => rm(spoolDirectory, { recursive: true, force: true }))

function wishFor(repo: MemoryRepo, more: Partial<GetRepoWish> = {}): GetRepoWish {
  const { signingKey } = repo
  const wish = { did: DID, signingKey, collections: [POST], stored: false, lastRev: null }
  return { ...wish, spoolDirectory, maxBytes: 64 * 1024 * 1024, ...more }
}

async function readingsOf(repo: MemoryRepo, more: Partial<GetRepoWish> = {}): Promise<SnapshotReading[]> {
  const readings: SnapshotReading[] = []
  for await (const reading of readByGetRepo(repo.car, wishFor(repo, more), () => NOW)) readings.push(reading)
  return readings
}

const keysIn = (readings: readonly SnapshotReading[]) =>
  readings.flatMap(({ records }) => records.map(({ collection, rkey }) => `${collection}/${rkey}`))

describe('what it gives out', () => {
  test('pages of what is wanted, in the order of the keys, the last as complete', async () => {
    const contents = contentsOf({ [LIKE]: 300, [POST]: 1_200 })
    const readings = await readingsOf(await MemoryRepo.of(contents))
    expect(readings.map(({ kind }) => kind)).toEqual(['page', 'page', 'complete'])
    expect(readings.map(({ records }) => records.length)).toEqual([500, 500, 200])
    expect(keysIn(readings)).toEqual([...contents.keys()].filter((key) => key.startsWith(`${POST}/`)))
    const [first] = readings[0]!.records
    expect(JSON.parse(first!.value!)).toEqual({ $type: POST, text: `${POST}/${first!.rkey}` })
  })

  test('what it counted so far, with those that were asked for by name', async () => {
    const repo = await MemoryRepo.of(contentsOf({ [LIKE]: 30, [POST]: 600 }))
    const [page, complete] = await readingsOf(repo, { collections: [POST, NONE], stored: true })
    expect(page!.progress.counts).toEqual({ [NONE]: 0, [POST]: 500 })
    expect(complete!.progress).toEqual({
      method: 'get-repo',
      collections: [NONE, POST],
      rev: REV,
      dataCid: repo.root,
      counts: { [NONE]: 0, [POST]: 600 },
      records: 600,
      level: 'signed',
      replaces: true,
      restarts: 0,
      reading: NOW,
      unreadable: 0,
      unreadableFirst: [],
    })
  })

  test.each([
    [null, { [LIKE]: 3, [POST]: 2 }],
    [['com.example.*'], { [LIKE]: 3, [POST]: 2 }],
    [['org.example.*'], {}],
    [['org.example.*', POST], { [POST]: 2 }],
  ])('of %j the collections that are there', async (collections, counts) => {
    const repo = await MemoryRepo.of(contentsOf({ [LIKE]: 3, [POST]: 2 }))
    const [complete] = await readingsOf(repo, { collections })
    expect(complete!.progress).toMatchObject({ counts, collections: Object.keys(counts) })
  })

  test('of an empty repo nothing', async () => {
    const readings = await readingsOf(await MemoryRepo.of(new Map()), { collections: null })
    expect(readings).toMatchObject([{ kind: 'complete', records: [], progress: { counts: {}, records: 0 } }])
  })

  test('large records in smaller pages', async () => {
    const text = 'x'.repeat(300_000)
    const contents = new Map(Array.from({ length: 10 }, (_, n) => [`${POST}/${n}`, bytesOf({ n, text })]))
    const readings = await readingsOf(await MemoryRepo.of(contents))
    expect(readings.map(({ records }) => records.length)).toEqual([4, 4, 2])
  })

  test('records that are no atproto data without a value, counted, the first hundred by name', async () => {
    const floats = Array.from({ length: 130 }, (_, n) => [`${POST}/f${1000 + n}`, FLOAT] as const)
    const repo = await MemoryRepo.of(new Map([...contentsOf({ [POST]: 2 }), ...floats]))
    const readings = await readingsOf(repo)
    const { counts, unreadable, unreadableFirst } = readings.at(-1)!.progress
    expect({ counts, unreadable }).toEqual({ counts: { [POST]: 132 }, unreadable: 130 })
    expect(unreadableFirst.map(({ rkey }) => rkey)).toEqual(
      floats.slice(0, 100).map(([key]) => key.split('/')[1]),
    )
    const values = readings.flatMap(({ records }) => records.map(({ value }) => value))
    expect(values.filter((value) => value === null)).toHaveLength(130)
  })

  test('others get their turn while a tree is walked of which nothing is wanted', async () => {
    const repo = await MemoryRepo.of(contentsOf({ [LIKE]: 5_000 }))
    let turns = 0
    let isOver = false
    const count = () => {
      turns += 1
      if (!isOver) setImmediate(count)
    }
    const reading = readingsOf(repo)
    count()
    expect(keysIn(await reading)).toEqual([])
    isOver = true
    expect(turns).toBeGreaterThan(5_000 / 256)
  })
})

describe('what it refuses', () => {
  test.each([
    ['a wanted record that is missing', `${POST}/key000003`, 'incomplete-car'],
    ['a record nobody wants that is missing', `${LIKE}/key000003`, null],
  ])('%s', async (_what, key, failure) => {
    const contents = contentsOf({ [LIKE]: 10, [POST]: 10 })
    const repo = await MemoryRepo.of(contents)
    repo.lost.add(textOf(blockOf(contents.get(key)!).cid))
    const read = readingsOf(repo)
    if (failure === null) expect(keysIn(await read)).toHaveLength(10)
    else await expect(read).rejects.toMatchObject({ failure })
  })

  test('a tree with a hole, wherever it is', async () => {
    const repo = await MemoryRepo.of(contentsOf({ [LIKE]: 200, [POST]: 10 }))
    const nodes = [...repo.blocks].filter(([, { bytes }]) => bytes[1] === 0x61 && bytes[2] === 0x65)
    for (const [cid] of nodes) {
      repo.lost.clear()
      repo.lost.add(cid)
      await expect(readingsOf(repo)).rejects.toMatchObject({ failure: 'incomplete-car' })
    }
    expect(nodes.length).toBeGreaterThan(20)
  })

  const later = TID.fromTime(NOW * 1_000, 7).toString()

  test.each<[string, string, (repo: MemoryRepo) => Partial<GetRepoWish>]>([
    [
      'an answer that is cut short',
      'incomplete-car',
      (repo) => {
        repo.tamper = (car) => car.subarray(0, car.length - 5)
        return {}
      },
    ],
    [
      'one that ends after its header',
      'incomplete-car',
      (repo) => {
        repo.tamper = (car) => car.subarray(0, 60)
        return {}
      },
    ],
    [
      'a page of HTML',
      'bad-response',
      (repo) => {
        repo.tamper = () => Buffer.from(`<html>${'just a moment '.repeat(20)}</html>`)
        return {}
      },
    ],
    [
      'a flipped bit',
      'cid-mismatch',
      (repo) => {
        repo.tamper = (car) => {
          const flipped = Buffer.from(car)
          flipped[flipped.length - 3]! ^= 1
          return flipped
        }
        return {}
      },
    ],
    [
      'another key',
      'bad-signature',
      () => ({
        signingKey: 'did:key:zQ3shZc2QzApp2oymGvQbzP8eKheVshBHbU4ZYjeXqwSKEn6N',
      }),
    ],
    ['the repo of another account', 'did-mismatch', () => ({ did: 'did:plc:bbbbbbbbbbbbbbbbbbbbbbbb' })],
    ['an older state', 'rev-regressed', () => ({ lastRev: later })],
    ['more than is taken', 'body-too-large', () => ({ maxBytes: 1_000 })],
  ])('%s', async (_what, failure, prepare) => {
    const repo = await MemoryRepo.of(contentsOf({ [POST]: 10 }))
    await expect(readingsOf(repo, prepare(repo))).rejects.toMatchObject({ failure })
  })

  test('a rev that it has had before is no older state', async () => {
    const repo = await MemoryRepo.of(contentsOf({ [POST]: 10 }))
    expect(keysIn(await readingsOf(repo, { lastRev: REV }))).toHaveLength(10)
  })

  test('more collections than an account has', async () => {
    const counts = Object.fromEntries(Array.from({ length: 5_001 }, (_, n) => [`com.example.c${n}`, 1]))
    const repo = await MemoryRepo.of(contentsOf(counts))
    await expect(readingsOf(repo, { collections: null })).rejects.toMatchObject({ failure: 'body-too-large' })
    expect(keysIn(await readingsOf(repo, { collections: ['com.example.c7'] }))).toHaveLength(1)
  })

  test.each([
    { status: 501, error: 'MethodNotImplemented', message: 'Method Not Implemented' },
    { status: 501, error: '', message: '' },
    { status: 404, error: 'XRPCNotSupported', message: 'XRPCNotSupported' },
    { status: 404, error: '', message: '<h1>Not Found</h1>' },
    { status: 404, error: 'NotFound', message: 'Cannot GET /xrpc/com.atproto.sync.getRepo' },
    { status: 405, error: '', message: '' },
    { status: 400, error: 'InvalidRequest', message: 'Unknown method: com.atproto.sync.getRepo' },
  ])('a host that does not offer it: %j', async (refusal) => {
    const repo = await MemoryRepo.of(new Map())
    repo.refusals.getRepo = { ok: false, ...refusal }
    await expect(readingsOf(repo)).rejects.toMatchObject({ name: 'MethodUnsupported', method: 'getRepo' })
  })

  test.each([
    [{ status: 400, error: 'RepoDeactivated', message: '' }, { reason: 'deactivated' }],
    [{ status: 400, error: 'RepoTakendown', message: '' }, { reason: 'takendown' }],
    [{ status: 401, error: 'AuthMissing', message: '' }, { failure: 'bad-response' }],
    [{ status: 404, error: 'NotFound', message: 'no such account' }, { failure: 'bad-response' }],
  ])('%j', async (refusal, error) => {
    const repo = await MemoryRepo.of(new Map())
    repo.refusals.getRepo = { ok: false, ...refusal }
    await expect(readingsOf(repo)).rejects.toMatchObject(error)
  })

  test.each([
    [{ status: 404, error: 'RepoNotFound', message: '' }, { name: 'RepoNotFound' }],
    [{ status: 400, error: 'RepoSuspended', message: '' }, { reason: 'suspended' }],
  ])('a repo that is not found is asked for by its status: %j', async (refusal, error) => {
    const repo = await MemoryRepo.of(new Map())
    repo.refusals.getRepo = {
      ok: false,
      status: 400,
      error: 'InvalidRequest',
      message: `Could not find repo for DID: ${DID}`,
    }
    repo.refusals.getRepoStatus = { ok: false, ...refusal }
    await expect(readingsOf(repo)).rejects.toMatchObject(error)
    expect(repo.methods).toEqual(['getRepo', 'getRepoStatus'])
  })
})

test('nothing is left of the spool, however it ends', async () => {
  const repo = await MemoryRepo.of(contentsOf({ [POST]: 5_000 }))
  for await (const { kind } of readByGetRepo(repo.car, wishFor(repo), () => NOW)) {
    expect(kind).toBe('page')
    break
  }
  repo.lost.add(textOf(repo.head.cid))
  await expect(readingsOf(repo)).rejects.toMatchObject({ failure: 'incomplete-car' })
  expect(await readdir(spoolDirectory)).toEqual([])
})
