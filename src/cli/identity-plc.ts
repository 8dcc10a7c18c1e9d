import {
  type CompatibleOp,
  createUpdateOp,
  didForCreateOp,
  type Operation,
  signOperation,
} from '@did-plc/lib'
import { serviceDidDocument } from '../auth/did-document.js'
import type { PrivateKey } from '../client/index.js'

/** The part of a did:plc that is this service. Nothing here goes over the network. */

/** What the directory keeps of a did:plc (https://web.plc.directory/spec/v0.1/did-plc). */
export interface PlcData {
  /** did:keys that may change it, the most powerful first. */
  readonly rotationKeys: readonly string[]
  readonly verificationMethods: Readonly<Record<string, string>>
  readonly alsoKnownAs: readonly string[]
  readonly services: Readonly<Record<string, { readonly type: string; readonly endpoint: string }>>
}

/** What the settings say of this service. */
export interface ServiceIdentity {
  /** Origin at which others reach it. */
  readonly endpoint: string
  /** Its own public key, as a did:key. */
  readonly signingKey: string
}

export interface IdentityChange {
  /** `service`, `signing key` or `rotation keys` */
  readonly what: string
  readonly before: string
  readonly after: string
}

export interface SignedGenesis {
  readonly did: string
  readonly operation: Operation
}

/** A did:plc may have so many rotation keys. */
export const ROTATION_KEYS_MAX = 5

/** The name of the key that signs for the service, as for an account. */
const METHOD = 'atproto'

/** The DID is made from its first operation: the same keys and the same endpoint make the same one. */
export async function signGenesis(
  identity: ServiceIdentity,
  rotationKeys: readonly string[],
  signer: PrivateKey,
): Promise<SignedGenesis> {
  const data = withIdentity(
    { rotationKeys, verificationMethods: {}, alsoKnownAs: [], services: {} },
    identity,
  )
  const operation = await signOperation({ type: 'plc_operation', ...mutable(data), prev: null }, signer)
  return { did: await didForCreateOp(operation), operation }
}

/** @param last the operation that the directory has as the latest */
export async function signUpdate(last: CompatibleOp, data: PlcData, signer: PrivateKey): Promise<Operation> {
  return createUpdateOp(last, signer, (unsigned) => ({ ...unsigned, ...mutable(data) }))
}

/** The data with the entries of this service as they ought to be; everything else stays. */
export function withIdentity(data: PlcData, { endpoint, signingKey }: ServiceIdentity): PlcData {
  const { name, type, origin } = serviceEntry(endpoint)
  return {
    ...data,
    verificationMethods: { ...data.verificationMethods, [METHOD]: signingKey },
    services: { ...data.services, [name]: { type, endpoint: origin } },
  }
}

/** One key in the place of another; the others, and their order, stay. */
export function replaceRotationKey(data: PlcData, before: string, after: string): PlcData {
  const keys = data.rotationKeys.map((key) => (key === before ? after : key))
  return { ...data, rotationKeys: [...new Set(keys)] }
}

/** How two versions differ in what concerns this service. */
export function identityChanges(before: PlcData, after: PlcData): IdentityChange[] {
  const rows: IdentityChange[] = [
    { what: 'service', before: endpointIn(before) ?? 'none', after: endpointIn(after) ?? 'none' },
    { what: 'signing key', before: signingKeyIn(before) ?? 'none', after: signingKeyIn(after) ?? 'none' },
    {
      what: 'rotation keys',
      before: before.rotationKeys.join(' '),
      after: after.rotationKeys.join(' '),
    },
  ]
  return rows.filter((row) => row.before !== row.after)
}

/** Where the data say this service is. */
export function endpointIn({ services }: Pick<PlcData, 'services'>): string | undefined {
  const { name, type } = serviceEntry('https://any.example')
  const entry = services[name]
  return entry?.type === type ? entry.endpoint : entry && `${entry.endpoint} (${entry.type})`
}

export function signingKeyIn({
  verificationMethods,
}: Pick<PlcData, 'verificationMethods'>): string | undefined {
  return verificationMethods[METHOD]
}

/** The entry of a DID document that is this service, as a did:web has it too. */
function serviceEntry(endpoint: string): { name: string; type: string; origin: string } {
  const [entry] = serviceDidDocument({ did: 'did:web:any.example', endpoint }).service
  if (entry === undefined) throw new Error('a service has an entry in its DID document')
  return { name: entry.id.slice(1), type: entry.type, origin: entry.serviceEndpoint }
}

function mutable({ rotationKeys, verificationMethods, alsoKnownAs, services }: PlcData) {
  return {
    rotationKeys: [...rotationKeys],
    verificationMethods: { ...verificationMethods },
    alsoKnownAs: [...alsoKnownAs],
    services: { ...services },
  }
}
