import { describe, expect, test } from 'vitest'
import { rangesOf } from '../../src/atproto/repo/keys.js'
import { missingNodes } from '../../src/atproto/repo/walk.js'
import { BLOCKS_AT_ONCE_MAX } from '../../src/atproto/sync.js'
import type { SnapshotReading, SnapshotWish } from '../../src/engine/snapshot.js'
import { probe, readBySparse, SparseTooLarge } from '../../src/engine/sparse.js'
import { matchesCollection } from '../../src/jobs/scope.js'
import { blockOf, textOf } from '../support/repo/block.js'
import { layerOf, type TreeNode } from '../support/repo/tree.js'
import { bytesOf, type Contents, contentsOf, DID, MemoryRepo, NOW, REV } from './memory-repo.js'
import { seeded } from './seeded.js'

const POST = 'com.example.post'
const LIKE = 'com.example.like'
const MANY = 'com.example.many'
const NONE = 'com.example.none'

function wishFor(repo: MemoryRepo, collections: readonly string[] | null = [POST]): SnapshotWish {
  return { did: DID, signingKey: repo.signingKey, collections, stored: false, lastRev: null }
}

async function read(repo: MemoryRepo, collections?: readonly string[] | null) {
  const wish = wishFor(repo, collections)
  const readings: SnapshotReading[] = []
  const probed = await probe(repo.car, wish, () => NOW)
  for await (const reading of readBySparse(repo.car, wish, probed, () => NOW)) readings.push(reading)
  return { readings, rows: readings.flatMap(({ records }) => records.map(keyAndCid)) }
}

const keyAndCid = (record: { collection: string; rkey: string; cid: string }) =>
  `${record.collection}/${record.rkey} ${record.cid}`

function expected(contents: Contents, collections: readonly string[] | null): string[] {
  return [...contents]
    .filter(
      ([key]) =>
        collections === null || collections.some((each) => matchesCollection(each, key.split('/')[0]!)),
    )
    .map(([key, bytes]) => `${key} ${textOf(blockOf(bytes).cid)}`)
    .sort()
}

describe('it finds exactly what is wanted', () => {
  test.each(Array.from({ length: 40 }, (_, seed) => seed))('in random repos (%d)', async (seed) => {
    const random = seeded(seed + 1)
    const pick = (most: number) => Math.floor(random() * (most + 1))
    const names = [
      'a.b.c',
      'a.b.cc',
      'a.b.C',
      'a.b.c.d',
      'a.b.z',
      'a.bb.c',
      'com.example.post',
      'com.example.postgate',
      'zz.z.z',
    ]
    const contents = new Map<string, Uint8Array>()
    for (const name of names) {
      const count = pick([0, 1, 3, 30, 300][pick(4)]!)
      for (let n = 0; n < count; n += 1) {
        const rkey = ['-', '~', ':', 'self', 'A_'][pick(20)] ?? pick(1e9).toString(36).padStart(13, '2')
        // Some are the same as others.
        contents.set(`${name}/${rkey}`, bytesOf({ n: pick(3) === 0 ? 0 : n, name }))
      }
    }
    const repo = await MemoryRepo.of(contents)
    for (const wish of [
      [names[pick(8)]!],
      [names[pick(8)]!, names[pick(8)]!, NONE],
      ['a.b.*'],
      ['com.example.*', 'zz.z.z'],
      null,
    ]) {
      repo.log.length = 0
      const { rows, readings } = await read(repo, wish)
      expect(rows).toEqual(expected(contents, wish))
      expect(readings.at(-1)).toMatchObject({
        kind: 'complete',
        progress: { records: rows.length, rev: REV },
      })
      const asked = repo.log.flatMap(({ cids }) => cids)
      expect(new Set(asked).size).toBe(asked.length)
      expect(Math.max(...repo.log.map(({ cids }) => cids.length))).toBeLessThanOrEqual(BLOCKS_AT_ONCE_MAX)
    }
  })

  test('and reads no node besides', async () => {
    const contents = contentsOf({ [LIKE]: 2_000, [POST]: 40, 'com.example.zebra': 2_000 })
    const repo = await MemoryRepo.of(contents)
    await read(repo)
    const nodes = missingNodes(
      { has: () => false, read: () => new Uint8Array() },
      repo.root,
      rangesOf([POST]),
    )
    expect(nodes).toEqual([repo.root])
    const asked = repo.log.flatMap(({ cids }) => cids)
    // Forty records, and about one node for each third of them.
    expect(asked.length).toBeLessThan(40 + 40)
    expect(repo.methods.length).toBeLessThanOrEqual(7)
  })

  test('records that are alike once', async () => {
    const same = bytesOf({ text: 'the same' })
    const contents = new Map([...contentsOf({ [POST]: 1_000 }).keys()].map((key) => [key, same]))
    const repo = await MemoryRepo.of(contents)
    const { rows, readings } = await read(repo)
    expect(rows).toHaveLength(1_000)
    expect(readings.map(({ records }) => records.length)).toEqual([500, 500])
    expect(
      repo.log.flatMap(({ cids }) => cids).filter((cid) => cid === textOf(blockOf(same).cid)),
    ).toHaveLength(1)
  })
})

