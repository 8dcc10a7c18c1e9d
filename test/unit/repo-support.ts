import { type Keypair, Secp256k1Keypair } from '@atproto/crypto'
import { blocksToCarFile, MemoryBlockstore, type RecordCreateOp, Repo, WriteOpAction } from '@atproto/repo'
import { Failure } from '../../src/atproto/outcome.js'
import type { Blocks } from '../../src/atproto/repo/blocks.js'
import { asBuffer } from '../../src/atproto/repo/cbor.js'
import { jsonOfCbor } from '../../src/atproto/repo/data.js'
import { walk } from '../../src/atproto/repo/walk.js'

/** Repos as the reference implementation makes them. */

export const DID = `did:plc:${'a'.repeat(24)}`

export interface MadeRepo {
  readonly car: Buffer
  readonly key: Keypair
  readonly root: string
  readonly data: string
  readonly rev: string
}

export interface MadeRecord {
  readonly collection: string
  readonly rkey: string
  readonly record: object
}

export async function makeRepo(records: readonly MadeRecord[], key?: Keypair): Promise<MadeRepo> {
  const signer = key ?? (await Secp256k1Keypair.create())
  const storage = new MemoryBlockstore()
  const writes = records.map((record) => ({ action: WriteOpAction.Create, ...record }) as RecordCreateOp)
  const repo = await Repo.create(storage, DID, signer, writes)
  const car = asBuffer(await blocksToCarFile(repo.cid, storage.blocks))
  const { data, rev } = repo.commit
  return { car, key: signer, root: repo.cid.toString(), data: data.toString(), rev }
}

/** What a walk finds, each with its JSON. */
export function readAll(blocks: Blocks, data: string): Map<string, string | null> {
  return new Map(
    [...walk(blocks, data)].map(({ collection, rkey, cid }) => [
      `${collection}/${rkey} ${cid}`,
      jsonOfCbor(blocks.read(cid)),
    ]),
  )
}

/** The class of the failure that it ends in. */
export async function failureOf(action: () => unknown): Promise<string> {
  try {
    await action()
  } catch (error) {
    if (error instanceof Failure) return error.failure
    throw error
  }
  return 'none'
}

/** In pieces of lengths that differ. */
export function* cut(bytes: Buffer, random: () => number, lengthMax: number): Generator<Buffer> {
  for (let at = 0; at < bytes.length; ) {
    const end = at + 1 + Math.floor(random() * lengthMax)
    yield bytes.subarray(at, end)
    at = end
  }
}
