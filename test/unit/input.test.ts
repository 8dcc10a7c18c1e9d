import { describe, expect, it } from 'vitest'
import { RequestError } from '../../src/errors.js'
import {
  assertScope,
  type CheckedInput,
  checkInput,
  inputHash,
  isWholeNetwork,
  type JobInput,
} from '../../src/jobs/input.js'

const ALICE = 'did:plc:aaaaaaaaaaaaaaaaaaaaaaaa'
const POST = 'com.example.post'

function refusalOf(input: JobInput): RequestError {
  try {
    checkInput(input)
  } catch (error) {
    if (error instanceof RequestError) return error
    throw error
  }
  throw new Error('it was taken')
}

describe('the input of createJob', () => {
  it('has defaults', () => {
    expect(checkInput({ collections: [POST] })).toEqual({
      collections: [POST],
      repos: null,
      hosts: null,
      method: 'auto',
      level: 'content',
      clientToken: null,
      name: null,
    } satisfies CheckedInput)
  })

  it('is taken as it is, but for duplicates and the case of handles', () => {
    const input = {
      collections: ['com.example.*', POST, 'com.example.*'],
      repos: ['Bob.Example.com', ALICE, 'bob.example.com', ALICE, 'did:web:example.com'],
      method: 'list-records',
      level: 'none',
      clientToken: 'token 1',
      name: 'Grüße 👩‍👩‍👧‍👦',
    }
    expect(checkInput(input)).toEqual({
      ...input,
      collections: ['com.example.*', POST],
      repos: ['bob.example.com', ALICE, 'did:web:example.com'],
      hosts: null,
    })
  })

  it('names each host once, however it is spelled', () => {
    const hosts = ['PDS.acme.dev.', 'pds.acme.dev:443', 'pds.acme.dev', 'other.acme.dev:8443']
    expect(checkInput({ hosts }).hosts).toEqual([
      { hostname: 'pds.acme.dev', origin: 'https://pds.acme.dev' },
      { hostname: 'other.acme.dev:8443', origin: 'https://other.acme.dev:8443' },
    ])
  })

  it('may name hosts of the local network only where those may be asked', () => {
    const input = { hosts: ['localhost:2583'] }
    expect(refusalOf(input).code).toBe('InvalidHost')
    expect(checkInput(input, { allowPrivateNetwork: true }).hosts).toEqual([
      { hostname: 'localhost:2583', origin: 'http://localhost:2583' },
    ])
  })

  it('is refused by every bad host at once, as it was written', () => {
    const bad = ['https://pds.acme.dev', 'pds.acme.dev/', 'no host', '10.0.0.1', '', 'me@pds.acme.dev']
    const { code, message } = refusalOf({ hosts: ['pds.acme.dev', ...bad, 'other.acme.dev'] })
    expect(code).toBe('InvalidHost')
    for (const name of bad) expect(message).toContain(JSON.stringify(name))
    expect(message).not.toContain('"pds.acme.dev"')
    expect(message).not.toContain('"other.acme.dev"')
  })

  it.each<[string, JobInput, boolean]>([
    ['nothing', {}, true],
    ['a prefix', { collections: [POST, 'com.example.*'] }, true],
    ['collections', { collections: [POST] }, false],
    ['a prefix on hosts', { collections: ['com.example.*'], hosts: ['pds.acme.dev'] }, false],
    ['hosts', { hosts: ['pds.acme.dev'] }, false],
    ['repos', { repos: [ALICE] }, false],
  ])('means the whole network or not: %s', (_, input, whole) => {
    const checked = checkInput(input)
    expect(isWholeNetwork(checked)).toBe(whole)
    const asOther = () => assertScope(checked, { admin: false })
    if (whole) expect(asOther).toThrow(expect.objectContaining({ code: 'ScopeTooBroad' }))
    else asOther()
    assertScope(checked, { admin: true })
  })

  it.each<[string, JobInput]>([
    ['every collection of named repos', { repos: [ALICE] }],
    ['a prefix of named repos', { repos: [ALICE], collections: ['com.example.*'] }],
    ['collections of every repo', { collections: [POST] }],
    ['a hundred collections', { collections: Array.from({ length: 100 }, (_, n) => `com.example.post${n}`) }],
    ['a thousand repos', { repos: Array.from({ length: 1_000 }, (_, n) => `user${n}.example.com`) }],
  ])('may ask for %s', (_, input) => {
    expect(checkInput(input)).toBeDefined()
  })

  it.each<[string, JobInput, string]>([
    ['no collection', { collections: [], repos: [ALICE] }, 'InvalidRequest'],
    ['no repo', { collections: [POST], repos: [] }, 'InvalidRequest'],
    ['no host', { hosts: [] }, 'InvalidRequest'],
    ['101 hosts', { hosts: Array(101).fill('pds.acme.dev') }, 'InvalidRequest'],
    ['repos and hosts', { repos: [ALICE], hosts: ['pds.acme.dev'] }, 'InvalidRequest'],
    ['101 collections', { collections: Array(101).fill(POST) }, 'InvalidRequest'],
    ['1,001 repos', { repos: Array(1_001).fill(ALICE) }, 'InvalidRequest'],
    ['a method nobody knows', { repos: [ALICE], method: 'magic' }, 'InvalidRequest'],
    ['a method of ours alone', { repos: [ALICE], method: 'unchanged' }, 'InvalidRequest'],
    ['a level nobody knows', { repos: [ALICE], level: 'notarised' }, 'InvalidRequest'],
    [
      'a level that the method cannot reach',
      { repos: [ALICE], method: 'list-records', level: 'signed' },
      'LevelNotOffered',
    ],
    // The database would refuse the one, and change the other into what another token may be.
    ['a NUL in the token', { repos: [ALICE], clientToken: 'a\u0000b' }, 'InvalidRequest'],
    ['half a surrogate pair in the name', { repos: [ALICE], name: '\ud83d' }, 'InvalidRequest'],
  ])('may not ask for %s', (_, input, code) => {
    expect(refusalOf(input).code).toBe(code)
  })

  it('is refused by every bad collection at once, and by no good one', () => {
    const { code, message } = refusalOf({ collections: ['post', POST, 'com.*', 'com.*', 'com.example.*'] })
    expect(code).toBe('InvalidCollection')
    expect(message).toContain('"post"')
    expect(message.match(/"com\.\*"/g)).toHaveLength(1)
    expect(message).not.toContain(`"${POST}"`)
    expect(message).not.toContain('"com.example.*"')
  })

  it('is refused by every bad repo at once, as it was written', () => {
    const bad = [
      'Alice',
      'did:plc',
      'did:key:z6Mk',
      'DID:PLC:abc',
      'https://example.com',
      '',
      '@bob.example.com',
    ]
    const { code, message } = refusalOf({ repos: [ALICE, ...bad, 'bob.example.com'] })
    expect(code).toBe('InvalidRepo')
    for (const repo of bad) expect(message).toContain(JSON.stringify(repo))
    expect(message).not.toContain(`"${ALICE}"`)
    expect(message).not.toContain('"bob.example.com"')
  })

  it('is shown in a message short and visible', () => {
    const { message } = refusalOf({ collections: ['x'.repeat(319), 'a\nb\u0000'] })
    expect(message).not.toContain('x'.repeat(101))
    expect(message).toContain('"a\\nb\\u0000"')
  })
})