describe('hosts of another kind', () => {
  const contents = contentsOf({ [LIKE]: 300, [POST]: 50 })

  test('one that proves no absence is asked for its latest commit', async () => {
    const repo = await MemoryRepo.of(contents)
    repo.refusals.getRecord = { ok: false, status: 400, error: 'RecordNotFound', message: 'no such record' }
    const { rows } = await read(repo)
    expect(rows).toEqual(expected(contents, [POST]))
    expect(repo.methods.slice(0, 4)).toEqual(['getRecord', 'getLatestCommit', 'getBlocks', 'getBlocks'])
    expect(repo.methods.filter((method) => method === 'getRecord')).toHaveLength(1)
  })

  test.each([413, 414, 431])('one that takes shorter URLs only (%d)', async (status) => {
    const repo = await MemoryRepo.of(contentsOf({ [POST]: 500 }))
    repo.longUrls = { cids: 30, status }
    expect((await read(repo)).rows).toHaveLength(500)
    // A few in vain, and then as many as it takes, about.
    expect(repo.methods.length).toBeLessThan(120)
  })

  test('one whose records are so large that few fit into an answer', async () => {
    const text = 'x'.repeat(900_000)
    const large = new Map(Array.from({ length: 60 }, (_, n) => [`${POST}/${100 + n}`, bytesOf({ n, text })]))
    const repo = await MemoryRepo.of(large)
    const { rows, readings } = await read(repo)
    expect(rows).toEqual(expected(large, [POST]))
    expect(Math.max(...readings.map(({ records }) => records.length))).toBeLessThanOrEqual(2)
  })

  test('one that sends what nobody asked for', async () => {
    const repo = await MemoryRepo.of(contents)
    repo.extra.push(blockOf(bytesOf({ not: 'asked for' })), blockOf(bytesOf({ nor: 'this' })))
    expect((await read(repo)).rows).toEqual(expected(contents, [POST]))
  })

  test.each(['getRecord', 'getBlocks'] as const)('one that does not offer %s', async (method) => {
    const repo = await MemoryRepo.of(contents)
    repo.refusals[method] = { ok: false, status: 501, error: 'MethodNotImplemented', message: '' }
    await expect(read(repo)).rejects.toMatchObject({ name: 'MethodUnsupported', method })
  })
})

