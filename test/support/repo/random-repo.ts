import { jsonToIpld } from '@atproto/common-web'
import { MemoryBlockstore, Repo, WriteOpAction } from '@atproto/repo'
import type { Random } from '../simulation/random.js'
import { tidAt } from '../simulation/tid.js'
import { type Block, cidOf, RAW, textOf } from './block.js'
import type { Key } from './commit.js'

/** Repos as the reference implementation makes them, of random records. */

export type Json = null | boolean | number | string | readonly Json[] | { readonly [name: string]: Json }

/** Some of them begin like others. */
export const COLLECTIONS = [
  'app.bsky.feed.like',
  'app.bsky.feed.post',
  'com.example.a',
  'com.example.a.b',
  'com.example.a-b.c',
  'com.example.aB',
  'com.example.ab',
] as const

export interface MadeRepo {
  readonly did: string
  readonly rev: string
  readonly key: Key
  readonly commit: Block
  /** All blocks by CID, that of the commit too. */
  readonly blocks: ReadonlyMap<string, Block>
  readonly records: ReadonlyMap<string, { readonly cid: string; readonly json: string }>
  /** The root of the tree. */
  readonly data: Uint8Array
}

export async function makeRepo(random: Random, key: Key, size: number): Promise<MadeRepo> {
  const did = `did:plc:${letters(random, 24)}`
  const rev = tidAt(1_700_000_000_000_000 + random.below(1e9))
  const values = new Map<string, Json>()
  while (values.size < size) values.set(randomKey(random), randomRecord(random))
  const writes = Array.from(values, ([path, record]) => ({
    action: WriteOpAction.Create as const,
    collection: path.slice(0, path.indexOf('/')) as `${string}.${string}.${string}`,
    rkey: path.slice(path.indexOf('/') + 1),
    record: jsonToIpld(record) as never,
  }))
  const made = await Repo.formatInitCommit(new MemoryBlockstore(), did, key, writes, rev)
  const blocks = new Map<string, Block>()
  for (const [cid, bytes] of made.newBlocks) blocks.set(cid.toString(), { cid: cid.bytes, bytes })
  const repo = await Repo.createFromCommit(new MemoryBlockstore(), made)
  const records = new Map<string, { cid: string; json: string }>()
  for await (const { collection, rkey, cid } of repo.walkRecords()) {
    const path = `${collection}/${rkey}`
    records.set(path, { cid: cid.toString(), json: JSON.stringify(values.get(path)) })
  }
  const { data } = repo.commit
  return { did, rev, key, commit: blocks.get(made.cid.toString())!, blocks, records, data: data.bytes }
}

export function randomKey(random: Random): string {
  const collection = random.pick(COLLECTIONS)
  if (random.chance(0.6)) return `${collection}/${tidAt(1_700_000_000_000_000 + random.below(2 ** 40))}`
  return `${collection}/${letters(random, 1 + random.below(random.chance(0.02) ? 500 : 20), RKEY_LETTERS)}`
}

const RKEY_LETTERS = 'abcxyzABCXYZ0189-_~:'

export function randomRecord(random: Random): Json {
  // Identical ones share a block.
  if (random.chance(0.1)) return { $type: 'com.example.a', same: random.below(3) }
  const names = Array.from({ length: random.below(5) }, () => letters(random, 1 + random.below(12)))
  const fields = names.map((name) => [name, randomValue(random, 3)] as const)
  return { ...(random.chance(0.9) && { $type: random.pick(COLLECTIONS) }), ...Object.fromEntries(fields) }
}

function randomValue(random: Random, levels: number): Json {
  const kinds = [
    () => null,
    () => random.chance(0.5),
    () => random.below(2 ** random.below(53)) - random.below(2 ** random.below(53)),
    () => letters(random, random.below(200)),
    () =>
      Array.from({ length: random.below(8) }, () =>
        random.pick(['ü', '€', '😀', '"', '\\', '\n', '\0', 'a']),
      ).join(''),
    () => ({ $link: textOf(cidOf(bytesOf(random), { codec: random.chance(0.5) ? RAW : 0x71 })) }),
    () => ({ $bytes: bytesOf(random).toString('base64').replaceAll('=', '') }),
    () => Array.from({ length: random.below(4) }, () => randomValue(random, levels - 1)),
    () =>
      Object.fromEntries(
        Array.from({ length: random.below(4) }, () => [letters(random, 3), randomValue(random, levels - 1)]),
      ),
  ]
  return (levels > 0 ? random.pick(kinds) : random.pick(kinds.slice(0, 7)))()
}

const bytesOf = (random: Random): Buffer =>
  Buffer.from(Array.from({ length: random.below(40) }, () => random.below(256)))

function letters(random: Random, length: number, alphabet = 'abcdefghijklmnopqrstuvwxyz234567'): string {
  return Array.from({ length }, () => random.pick([...alphabet])).join('')
}
