import { describe, expect, it } from 'vitest'
import { cidTextAt } from '../../src/atproto/repo/cid.js'
import { checkCommit, type ExpectedCommit } from '../../src/atproto/repo/commit.js'
import { type Block, blockOf } from '../support/repo/block.js'
import { array, bytes, canonicalMap, link, NULL, type Piece, text, uint } from '../support/repo/cbor.js'
import { commitFields, highS, k256, p256, sign } from '../support/repo/commit.js'
import { DID, failureOf } from './repo-support.js'

const REV = '3jzfcijpj2z2a'
/** When that rev was made. */
const NOW = 1_688_137_381_887
const ROOT = blockOf(text('root')).cid
const FIELDS = commitFields({ did: DID, rev: REV, data: ROOT })
const KEYS = { k256: await k256('mine'), p256: await p256('mine') }

const check = ({ bytes, cid }: Block, expected: Partial<ExpectedCommit> = {}) =>
  checkCommit(bytes, cidTextAt(cid, 0), {
    did: DID,
    signingKey: KEYS.k256.did(),
    now: NOW,
    lastRev: null,
    ...expected,
  })

/** The class that a commit with these fields is refused with. */
const failureWith = async (fields: Record<string, Piece>, expected?: Partial<ExpectedCommit>) => {
  const commit = await sign(KEYS.k256, { ...FIELDS, ...fields })
  return failureOf(() => check(commit, expected))
}

describe('a commit', () => {
  it.each(['k256', 'p256'] as const)(
    'is taken when it is signed by the account’s key, of %s',
    async (curve) => {
      const key = KEYS[curve]
      const commit = await sign(key, FIELDS)
      const cid = cidTextAt(commit.cid, 0)
      const checked = await check(commit, { signingKey: key.did() })
      expect(checked).toEqual({ did: DID, rev: REV, cid, data: cidTextAt(ROOT, 0) })
    },
  )

  it('may have other fields, which are signed as well', async () => {
    for (const other of [
      { prev: link(ROOT) },
      { a: NULL, zz: array([text('sig'), canonicalMap({ sig: bytes(Buffer.alloc(64)) })]) },
      { constructor: text('mine'), unknown: link(ROOT) },
      Object.fromEntries(Array.from({ length: 300 }, (_, index) => [`field${index}`, uint(index)])),
    ]) {
      const commit = await sign(KEYS.k256, { ...FIELDS, ...(other as Record<string, Piece>) })
      expect(await failureOf(() => check(commit))).toBe('none')
    }
    const { prev: _, ...withoutPrev } = FIELDS
    expect(await failureOf(async () => check(await sign(KEYS.k256, withoutPrev)))).toBe('none')
    // Put in after it was signed.
    const smuggled = await sign(KEYS.k256, FIELDS, (fields) => canonicalMap({ ...fields, a: NULL }))
    expect(await failureOf(() => check(smuggled))).toBe('bad-signature')
  })

  it.each(['k256', 'p256'] as const)('must have the one signature that may be, of %s', async (curve) => {
    const key = KEYS[curve]
    const signature = await key.sign(canonicalMap(FIELDS))
    for (const wrong of [
      highS(key, signature),
      signature.map((byte, at) => (at === 40 ? byte ^ 1 : byte)),
      signature.subarray(1),
      Buffer.alloc(64),
      Buffer.alloc(64, 0xff),
      Buffer.alloc(0),
    ]) {
      const commit = blockOf(canonicalMap({ ...FIELDS, sig: bytes(wrong) }))
      expect(await failureOf(() => check(commit, { signingKey: key.did() }))).toBe('bad-signature')
    }
  })

  it('must be signed by that key and no other', async () => {
    const commit = await sign(KEYS.k256, FIELDS)
    for (const key of [await k256('another'), KEYS.p256]) {
      expect(await failureOf(() => check(commit, { signingKey: key.did() }))).toBe('bad-signature')
    }
    for (const signingKey of [
      '',
      'did:key:z',
      'did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK',
      DID,
    ]) {
      expect(await failureOf(() => check(commit, { signingKey }))).toBe('unverifiable')
    }
  })

  it('must be of that account, and of version 3', async () => {
    expect(await failureWith({ did: text('did:web:example.com') })).toBe('did-mismatch')
    expect(await failureWith({ version: uint(2) })).toBe('unverifiable')
    expect(await failureWith({ version: text('3') })).toBe('bad-tree')
  })

  it('must have a rev that is a TID, not from the future, and not before the last one', async () => {
    for (const rev of ['', 'abc', REV.slice(1), `${REV}a`, `z${REV.slice(1)}`, REV.toUpperCase()]) {
      expect(await failureWith({ rev: text(rev) })).toBe('bad-response')
    }
    expect(await failureWith({}, { now: NOW - 5 * 60_000 + 10 })).toBe('none')
    expect(await failureWith({}, { now: NOW - 5 * 60_000 - 10 })).toBe('bad-response')
    expect(await failureWith({}, { lastRev: REV })).toBe('none')
    expect(await failureWith({}, { lastRev: '3jzfcijpj2z2b' })).toBe('rev-regressed')
    expect(await failureWith({}, { lastRev: '3jzfcijpj2y2b' })).toBe('none')
  })

  it.each([
    ['a record', canonicalMap({ $type: text('a.b.c') })],
    ['no map', array([])],
    ['nothing', Buffer.alloc(0)],
    ['one without a signature', canonicalMap(FIELDS)],
    ['one with bytes for a link', canonicalMap({ ...FIELDS, sig: bytes(ROOT), data: bytes(ROOT) })],
    ['one with text for bytes', canonicalMap({ ...FIELDS, sig: text('AQID') })],
    ['one with a number for prev', canonicalMap({ ...FIELDS, sig: bytes(ROOT), prev: uint(1) })],
    ['one with a byte behind it', Buffer.concat([canonicalMap({ ...FIELDS, sig: bytes(ROOT) }), uint(0)])],
  ])('is told from %s', async (_, content) => {
    expect(await failureOf(() => check(blockOf(content)))).toBe('bad-tree')
  })
})
