import { P256Keypair, Secp256k1Keypair } from '@atproto/crypto'
import { DidResolver, getKey } from '@atproto/identity'
import { isValidDid } from '@atproto/syntax'
import { describe, expect, it } from 'vitest'
import { didWebFromUrl, serviceDidDocument } from '../../src/auth/did-document.js'

describe('didWebFromUrl', () => {
  it.each([
    ['https://backfill.example', 'did:web:backfill.example'],
    ['https://Backfill.Example/', 'did:web:backfill.example'],
    ['https://backfill.example:443', 'did:web:backfill.example'],
    ['https://backfill.example.:8443', 'did:web:backfill.example%3A8443'],
    ['http://localhost:3000', 'did:web:localhost%3A3000'],
    ['https://bücher.example', 'did:web:xn--bcher-kva.example'],
  ])('%s is %s', (url, did) => {
    expect(didWebFromUrl(url)).toBe(did)
    expect(isValidDid(did)).toBe(true)
  })

  it.each([
    'https://backfill.example/api',
    'https://backfill.example/?x=1',
    'https://backfill.example/#top',
    'https://user@backfill.example',
    'ftp://backfill.example',
    'http://127.0.0.1:3000',
    'http://[::1]:3000',
    'backfill.example',
    '',
  ])('%s has none', (url) => {
    expect(() => didWebFromUrl(url)).toThrow(TypeError)
  })
})

describe('serviceDidDocument', () => {
  const did = 'did:web:backfill.example'
  const endpoint = 'https://backfill.example/'

  it('has the service entry that a PDS looks for when it proxies', () => {
    expect(serviceDidDocument({ did, endpoint })).toEqual({
      '@context': ['https://www.w3.org/ns/did/v1'],
      id: did,
      service: [
        {
          id: '#atproto_backfill',
          type: 'AtprotoBackfillService',
          serviceEndpoint: 'https://backfill.example',
        },
      ],
    })
  })

  it.each([Secp256k1Keypair, P256Keypair])(
    'is read back by other atproto software, with the key',
    async (kind) => {
      const key = await kind.create()
      const served = JSON.stringify(serviceDidDocument({ did, endpoint, signingKey: key.did() }))
      const asked: string[] = []
      const resolver = new DidResolver({
        fetch: async (url) => {
          asked.push(String(url))
          return new Response(served, { headers: { 'content-type': 'application/json' } })
        },
      })
      const document = await resolver.ensureResolve(did)
      expect(asked).toEqual(['https://backfill.example/.well-known/did.json'])
      expect(getKey(document)).toBe(key.did())
      expect(document['@context']).toContain('https://w3id.org/security/multikey/v1')
    },
  )

  it('refuses what is not a key or not a URL', () => {
    expect(() => serviceDidDocument({ did, endpoint, signingKey: 'zQ3sh' })).toThrow(TypeError)
    expect(() => serviceDidDocument({ did, endpoint: 'backfill.example' })).toThrow(TypeError)
  })
})
