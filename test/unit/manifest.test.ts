import { createHash } from 'node:crypto'
import { Secp256k1Keypair } from '@atproto/crypto'
import { beforeAll, describe, expect, it } from 'vitest'
import { serviceDidDocument } from '../../src/auth/did-document.js'
import { canonicalJson, type ManifestProblem } from '../../src/client/manifest.js'
import {
  EMPTY_TALLY,
  headText,
  InvalidManifest,
  lineText,
  type ManifestClaim,
  type ManifestKey,
  type ManifestLine,
  manifestClaim,
  manifestLine,
  tallyWith,
  verifyManifest,
} from '../../src/jobs/manifest.js'
import type { JobRow } from '../../src/store/jobs.js'
import type { ManifestRepo } from '../../src/store/manifest.js'

const SERVICE = 'did:web:backfill.example'
const AT = new Date('2026-01-02T03:04:05.678Z')
const TIME = AT.toISOString()
const HOST = 'https://pds.example'

const did = (name: string) => `did:plc:${name}`

const repo = (name: string, change: Partial<ManifestRepo> = {}): ManifestRepo => ({
  ...{ did: did(name), status: 'completed', method: null, failure: null, reason: null, origin: HOST },
  receipt: null,
  ...change,
})

const RECEIPT: NonNullable<ManifestRepo['receipt']> = {
  ...{ rev: '3l3qo2vuowo2b', dataCid: 'bafyroot', records: 5, unreadable: 1, method: 'get-repo' },
  ...{ level: 'signed', origin: HOST, completedAt: AT },
  counts: { 'com.example.post': 3, 'com.example.like': 2, 'com.example.follow': 0 },
}

const REPOS: readonly ManifestRepo[] = [
  repo('a', { receipt: RECEIPT }),
  repo('b', {
    method: 'unchanged',
    receipt: {
      ...RECEIPT,
      rev: null,
      dataCid: null,
      counts: {},
      records: 0,
      unreadable: 0,
      level: 'content',
    },
  }),
  repo('c', { status: 'unavailable', reason: 'takendown' }),
  repo('d', { status: 'failed', failure: 'did-not-found', origin: null }),
  // Its receipt is gone, and the others never had one.
  repo('e'),
  repo('f', { status: 'waiting', origin: null }),
  repo('g', { status: 'fetching' }),
]

const JOB = {
  ...{ key: 17, id: '3l3qo2vuowo2b', caller: 'did:web:caller.example', name: 'mine', scope: 3 },
  ...{ collections: ['com.example.*'], repo_count: 7, hosts: null, method: 'auto', level: 'content' },
  ...{ status: 'cancelled', stage: 'cancelled', discovery_complete: true, error: null },
  ...{ created_at: AT, started_at: null, completed_at: AT },
  start_cursors: [{ relay: 'https://relay.example', seq: 9 }],
} as JobRow

let key: ManifestKey
let document: object

beforeAll(async () => {
  key = await newKey()
  document = serviceDidDocument({ did: SERVICE, endpoint: 'https://backfill.example', signingKey: key.did })
})

async function newKey(): Promise<ManifestKey> {
  const pair = await Secp256k1Keypair.create()
  return { did: pair.did(), sign: (bytes) => pair.sign(bytes) }
}

const sha256 = (text: string) => createHash('sha256').update(text).digest('hex')

/** A manifest as the service makes it, unless a change is made before it is signed. */
async function manifestOf(
  lines: readonly ManifestLine[],
  { with: change = {}, by = key }: { with?: Partial<ManifestClaim>; by?: ManifestKey } = {},
): Promise<string> {
  const text = lines.map(lineText).join('')
  const tally = lines.reduce(tallyWith, EMPTY_TALLY)
  const claim = manifestClaim(JOB, { service: SERVICE, tally, sha256: sha256(text), builtAt: AT })
  return text + (await headText({ ...claim, ...change }, by))
}

const whole = () => manifestOf(REPOS.map(manifestLine))

async function problemOf(text: string, against: object = document): Promise<ManifestProblem | 'none'> {
  try {
    await verifyManifest([text], against)
    return 'none'
  } catch (error) {
    if (error instanceof InvalidManifest) return error.problem
    throw error
  }
}

