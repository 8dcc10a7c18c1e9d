import type { Addresses } from './addresses.js'
import type { Census } from './census.js'
import type { FaultKind } from './fault-kinds.js'
import type { Faults } from './faults.js'
import { type Answer, jsonAnswer, refusal } from './pds.js'
import type { Repos } from './repos.js'
import type { Account } from './world.js'

export interface DocumentParts {
  readonly did: string
  readonly handles: readonly string[]
  /** The key of `#atproto`, as a did:key. */
  readonly signingKey: string
  /** Null: the document names no PDS. */
  readonly pds: string | null
}

/** A DID document as the directory writes it. */
export function didDocument({ did, handles, signingKey, pds }: DocumentParts): object {
  const publicKeyMultibase = signingKey.replace(/^did:key:/, '')
  return {
    '@context': ['https://www.w3.org/ns/did/v1', 'https://w3id.org/security/multikey/v1'],
    id: did,
    alsoKnownAs: handles.map((handle) => `at://${handle}`),
    verificationMethod: [{ id: `${did}#atproto`, type: 'Multikey', controller: did, publicKeyMultibase }],
    service:
      pds === null ? [] : [{ id: '#atproto_pds', type: 'AtprotoPersonalDataServer', serviceEndpoint: pds }],
  }
}

/** The documents of all accounts, by the directory or by the did:web's own host. */
export class Documents {
  readonly #addresses: Addresses
  readonly #census: Census
  readonly #faults: Faults
  readonly #repos: Repos

  constructor(parts: { addresses: Addresses; census: Census; faults: Faults; repos: Repos }) {
    this.#addresses = parts.addresses
    this.#census = parts.census
    this.#faults = parts.faults
    this.#repos = parts.repos
  }

  /** The answer to whoever asks for an account's document; a string is where to ask instead. */
  async answer(account: Account): Promise<Answer | string> {
    const fault = this.#faults.takeDocument(account)
    switch (fault) {
      case 'tombstoned':
        return jsonAnswer({ message: `DID not available: ${account.did}` }, 410)
      case 'did-not-found':
        return jsonAnswer({ message: `DID not registered: ${account.did}` }, 404)
      case 'directory-error':
      case 'web-error':
        return refusal('InternalServerError', 'Internal Server Error', account.index % 2 === 0 ? 500 : 503)
      case 'web-redirect':
        return this.#addresses.mode === 'guarded' ? this.#addresses.privateOrigins[0]! : '/elsewhere'
      default:
        return jsonAnswer(didDocument(spoiled(fault, account, await this.#parts(account), this.#addresses)))
    }
  }

  async #parts(account: Account): Promise<DocumentParts> {
    const host = this.#census.hostOf(account)
    const signingKey = await this.#repos.keyOf(account, this.#census.versionOf(account))
    const pds = this.#addresses.pds(host, this.#census.hasMoved(host))
    return { did: account.did, handles: [account.handle], signingKey, pds }
  }
}

function spoiled(
  fault: FaultKind | null,
  { index, handle }: Account,
  parts: DocumentParts,
  addresses: Addresses,
): DocumentParts {
  const oneOf = <T>(list: readonly T[]) => list[index % list.length]!
  switch (fault) {
    case 'wrong-id':
      return { ...parts, did: `did:plc:${'a'.repeat(24)}` }
    case 'no-pds':
      return { ...parts, pds: null }
    case 'bad-endpoint':
      return {
        ...parts,
        pds: oneOf([`${parts.pds}/xrpc`, `${parts.pds}?x=1`, 'https://user@pds.example.net']),
      }
    case 'unknown-host':
      return { ...parts, pds: addresses.nowhere(index) }
    case 'odd-handle': {
      const odd = [[], ['not a handle'], [handle.toUpperCase()], ['handle.invalid'], [handle, 'b.sim.test']]
      return { ...parts, handles: oneOf(odd) }
    }
    case 'odd-spelling':
      return { ...parts, pds: oneOf(spellings(parts.pds ?? '')) }
    case 'private-endpoint':
      return { ...parts, pds: oneOf(addresses.privateOrigins) }
    case 'private-dns':
      return { ...parts, pds: oneOf(addresses.privateNames) }
    default:
      return parts
  }
}

/** The same origin, spelled otherwise. */
function spellings(origin: string): string[] {
  const { protocol, hostname, port } = new URL(origin)
  return [`${protocol}//${hostname.toUpperCase()}:${port}`, `${origin}/`, `${protocol}//${hostname}.:${port}`]
}
