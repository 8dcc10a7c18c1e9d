import { createPublicKey, type KeyObject, verify } from 'node:crypto'
import { promisify } from 'node:util'
import { encode } from '@atcute/cbor'
import { parseDidKey } from '@atcute/crypto'
import { isValidTid } from '@atproto/syntax'
import { Failure } from '../outcome.js'
import { isFromFuture } from '../rev.js'
import { CborReader, MAP, UNSIGNED } from './cbor.js'
import { CID_BYTES, isDagCborAt, writeCidBytes } from './cid.js'
import { jsonOfCbor } from './data.js'

/** The head of a repo at one rev, signed by its account. */
export interface Commit {
  readonly did: string
  readonly rev: string
  readonly cid: string
  /** The root of the tree. */
  readonly data: string
}

export interface ExpectedCommit {
  readonly did: string
  /** As did:key. */
  readonly signingKey: string
  /** ms since epoch. */
  readonly now: number
  /** Of the commit seen last; null when there is none. */
  readonly lastRev: string | null
}

const VERSION = 3

const SIGNATURE_BYTES = 64

/** What stands before a compressed point in a public key's DER (RFC 5480); and half the curve's order. */
const CURVES = {
  secp256k1: {
    prefix: Buffer.from('3036301006072a8648ce3d020106052b8104000a032200', 'hex'),
    halfOrder: Buffer.from('7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0', 'hex'),
  },
  p256: {
    prefix: Buffer.from('3039301306072a8648ce3d020106082a8648ce3d030107032200', 'hex'),
    halfOrder: Buffer.from('7fffffff800000007fffffffffffffffde737d56d38bcf4279dce5617e3192a8', 'hex'),
  },
}
const POINT_BYTES = 33

/** A did:key of such a point has 57 characters. */
const DID_KEY_LENGTH_MAX = 100

const verifyOnPool = promisify(verify)

/**
 * Checks a commit in every way it can be by itself. Fields that nobody knows are signed like the others.
 * @param bytes whose hash is known to be that of the CID
 */
export async function checkCommit(bytes: Uint8Array, cid: string, expected: ExpectedCommit): Promise<Commit> {
  const { did, rev, data, unsigned, signature } = readCommit(bytes)
  if (!isDagCbor(cid)) throw new Failure('bad-tree', `the CID ${cid} is not that of a commit`)
  if (did !== expected.did) {
    throw new Failure('did-mismatch', `the commit is one of ${did.slice(0, 200)}, not of ${expected.did}`)
  }
  if (!(await isSignedBy(expected.signingKey, unsigned, signature))) {
    throw new Failure('bad-signature', `commit ${cid} is not signed by the key ${expected.signingKey}`)
  }
  assertRev(rev, expected)
  return { did, rev, cid, data }
}

interface SignedCommit {
  readonly did: string
  readonly rev: string
  readonly data: string
  /** What was signed: the commit without its signature, the other fields in the order they have. */
  readonly unsigned: Buffer
  readonly signature: Buffer
}

function readCommit(bytes: Uint8Array): SignedCommit {
  if (jsonOfCbor(bytes) === null)
    throw new Failure('bad-tree', 'the commit is not atproto data in canonical form')
  const reader = new CborReader(bytes, 'the commit')
  const fields = reader.head(MAP)
  const signed: Uint8Array[] = [headOfMap(fields - 1)]
  let [did, rev, data, version, signature]: [string?, string?, string?, number?, Buffer?] = []
  for (let index = 0; index < fields; index += 1) {
    const from = reader.at
    const name = reader.text()
    if (name === 'did') did = reader.text()
    else if (name === 'rev') rev = reader.text()
    else if (name === 'data') data = reader.link()
    else if (name === 'prev') reader.linkOrNull()
    else if (name === 'version') version = reader.head(UNSIGNED)
    else if (name === 'sig') signature = reader.byteString()
    else reader.skip()
    if (name !== 'sig') signed.push(bytes.subarray(from, reader.at))
  }
  if (version !== undefined && version !== VERSION) {
    throw new Failure('unverifiable', `the commit has version ${version}, not ${VERSION}`)
  }
  if (
    version === undefined ||
    did === undefined ||
    rev === undefined ||
    data === undefined ||
    signature === undefined
  ) {
    throw reader.failure('one of its fields is missing')
  }
  return { did, rev, data, unsigned: Buffer.concat(signed), signature }
}

/** The head of a map: an unsigned integer but for its first three bits. */
function headOfMap(fields: number): Buffer {
  const head = Buffer.from(encode(fields))
  head[0]! |= MAP << 5
  return head
}

const CID = Buffer.alloc(CID_BYTES)

function isDagCbor(cid: string): boolean {
  return writeCidBytes(cid, CID) && isDagCborAt(CID, 0)
}

async function isSignedBy(signingKey: string, unsigned: Buffer, signature: Buffer): Promise<boolean> {
  const { key, halfOrder } = importKey(signingKey)
  if (signature.length !== SIGNATURE_BYTES) return false
  // Anybody can make the other form, with a higher S, from this one: repos have the lower one only.
  if (signature.subarray(SIGNATURE_BYTES / 2).compare(halfOrder) > 0) return false
  return verifyOnPool('sha256', unsigned, { key, dsaEncoding: 'ieee-p1363' }, signature)
}

function importKey(signingKey: string): { key: KeyObject; halfOrder: Buffer } {
  try {
    if (signingKey.length > DID_KEY_LENGTH_MAX) throw new Error('it is too long')
    const { type, publicKeyBytes } = parseDidKey(signingKey)
    if (publicKeyBytes.length !== POINT_BYTES) throw new Error('it is not a compressed point')
    const { prefix, halfOrder } = CURVES[type]
    const der = Buffer.concat([prefix, publicKeyBytes])
    return { key: createPublicKey({ key: der, format: 'der', type: 'spki' }), halfOrder }
  } catch (error) {
    const shown = JSON.stringify(signingKey.slice(0, DID_KEY_LENGTH_MAX))
    throw new Failure('unverifiable', `the signing key ${shown} cannot be used`, { cause: error })
  }
}

function assertRev(rev: string, { now, lastRev }: ExpectedCommit): void {
  const isTid: boolean = isValidTid(rev)
  if (!isTid) {
    throw new Failure(
      'bad-response',
      `the rev ${JSON.stringify(rev.slice(0, 40))} of the commit is not a TID`,
    )
  }
  if (isFromFuture(rev, now)) {
    throw new Failure('bad-response', `the rev ${rev} of the commit lies in the future`)
  }
  if (lastRev !== null && rev < lastRev) {
    throw new Failure('rev-regressed', `the commit has rev ${rev}, after ${lastRev} was there`)
  }
}