describe('a line', () => {
  it('says what the receipt says, in one canonical form', () => {
    expect(lineText(manifestLine(REPOS[0]!))).toBe(
      '{"completedAt":"2026-01-02T03:04:05.678Z","counts":{"com.example.like":2,"com.example.post":3},' +
        '"dataCid":"bafyroot","did":"did:plc:a","host":"https://pds.example","level":"signed",' +
        '"method":"get-repo","outcome":"completed","records":5,"rev":"3l3qo2vuowo2b","unreadable":1}\n',
    )
  })

  it('says what became of every other repo too', () => {
    expect(REPOS.slice(1).map(manifestLine).map(lineText)).toEqual([
      '{"completedAt":"2026-01-02T03:04:05.678Z","counts":{},"did":"did:plc:b","host":"https://pds.example",' +
        '"level":"content","method":"unchanged","outcome":"completed","records":0}\n',
      '{"did":"did:plc:c","host":"https://pds.example","outcome":"unavailable","reason":"takendown"}\n',
      '{"class":"did-not-found","did":"did:plc:d","outcome":"failed"}\n',
      '{"did":"did:plc:e","outcome":"completed"}\n',
      '{"did":"did:plc:f"}\n',
      '{"did":"did:plc:g"}\n',
    ])
  })
})

describe('canonical JSON', () => {
  it('orders members by their names at every depth, and leaves the order of lists', () => {
    expect(canonicalJson({ b: [2, { d: 1, c: null }, 'é"\n'], a: true, '': undefined, 10: 0, 9: 0 })).toBe(
      String.raw`{"10":0,"9":0,"a":true,"b":[2,{"c":null,"d":1},"é\"\n"]}`,
    )
  })
})

describe('a manifest', () => {
  it('holds, and its head tells what the job asked for and what became of it', async () => {
    const text = await whole()
    const { head, hash } = await verifyManifest([text], document)
    const { sig, sha256: lines, ...rest } = head
    expect(rest).toEqual({
      ...{ version: 1, job: JOB.id, caller: JOB.caller, service: SERVICE, status: 'cancelled' },
      ...{ scope: { collections: ['com.example.*'], repoCount: 7 }, method: 'auto', level: 'content' },
      ...{ discoveryComplete: true, startCursors: [{ relay: 'https://relay.example', seq: 9 }] },
      ...{ createdAt: TIME, completedAt: TIME, builtAt: TIME, key: key.did },
      ...{ repos: { total: 7, completed: 3, unavailable: 1, failed: 1 }, receipts: 2, records: 5 },
    })
    expect(Buffer.from(sig, 'base64url')).toHaveLength(64)
    expect(lines).toBe(sha256(text.slice(0, text.lastIndexOf('\n', text.length - 2) + 1)))
    expect(hash).toBe(sha256(text))
  })

  it.each([1, 7, 64, 100_000])('holds in pieces of %i bytes', async (size) => {
    const bytes = Buffer.from(await whole())
    async function* pieces() {
      for (let at = 0; at < bytes.length; at += size) yield new Uint8Array(bytes.subarray(at, at + size))
    }
    expect(await verifyManifest(pieces(), document)).toMatchObject({ head: { records: 5 } })
  })

  it('of a job without repos is its head alone', async () => {
    expect(await verifyManifest([await manifestOf([])], document)).toMatchObject({
      head: { receipts: 0, repos: { total: 0 }, sha256: sha256('') },
    })
  })

  it('asks for the DID document of the service that it names', async () => {
    const asked: string[] = []
    const resolve = async (service: string) => {
      asked.push(service)
      return document
    }
    await verifyManifest([await whole()], resolve)
    expect(asked).toEqual([SERVICE])
  })
})

