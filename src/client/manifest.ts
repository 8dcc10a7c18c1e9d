import { createHash } from 'node:crypto'
import { verifySignature } from '@atproto/crypto'

/**
 * The manifest of a job: what the service says of every repo when the job has ended, as JSON lines in the order of
 * their DIDs. The last line is the head, with the sums, the hash of all lines before it and the service's signature.
 */

/** What is said of a repo: its receipt, or why there is none. Without an outcome, the job ended before it had one. */
export type ManifestLine =
  | { readonly did: string }
  | ({ readonly did: string; readonly outcome: 'completed' } & Partial<ManifestReceipt>)
  | {
      readonly did: string
      readonly outcome: 'unavailable'
      readonly reason?: string
      readonly host?: string
    }
  | { readonly did: string; readonly outcome: 'failed'; readonly class?: string; readonly host?: string }

/** A receipt; all of it is missing where it had been removed before the manifest was made. */
export interface ManifestReceipt {
  /** The revision of the repo, where the method gives one. */
  readonly rev?: string
  /** The root of the repo's tree at that revision, where the method shows it. */
  readonly dataCid?: string
  /** The records of each collection that has any. */
  readonly counts: Readonly<Record<string, number>>
  /** The sum of counts. */
  readonly records: number
  /** Those among them whose bytes are not valid atproto data; absent: none. */
  readonly unreadable?: number
  readonly method: string
  readonly level: string
  /** The origin the records came from. */
  readonly host: string
  readonly completedAt: string
}

/** The last line of a manifest. */
export interface ManifestHead {
  readonly version: 1
  readonly job: string
  readonly caller: string
  /** The DID of the service that made the manifest. */
  readonly service: string
  /** What the job asked for, as it asked for it; without `collections`, every collection. */
  readonly scope: {
    readonly collections?: readonly string[]
    /** How many repos the caller named. */
    readonly repoCount?: number
    /** The hosts whose repos were asked for. */
    readonly hosts?: readonly string[]
  }
  readonly method: string
  readonly level: string
  /** `completed`, `failed` or `cancelled`. */
  readonly status: string
  /** Whether every repo of the scope is known; else there may be more than the lines name. */
  readonly discoveryComplete: boolean
  readonly error?: string
  readonly startCursors: readonly { readonly relay: string; readonly seq: number }[]
  readonly createdAt: string
  readonly startedAt?: string
  readonly completedAt: string
  /** When the manifest was made. */
  readonly builtAt: string
  /** The lines, in all and with each outcome. */
  readonly repos: {
    readonly total: number
    readonly completed: number
    readonly unavailable: number
    readonly failed: number
  }
  /** The lines with a receipt. */
  readonly receipts: number
  /** The sum of their records. */
  readonly records: number
  /** Of all bytes before this line, in hexadecimal. */
  readonly sha256: string
  /** The key that signed it, as a did:key. */
  readonly key: string
  /** ECDSA in compact low-S form, over the canonical text of this line without `sig`, in base64url. */
  readonly sig: string
}

/** The sums that a head must agree with. */
export type ManifestTally = Pick<ManifestHead, 'repos' | 'receipts' | 'records'>

export const EMPTY_TALLY: ManifestTally = {
  repos: { total: 0, completed: 0, unavailable: 0, failed: 0 },
  receipts: 0,
  records: 0,
}

/** The sums with one more line. */
export function tallyWith(tally: ManifestTally, line: ManifestLine): ManifestTally {
  const { repos } = tally
  const counted = { ...repos, total: repos.total + 1 }
  if (!('outcome' in line)) return { ...tally, repos: counted }
  const records = line.outcome === 'completed' ? line.records : undefined
  return {
    repos: { ...counted, [line.outcome]: repos[line.outcome] + 1 },
    receipts: tally.receipts + (records === undefined ? 0 : 1),
    records: tally.records + (records ?? 0),
  }
}

/**
 * JSON with the members of each object in the order of their names and without spaces, so that the same content is
 * the same text (RFC 8785). Members that are undefined are left out.
 */
