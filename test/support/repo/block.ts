import { hash } from 'node:crypto'
import { CID } from 'multiformats/cid'

/** Blocks and their CIDs in binary form, whether they fit each other or not. */

export interface Block {
  readonly cid: Uint8Array
  readonly bytes: Uint8Array
}

export const DAG_CBOR = 0x71
export const RAW = 0x55

export interface CidForm {
  readonly version?: number
  readonly codec?: number
  readonly hashing?: number
  readonly digest?: Uint8Array
}

/** The CID of some bytes, but for what the form has otherwise. */
export function cidOf(bytes: Uint8Array, form: CidForm = {}): Uint8Array {
  const { version = 1, codec = DAG_CBOR, hashing = 0x12, digest = hash('sha256', bytes, 'buffer') } = form
  return Buffer.concat([Uint8Array.of(version, codec, hashing, digest.length), digest])
}

export const blockOf = (bytes: Uint8Array, form?: CidForm): Block => ({ cid: cidOf(bytes, form), bytes })

/** As it stands in JSON. */
export const textOf = (cid: Uint8Array): string => CID.decode(cid).toString()