describe('the hash of an input', () => {
  const hashOf = (input: JobInput) => inputHash(checkInput(input))
  const input = { collections: [POST, 'com.example.like'], repos: [ALICE, 'bob.example.com'], name: 'x' }

  it('is the same for the same question, in whatever order and case', () => {
    const same: JobInput[] = [
      { ...input, collections: ['com.example.like', POST, POST] },
      { ...input, repos: ['Bob.example.com', ALICE] },
      { ...input, method: 'auto', level: 'content' },
      { ...input, clientToken: 'another' },
    ]
    for (const other of same) expect(hashOf(other)).toBe(hashOf(input))
    expect(hashOf(input)).toMatch(/^[\w-]{43}$/)
  })

  it('is another for every other question', () => {
    const others: JobInput[] = [
      input,
      { ...input, collections: [POST] },
      { repos: input.repos, name: 'x' },
      { ...input, repos: [ALICE] },
      { collections: input.collections, name: 'x' },
      { ...input, method: 'list-records' },
      { ...input, level: 'none' },
      { ...input, name: 'y' },
      { collections: input.collections, repos: input.repos },
      // The same entries on the other side of a border.
      { collections: ['com.example.like'], repos: ['post.example.com'] },
      { collections: ['post.example.com'], repos: ['com.example.like'] },
    ]
    expect(new Set(others.map(hashOf)).size).toBe(others.length)
  })
})
