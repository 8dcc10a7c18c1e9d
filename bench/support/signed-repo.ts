import { writeFile } from 'node:fs/promises'
import { encode } from '@atcute/cbor'
import { type Block, blockOf } from '../../test/support/repo/block.js'
import { carOf } from '../../test/support/repo/car.js'
import { commitOf, k256 } from '../../test/support/repo/commit.js'
import { putTree, treeOf } from '../../test/support/repo/tree.js'
import { COLLECTION, makePosts, tidOf } from './posts.js'

/** A signed repo of posts, as a CAR in a file. */

export interface SignedRepo {
  readonly did: string
  /** As did:key. */
  readonly signingKey: string
  readonly path: string
  readonly bytes: number
}

const DID = `did:plc:${'a'.repeat(24)}`

/** @param seed another one, other posts */
export async function makeSignedRepo(path: string, records: number, seed: number): Promise<SignedRepo> {
  const posts = makePosts(records, seed).map(({ rkey, value }) => ({ rkey, block: blockOf(encode(value)) }))
  const blocks: Block[] = posts.map(({ block }) => block)
  const values = new Map(posts.map(({ rkey, block }) => [`${COLLECTION}/${rkey}`, block.cid]))
  const data = putTree(treeOf(values), blocks)
  const key = await k256('bench')
  const commit = await commitOf(key, { did: DID, rev: tidOf(Date.now()), data })
  blocks.push(commit)
  // A PDS gives them out by rev and CID: for a repo that was moved there, in no order at all.
  blocks.sort((one, other) => Buffer.compare(one.cid, other.cid))
  const car = carOf([commit.cid], blocks)
  await writeFile(path, car)
  return { did: DID, signingKey: key.did(), path, bytes: car.length }
}