describe('what it refuses', () => {
  test.each([true, false])(
    'a host that does not have what it names (says so: %j)',
    async (saysWhatIsLost) => {
      const contents = contentsOf({ [LIKE]: 300, [POST]: 50 })
      const repo = await MemoryRepo.of(contents)
      repo.saysWhatIsLost = saysWhatIsLost
      const record = textOf(blockOf(contents.get(`${POST}/key000033`)!).cid)
      await read(repo)
      const probed = await probe(repo.car, wishFor(repo), () => NOW)
      for (const lost of [record, probed.tree.missing[0]!.cid]) {
        repo.lost.clear()
        repo.lost.add(lost)
        repo.log.length = 0
        await expect(read(repo)).rejects.toMatchObject({ failure: 'incomplete-car' })
        expect(repo.methods.length).toBeLessThan(12)
      }
    },
  )

  test('a node at many places, before they are followed', async () => {
    const value = blockOf(bytesOf({})).cid
    const keysOf = (layer: number) => {
      const keys: string[] = []
      for (let n = 0; keys.length < 40; n += 1)
        if (layerOf(`${POST}/k${n}`) === layer) keys.push(`${POST}/k${n}`)
      return keys.sort()
    }
    let shared: TreeNode | null = null
    for (const layer of [0, 1, 2, 3, 4]) {
      const right: TreeNode | null = shared
      shared = { left: null, entries: keysOf(layer).map((key) => ({ key, value, right })) }
    }
    // Five nodes, by two and a half million ways.
    const repo = await MemoryRepo.of(new Map(), { tree: shared! })
    await expect(read(repo)).rejects.toMatchObject({ failure: 'bad-tree' })
    expect(repo.log.length).toBeLessThan(4)
  })

  test('a tree that is out of order where it is read', async () => {
    const value = blockOf(bytesOf({ n: 1 }))
    const low = ['z', 'a'].flatMap((letter) => {
      const found = Array.from({ length: 200 }, (_, n) => `${POST}/${letter}${n}`).find(
        (each) => layerOf(each) === 0,
      )
      return [found!]
    })
    const high = Array.from({ length: 200 }, (_, n) => `${POST}/m${n}`).find((each) => layerOf(each) === 1)!
    const leaf = (key: string): TreeNode => ({ left: null, entries: [{ key, value: value.cid }] })
    const tree = { left: leaf(low[0]!), entries: [{ key: high, value: value.cid, right: leaf(low[1]!) }] }
    const repo = await MemoryRepo.of(new Map([[`${POST}/x`, value.bytes]]), { tree })
    await expect(read(repo)).rejects.toMatchObject({ failure: 'bad-tree' })
  })

  test('more nodes than are held', async () => {
    const random = seeded(7)
    const rkey = () => Array.from({ length: 500 }, () => 'abcdefgh'[Math.floor(random() * 8)]).join('')
    const same = bytesOf({})
    const contents = new Map(Array.from({ length: 16_000 }, () => [`${MANY}/${rkey()}`, same]))
    contents.set(`${POST}/one`, same)
    const repo = await MemoryRepo.of(contents)
    await expect(read(repo, [MANY])).rejects.toBeInstanceOf(SparseTooLarge)
    expect((await read(repo, [POST])).rows).toHaveLength(1)
  })

  test('another account, another key, an older state', async () => {
    const repo = await MemoryRepo.of(contentsOf({ [POST]: 5 }))
    const probing = (more: Partial<SnapshotWish>) => probe(repo.car, { ...wishFor(repo), ...more }, () => NOW)
    const did = 'did:plc:bbbbbbbbbbbbbbbbbbbbbbbb'
    await expect(probing({ did })).rejects.toMatchObject({ failure: 'did-mismatch' })
    await expect(probing({ lastRev: '3zzzzzzzzzz2a' })).rejects.toMatchObject({ failure: 'rev-regressed' })
    const signingKey = 'did:key:zQ3shZc2QzApp2oymGvQbzP8eKheVshBHbU4ZYjeXqwSKEn6N'
    await expect(probing({ signingKey })).rejects.toMatchObject({ failure: 'bad-signature' })
  })
})

describe('the probe', () => {
  test('says what the tree says', async () => {
    const repo = await MemoryRepo.of(contentsOf({ [LIKE]: 3_000, [POST]: 100, 'com.example.zebra': 3_000 }))
    const probed = await probe(repo.car, wishFor(repo), () => NOW)
    expect(repo.methods).toEqual(['getRecord'])
    expect(probed.commit).toEqual({ did: DID, rev: REV, cid: textOf(repo.head.cid), data: repo.root })
    expect(probed.nodesMissing).toHaveLength(probed.height)
    expect(probed.pathEntries).toHaveLength(probed.height)
    expect(probed.rootEntries).toBeGreaterThan(0)
    expect(probed.recordsMissing).toBe(probed.entriesInRange)
    // What it has seen and what it names is what there is.
    const below = probed.nodesMissing.reduce((sum, count, layer) => sum + count * 4 ** (layer + 1), 0)
    expect(probed.entriesInRange + below).toBeGreaterThan(50)
  })

  test('of a repo without any of it is all there is to ask', async () => {
    const repo = await MemoryRepo.of(contentsOf({ [LIKE]: 3_000 }))
    const { rows, readings } = await read(repo, [NONE])
    expect(rows).toEqual([])
    expect(readings).toMatchObject([
      { kind: 'complete', progress: { counts: { [NONE]: 0 }, level: 'signed' } },
    ])
    expect(repo.methods).toEqual(['getRecord'])
  })

  test('and of an empty repo', async () => {
    const repo = await MemoryRepo.of(new Map())
    expect((await read(repo, null)).readings).toMatchObject([{ kind: 'complete', progress: { counts: {} } }])
    expect(repo.methods).toEqual(['getRecord'])
  })
})
