import { P256Keypair, Secp256k1Keypair, verifySignature } from '@atproto/crypto'
import { describe, expect, test } from 'vitest'
import { schemas } from '../../codegen/client/lexicons.js'
import { errorOf, NAMED_ERRORS } from '../../src/client/errors.js'
import {
  BackfillClient,
  type BackfillClientOptions,
  BackfillError,
  callerDidDocument,
  formatPrivateKey,
  generateKey,
  mintServiceToken,
  parsePrivateKey,
  repoOf,
} from '../../src/client/index.js'

describe('private keys', () => {
  test('come back from their text, on both curves', async () => {
    const keys = [
      await generateKey(),
      await Secp256k1Keypair.create({ exportable: true }),
      await P256Keypair.create({ exportable: true }),
    ]
    for (const key of keys) {
      const text = await formatPrivateKey(key)
      expect(text).toMatch(/^z[1-9A-HJ-NP-Za-km-z]{45,50}$/)
      expect(parsePrivateKey(` ${text}\n`).did()).toBe(key.did())
    }
  })

  // The keys of W3C's did:key test vectors in the form that goat reads and writes.
  test.each([
    [
      'K-256',
      'z3vLdj3jF2qD61AAETWRC6yHnwEBg4Z7LY8h69d1DBNzJ2h1',
      'did:key:zQ3shokFTS3brHcDQrn82RUDfCZESWL1ZdCEJwekUDPQiYBme',
    ],
    [
      'P-256',
      'z42trhNZPkHNQh97NA8uet3WJ1zvq3628w4K1i9fjdPbTSzU',
      'did:key:zDnaeTiq1PdzvZXUaMdezchcMJQpBdH2VN4pgrrEhMCCbmwSb',
    ],
  ])('%s keys of other tools are read', async (_, text, didKey) => {
    const key = parsePrivateKey(text)
    expect(key.did()).toBe(didKey)
    expect(await formatPrivateKey(key)).toBe(text)
  })

  test('what is no key is refused without being repeated', async () => {
    const good = await formatPrivateKey(await generateKey())
    const order = 'fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141'
    const beyond = await formatPrivateKey(
      Object.assign(await Secp256k1Keypair.create({ exportable: true }), {
        export: async () => Buffer.from(order, 'hex'),
      }),
    )
    for (const text of [
      '',
      'z',
      'secret-in-clear',
      'zsecret0OIl',
      good.slice(0, -1),
      `${good}1`,
      good.slice(1),
      beyond,
      'f8126',
      'a'.repeat(64),
    ]) {
      const attempt = () => parsePrivateKey(text)
      expect(attempt, JSON.stringify(text)).toThrow(TypeError)
      expect(attempt).toThrow(/in multibase/)
      if (text.length > 5) expect(attempt).not.toThrow(text)
    }
  })
})

describe('the DID document of a caller', () => {
  test('names the key as #atproto', async () => {
    const key = await generateKey()
    expect(callerDidDocument({ hostname: 'Feeds.Example.com.', key })).toEqual({
      '@context': ['https://www.w3.org/ns/did/v1', 'https://w3id.org/security/multikey/v1'],
      id: 'did:web:feeds.example.com',
      verificationMethod: [
        {
          id: 'did:web:feeds.example.com#atproto',
          type: 'Multikey',
          controller: 'did:web:feeds.example.com',
          publicKeyMultibase: key.did().replace('did:key:', ''),
        },
      ],
    })
    expect(callerDidDocument({ hostname: 'localhost:8080', key }).id).toBe('did:web:localhost%3A8080')
  })

  test.each([
    'https://feeds.example.com',
    'feeds.example.com/path',
    'feeds.example.com:8080',
    '203.0.113.7',
    'a_b.example.com',
    'did:web:feeds.example.com',
    '',
  ])('%j is no hostname', async (hostname) => {
    const key = await generateKey()
    expect(() => callerDidDocument({ hostname, key })).toThrow(TypeError)
  })
})

test('a token is signed by its key and holds for a minute', async () => {
  const key = await generateKey()
  const nowMs = Date.parse('2030-01-01T00:00:00.999Z')
  const call = {
    did: 'did:web:a.example.com',
    key,
    audience: 'did:web:b.example.com',
    lxm: 'com.example.call',
  }
  const token = await mintServiceToken({ ...call, nowMs })
  const [header, payload, signature] = token.split('.') as [string, string, string]
  const json = (part: string) => JSON.parse(Buffer.from(part, 'base64url').toString())
  expect(json(header)).toEqual({ typ: 'JWT', alg: 'ES256K' })
  expect(json(payload)).toEqual({
    iss: 'did:web:a.example.com',
    aud: 'did:web:b.example.com',
    lxm: 'com.example.call',
    iat: 1_893_456_000,
    exp: 1_893_456_060,
    jti: expect.stringMatching(/^.{16,128}$/),
  })
  const signed = Buffer.from(`${header}.${payload}`)
  expect(await verifySignature(key.did(), signed, Buffer.from(signature, 'base64url'))).toBe(true)
})

test.each([
  ['did:plc:abc', 'did:plc:abc'],
  ['alice.example.com', 'alice.example.com'],
  ['@alice.example.com', 'alice.example.com'],
  [' at://alice.example.com/com.example.post/1 ', 'alice.example.com'],
  ['at://did:plc:abc', 'did:plc:abc'],
  ['AT://did:web:localhost%3A80/x?y#z', 'did:web:localhost%3A80'],
  ['at:/nonsense', 'at:/nonsense'],
])('%j means the account %j', (text, repo) => {
  expect(repoOf(text)).toBe(repo)
})

test('every error that a lexicon names has a class of its own', () => {
  const named = schemas.flatMap((schema) => {
    const { main } = schema.defs as { main?: { errors?: readonly { name: string }[] } }
    return main?.errors?.map(({ name }) => name) ?? []
  })
  expect(named.length).toBeGreaterThan(10)
  expect(NAMED_ERRORS).toEqual(expect.arrayContaining(named))
  const classes = named.map((name) => errorOf({ name, message: '', status: 400 }).constructor)
  expect(classes).not.toContain(BackfillError)
  expect(new Set(classes).size).toBe(new Set(named).size)
  expect(errorOf({ name: 'constructor', message: '', status: 400 }).constructor).toBe(BackfillError)
})

test.each([
  [{ service: 'localhost:3000' }, /service must be an origin/],
  [{ service: 'https://example.com/xrpc' }, /service must be an origin/],
  [{ service: 'https://user:word@example.com' }, /service must be an origin/],
  [{ did: 'did:key:z6Mk' }, /did must be a did:plc or a did:web/],
  [{ key: 'secret' }, /private key must be/],
  [{ timeoutMs: 0 }, /timeoutMs/],
  [{ retry: { attempts: 0 } }, /retry.attempts/],
  [{ retry: { firstDelayMs: Number.NaN } }, /retry.firstDelayMs/],
  [{ userAgent: 'a\nb' }, /./],
])('%j is refused before anything is sent', async (wrong, message) => {
  const options = { service: 'https://example.com', did: 'did:web:a.example.com', key: await generateKey() }
  expect(() => new BackfillClient(options)).not.toThrow()
  const attempt = () => new BackfillClient({ ...options, ...wrong } as BackfillClientOptions)
  expect(attempt).toThrow(message)
})