describe('is refused', () => {
  it('whichever byte of it is changed', async () => {
    const bytes = Buffer.from(await whole())
    const head = bytes.lastIndexOf('\n', bytes.length - 2) + 1
    const passed: number[] = []
    // A change of the head often takes a look at the signature to be seen, which takes its time.
    for (let at = 0; at < bytes.length; at += at < head ? 1 : 5) {
      const changed = Buffer.from(bytes)
      changed[at] = changed[at]! ^ 0x01
      const problem = await problemOf(changed as unknown as string)
      if (problem === 'none') passed.push(at)
    }
    expect(passed).toEqual([])
  })

  it('wherever it is cut off', async () => {
    const text = await whole()
    for (let length = 0; length < text.length; length += 1) {
      expect(['incomplete', 'malformed']).toContain(await problemOf(text.slice(0, length)))
    }
  })

  it.each<[string, (lines: string[]) => string[]]>([
    ['a line left out', ([, ...rest]) => rest],
    ['a line twice', ([first = '', ...rest]) => [first, first, ...rest]],
    ['two lines in each other’s place', ([a = '', b = '', ...rest]) => [b, a, ...rest]],
    ['a line more', (lines) => [lineText({ did: 'did:plc:0' }), ...lines]],
    ['a line behind the head', (lines) => [...lines, lineText({ did: 'did:plc:z' })]],
    ['two heads', (lines) => [...lines, lines.at(-1)!]],
    ['a count changed', ([first = '', ...rest]) => [first.replace('"records":5', '"records":6'), ...rest]],
    [
      'a count moved to another collection',
      ([first = '', ...rest]) => [
        first.replace('like":2,"com.example.post":3', 'like":3,"com.example.post":2'),
        ...rest,
      ],
    ],
    ['an outcome changed', (lines) => lines.map((line) => line.replace('takendown', 'deactivated'))],
    [
      'the records of the head changed',
      (lines) => lines.map((line) => line.replace('"receipts":2,"records":5', '"receipts":2,"records":9')),
    ],
    [
      'the status of the head changed',
      (lines) => lines.map((line) => line.replace('cancelled', 'completed')),
    ],
    ['spaces', (lines) => lines.map((line) => line.replace('"did":', '"did": '))],
    ['a byte order mark', (lines) => lines.map((line, index) => (index === 0 ? `\ufeff${line}` : line))],
  ])('with %s', async (_what, change) => {
    const text = await whole()
    const lines = text
      .split('\n')
      .slice(0, -1)
      .map((line) => `${line}\n`)
    const changed = change(lines).join('')
    expect(changed).not.toBe(text)
    expect(await problemOf(changed)).not.toBe('none')
  })

  it('with sums that are not those of the lines, though the service has signed them', async () => {
    const lines = REPOS.map(manifestLine)
    const repos = { total: 7, completed: 4, unavailable: 0, failed: 1 }
    expect(await problemOf(await manifestOf(lines, { with: { repos } }))).toBe('counts')
    expect(await problemOf(await manifestOf(lines, { with: { receipts: 3 } }))).toBe('counts')
    expect(await problemOf(await manifestOf(lines, { with: { records: 4 } }))).toBe('counts')
    expect(await problemOf(await manifestOf(lines, { with: { sha256: sha256('') } }))).toBe('hash')
  })

  it('with a receipt that does not add up, or a line that says nothing, though they are signed', async () => {
    const line = manifestLine(REPOS[0]!)
    for (const wrong of [
      { ...line, records: 4 },
      { ...line, counts: undefined },
      { ...line, counts: { 'com.example.post': -1, 'com.example.like': 6 } },
      { did: 'did:plc:a', outcome: 'lost' },
      { did: 'did:plc:a', class: 'timeout' },
      { outcome: 'failed' },
      { did: 'alice.example', outcome: 'failed' },
    ]) {
      expect(await problemOf(await manifestOf([wrong as ManifestLine]))).toBe('malformed')
    }
  })

  it('when the lines do not ascend, though they are signed', async () => {
    const lines = REPOS.map(manifestLine)
    expect(await problemOf(await manifestOf([...lines].reverse()))).toBe('malformed')
    expect(await problemOf(await manifestOf([lines[0]!, lines[0]!]))).toBe('malformed')
  })

  it('when somebody else signed it', async () => {
    const other = await newKey()
    const lines = REPOS.map(manifestLine)
    expect(await problemOf(await manifestOf(lines, { by: other }))).toBe('key')
    // With the service's name on it.
    expect(await problemOf(await manifestOf(lines, { by: { ...other, did: key.did } }))).toBe('signature')
    expect(await problemOf(await manifestOf(lines, { with: { service: 'did:web:other.example' } }))).toBe(
      'key',
    )
  })

  it('with its signature in another form', async () => {
    const text = await whole()
    const sig = /"sig":"([\w-]+)"/.exec(text)![1]!
    const bytes = Buffer.from(sig, 'base64url')
    const order = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n
    const s = BigInt(`0x${bytes.subarray(32).toString('hex')}`)
    const high = Buffer.concat([
      bytes.subarray(0, 32),
      Buffer.from((order - s).toString(16).padStart(64, '0'), 'hex'),
    ])
    for (const other of [high.toString('base64url'), `${sig}=`, bytes.toString('base64'), sig.slice(0, -1)]) {
      expect(await problemOf(text.replace(sig, other))).toBe('signature')
    }
  })

  it.each<[string, (document: Record<string, unknown>) => object]>([
    ['names no key', () => ({ id: SERVICE })],
    ['names another', ({ id }) => ({ id, verificationMethod: [{ id: '#atproto', type: 'Multikey' }] })],
    ['is of another service', (given) => ({ ...given, id: 'did:web:other.example' })],
    [
      'has the key for something else',
      (given) => JSON.parse(JSON.stringify(given).replace('#atproto"', '#label"')),
    ],
    ['is nothing', () => []],
  ])('when the DID document %s', async (_what, change) => {
    expect(await problemOf(await whole(), change({ ...document }))).toBe('key')
  })

  it('when there is no end to a line', async () => {
    function* endless() {
      for (;;) yield Buffer.alloc(1024 * 1024, 0x61)
    }
    await expect(verifyManifest(endless(), document)).rejects.toThrow('a line is too long')
  })
})
