import { tmpdir } from 'node:os'
import { type Keypair, P256Keypair, Secp256k1Keypair } from '@atproto/crypto'
import { lexToJson } from '@atproto/lex-json'
import { getAndParseRecord, verifyRepoCar } from '@atproto/repo'
import { describe, expect, it } from 'vitest'
import { readCar } from '../../src/atproto/repo/car.js'
import { checkCommit } from '../../src/atproto/repo/commit.js'
import { Spool } from '../../src/atproto/repo/spool.js'
import { cut, DID, type MadeRecord, makeRepo, readAll } from './repo-support.js'
import { seeded } from './seeded.js'

const COLLECTIONS = ['com.example.post', 'com.example.posts', 'com.example.postLike', 'org.example.a-b.like']
const TEXTS = ['', 'plain', 'ü\u0000\u001f"\\/', '😀 and \u2028', '\ufffd\uffff', 'x'.repeat(3_000)]

/** Records of all shapes, some of them alike. */
function someRecords(count: number, random: () => number): MadeRecord[] {
  const pick = <T>(from: readonly T[]): T => from[Math.floor(random() * from.length)]!
  return Array.from({ length: count }, (_, index) => {
    const collection = pick(COLLECTIONS)
    const record = {
      $type: collection,
      text: pick(TEXTS),
      number: Math.floor((random() - 0.5) * 2 ** pick([3, 9, 17, 33, 53])),
      nested: [{ bytes: Buffer.alloc(Math.floor(random() * 5), index), none: null }, [], {}, true, false],
    }
    return { collection, rkey: `${pick(['3k', 'self', '~', ':._-'])}${index}`, record }
  })
}

const MAKERS: readonly [string, () => Promise<Keypair>][] = [
  ['k256', () => Secp256k1Keypair.create()],
  ['p256', () => P256Keypair.create()],
]

describe.each(MAKERS)('a repo that the reference implementation signs with %s', (_, makeKey) => {
  it.each([0, 1, 5, 300, 5_000])('and that has %i records reads as it does there', async (count) => {
    const random = seeded(count + 1)
    const { car, key, data } = await makeRepo(someRecords(count, random), await makeKey())
    const expected = await verifyRepoCar(car, DID, key.did())
    const records = new Map<string, unknown>()
    for (const { collection, rkey, cid } of expected.creates) {
      const { record } = await getAndParseRecord(expected.commit.newBlocks, cid)
      records.set(`${collection}/${rkey} ${cid}`, lexToJson(record))
    }
    expect(records.size).toBe(count)

    await using spool = await Spool.open({ directory: tmpdir(), maxBytes: car.length })
    for (const chunk of cut(car, random, 100_000)) await spool.write(chunk)
    const [root] = await spool.finish()
    const wanted = { did: DID, signingKey: key.did(), now: Date.now(), lastRev: expected.commit.rev }
    const commit = await checkCommit(spool.read(root!), root!, wanted)
    expect(commit).toEqual({ did: DID, rev: expected.commit.rev, cid: String(expected.commit.cid), data })

    const found = readAll(spool, commit.data)
    expect(new Map([...found].map(([name, json]) => [name, JSON.parse(json!)]))).toEqual(records)
    const keys = [...found.keys()].map((name) => name.split(' ')[0]!)
    expect(keys).toEqual(keys.toSorted())
    expect(readAll(readCar(car).blocks, commit.data)).toEqual(found)
  })
})