export function canonicalJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(',')}]`
  if (typeof value !== 'object' || value === null) return JSON.stringify(value)
  const members = Object.entries(value).filter(([, member]) => member !== undefined)
  members.sort(([a], [b]) => (a < b ? -1 : 1))
  return `{${members.map(([name, member]) => `${JSON.stringify(name)}:${canonicalJson(member)}`).join(',')}}`
}

/** What is wrong with a manifest. */
export type ManifestProblem =
  /** It ends too early, or is something else. */
  | 'incomplete'
  /** A line is not what a manifest has there. */
  | 'malformed'
  /** The lines are not those that were signed. */
  | 'hash'
  /** The sums in the head are not those of the lines. */
  | 'counts'
  /** The key is not the one that the DID document names. */
  | 'key'
  /** The key did not sign this head. */
  | 'signature'

/** A manifest that is not what a service has signed. */
export class InvalidManifest extends Error {
  override readonly name = 'InvalidManifest'
  constructor(
    readonly problem: ManifestProblem,
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options)
  }
}

export interface VerifiedManifest {
  readonly head: ManifestHead
  /** SHA-256 of the whole document in hexadecimal, as `manifest.hash` of a job has it and `sha256sum` prints it. */
  readonly hash: string
}

/** Longer lines are refused. A line is long where a repo has records in a great many collections. */
const LINE_BYTES_MAX = 16 * 1024 * 1024

const NEWLINE = 0x0a

/**
 * Checks a manifest from its first byte to its last: that it is whole and in its one canonical form, that its sums
 * are right, and that the service signed it with the key its DID document names. Takes no more memory than a line.
 * Whether the service is the right one is for the caller to say: look at `head.service` and `head.job`.
 * @param document the manifest, not compressed, in pieces of any size
 * @param didDocument the service's, for a did:web what `/.well-known/did.json` gave when the manifest was fetched; or
 *   what finds it for a DID
 * @throws InvalidManifest; whatever reading the document throws
 */
export async function verifyManifest(
  document: AsyncIterable<Uint8Array | string> | Iterable<Uint8Array | string>,
  didDocument: object | ((service: string) => Promise<unknown>),
): Promise<VerifiedManifest> {
  const whole = createHash('sha256')
  const lines = createHash('sha256')
  let tally = EMPTY_TALLY
  let lastDid = ''
  // The head is the line that nothing follows.
  let last: Buffer | null = null
  for await (const bytes of splitLines(document)) {
    whole.update(bytes)
    if (last !== null) {
      lines.update(last)
      const line = readLine(last, tally.repos.total + 1)
      if (line.did <= lastDid) {
        throw new InvalidManifest('malformed', `${line.did} stands behind ${lastDid}: DIDs must ascend`)
      }
      lastDid = line.did
      tally = tallyWith(tally, line)
    }
    last = bytes
  }
  if (last === null) throw new InvalidManifest('incomplete', 'the manifest is empty')
  const head = readHead(last)
  assertSums(head, tally, lines.digest('hex'))
  await assertSigned(head, typeof didDocument === 'function' ? await didDocument(head.service) : didDocument)
  return { head, hash: whole.digest('hex') }
}

/** The lines of a document, each with its newline. */
async function* splitLines(
  document: AsyncIterable<Uint8Array | string> | Iterable<Uint8Array | string>,
): AsyncGenerator<Buffer> {
  let begun: Buffer[] = []
  let length = 0
  for await (const piece of document) {
    let rest = typeof piece === 'string' ? Buffer.from(piece) : Buffer.from(piece)
    while (rest.length > 0) {
      const end = rest.indexOf(NEWLINE) + 1
      const part = end === 0 ? rest : rest.subarray(0, end)
      length += part.length
      if (length > LINE_BYTES_MAX) throw new InvalidManifest('malformed', 'a line is too long')
      begun.push(part)
      if (end === 0) break
      yield Buffer.concat(begun)
      begun = []
      length = 0
      rest = rest.subarray(end)
    }
  }
  if (length > 0) throw new InvalidManifest('incomplete', 'the manifest ends in the middle of a line')
}

function readLine(bytes: Buffer, number: number): ManifestLine {
  const line = parse(bytes, `line ${number}`)
  if (isLine(line)) return line
  throw new InvalidManifest('malformed', `line ${number} says nothing of a repo`)
}

function readHead(bytes: Buffer): ManifestHead {
  const head = parse(bytes, 'the last line')
  if (isHead(head)) return head
  throw new InvalidManifest('incomplete', 'the last line is no signed head: the manifest was cut off')
}

function parse(bytes: Buffer, where: string): Record<string, unknown> {
  let value: unknown
  let isCanonical: boolean
  try {
    const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
    value = JSON.parse(text)
    isCanonical = `${canonicalJson(value)}\n` === text
  } catch (cause) {
    throw new InvalidManifest('malformed', `${where} is not JSON`, { cause })
  }
  if (!isCanonical) throw new InvalidManifest('malformed', `${where} is not in canonical form`)
  if (typeof value === 'object' && value !== null) return value as Record<string, unknown>
  throw new InvalidManifest('malformed', `${where} is not an object`)
}

const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0
const isText = (value: unknown): value is string => typeof value === 'string'
const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null

function isLine(line: Record<string, unknown>): line is Record<string, unknown> & ManifestLine {
  if (!isText(line.did) || !line.did.startsWith('did:')) return false
  if (line.outcome === undefined) return Object.keys(line).length === 1
  if (line.outcome === 'unavailable' || line.outcome === 'failed') return line.records === undefined
  if (line.outcome !== 'completed') return false
  if (line.records === undefined) return line.counts === undefined
  if (!isObject(line.counts) || !isCount(line.records)) return false
  const counts = Object.values(line.counts)
  return counts.every(isCount) && counts.reduce((sum, count) => sum + count, 0) === line.records
}

function isHead(head: Record<string, unknown>): head is Record<string, unknown> & ManifestHead {
  const { version, scope, startCursors, discoveryComplete, repos, receipts, records } = head
  const texts = ['job', 'caller', 'service', 'method', 'level', 'status', 'createdAt', 'completedAt']
  const isWhole = [...texts, 'builtAt', 'sha256', 'key', 'sig'].every((name) => isText(head[name]))
  if (version !== 1 || !isWhole || !isObject(scope) || !Array.isArray(startCursors)) return false
  if (typeof discoveryComplete !== 'boolean' || !isObject(repos)) return false
  const sums = [repos.total, repos.completed, repos.unavailable, repos.failed, receipts, records]
  return sums.every(isCount)
}

function assertSums(head: ManifestHead, tally: ManifestTally, sha256: string): void {
  const { repos, receipts, records } = head
  const told = canonicalJson({ repos, receipts, records })
  if (told !== canonicalJson(tally)) {
    throw new InvalidManifest('counts', `the head tells ${told}, but the lines are ${canonicalJson(tally)}`)
  }
  if (head.sha256 !== sha256) {
    throw new InvalidManifest('hash', 'the lines are not those of which the head has the hash')
  }
}

async function assertSigned(head: ManifestHead, didDocument: unknown): Promise<void> {
  const { key, service } = head
  const document = isObject(didDocument) ? didDocument : {}
  if (document.id !== service) {
    throw new InvalidManifest(
      'key',
      `the manifest is of ${service}, but the DID document of ${String(document.id)}`,
    )
  }
  if (!keysOf(document, service).includes(key)) {
    throw new InvalidManifest('key', `${key} is not the key #atproto in the DID document of ${service}`)
  }
  const { sig, ...unsigned } = head
  const signature = Buffer.from(sig, 'base64url')
  const isValid =
    signature.toString('base64url') === sig &&
    (await verifySignature(key, Buffer.from(canonicalJson(unsigned)), signature).catch(() => false))
  if (!isValid) throw new InvalidManifest('signature', `${key} did not sign this head`)
}

/** The keys that a DID document names as `#atproto`, as did:keys. */
function keysOf(document: Record<string, unknown>, did: string): string[] {
  const methods: unknown[] = Array.isArray(document.verificationMethod) ? document.verificationMethod : []
  return methods.flatMap((method) => {
    if (!isObject(method) || method.type !== 'Multikey' || !isText(method.publicKeyMultibase)) return []
    return method.id === '#atproto' || method.id === `${did}#atproto`
      ? [`did:key:${method.publicKeyMultibase}`]
      : []
  })
}
