import { hash } from 'node:crypto'
import { P256Keypair, Secp256k1Keypair } from '@atproto/crypto'
import { type Block, blockOf } from './block.js'
import { bytes, canonicalMap, link, NULL, type Piece, text, uint } from './cbor.js'

/** Signed commits (https://atproto.com/specs/repository#commit-objects), right or wrong. */

export type Key = P256Keypair | Secp256k1Keypair

/** The same key for the same name. */
export const k256 = (name: string): Promise<Secp256k1Keypair> => Secp256k1Keypair.import(secretOf(name))
export const p256 = (name: string): Promise<P256Keypair> => P256Keypair.import(secretOf(name))

const secretOf = (name: string) => hash('sha256', name, 'hex')

export interface CommitFields {
  readonly did: string
  readonly rev: string
  /** The root of the tree. */
  readonly data: Uint8Array
}

/** The fields of a commit but for its signature. */
export function commitFields({ did, rev, data }: CommitFields): Record<string, Piece> {
  return { did: text(did), rev: text(rev), data: link(data), prev: NULL, version: uint(3) }
}

/** @param encode how the fields become bytes; the signature is over the right ones */
export async function sign(
  key: Key,
  fields: Readonly<Record<string, Piece>>,
  encode: (fields: Readonly<Record<string, Piece>>) => Piece = canonicalMap,
): Promise<Block> {
  const signature = await key.sign(canonicalMap(fields))
  return blockOf(encode({ ...fields, sig: bytes(signature) }))
}

export const commitOf = (key: Key, fields: CommitFields): Promise<Block> => sign(key, commitFields(fields))

/** The orders of the two curves' groups. */
const ORDERS = {
  ES256: 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n,
  ES256K: 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n,
}

/** The other signature that the same key might have made: right by arithmetic, and refused by the protocol. */
export function highS({ jwtAlg }: Key, signature: Uint8Array): Uint8Array {
  const s = BigInt(`0x${Buffer.from(signature.subarray(32)).toString('hex')}`)
  const other = (ORDERS[jwtAlg as keyof typeof ORDERS] - s).toString(16).padStart(64, '0')
  return Buffer.concat([signature.subarray(0, 32), Buffer.from(other, 'hex')])
}
