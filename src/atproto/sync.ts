import { isValidDid, isValidTid } from '@atproto/syntax'
import type { Sink } from './http.js'
import { Failure } from './outcome.js'
import { isNotFound, judge, pageCursor, type Query } from './pds.js'
import type { BlockMap } from './repo/blocks.js'
import { readCar } from './repo/car.js'
import { type BytesAnswer, jsonObject, type Refusal } from './xrpc.js'

/** What hosts tell of repos with proof: `com.atproto.sync`, whose answers are CARs. */

/**
 * Sends one query for bytes to the host being driven, in its turn. With a sink the body goes there as it comes;
 * what the sink throws is thrown.
 */
export type CarQuery = (
  nsid: string,
  params: Readonly<Record<string, string | number | readonly string[] | undefined>>,
  maxBytes: number,
  sink?: Sink,
) => Promise<BytesAnswer>

export type SyncMethod = 'getRepo' | 'getRecord' | 'getBlocks'

/** The host does not offer a method: an answer about the host, not about the repo it was asked for. */
export class MethodUnsupported extends Error {
  override readonly name = 'MethodUnsupported'
  /** @param isStated whether the host itself says so; else it may be the 404 of something in front of it */
  constructor(
    readonly method: SyncMethod,
    readonly isStated = true,
  ) {
    super(`the host does not offer com.atproto.sync.${method}`)
  }
}

const KiB = 1024
const MiB = 1024 * KiB

/** A commit, the nodes on the way to a record, and the record, which has at most a mebibyte. */
const PROOF_BYTES_MAX = 4 * MiB
const BLOCKS_BYTES_MAX = 16 * MiB
const REPOS_PAGE_BYTES_MAX = 4 * MiB

/** The most that `listRepos` allows. */
const PAGE_REPOS = 1000

/** The most CIDs asked for at once: they make a URL of 7 KiB, and common servers take up to 8. */
export const BLOCKS_AT_ONCE_MAX = 100

/** A small CAR. Every block has the hash that its CID says; what else there is to prove is the caller's. */
export interface Car {
  readonly roots: readonly string[]
  readonly blocks: BlockMap
}

/** A whole repo, as a CAR that goes to the sink as it comes. */
export async function getRepoInto(car: CarQuery, did: string, sink: Sink, maxBytes: number): Promise<void> {
  const answer = await car('com.atproto.sync.getRepo', { did }, maxBytes, sink)
  if (!answer.ok) await refused(car, 'getRepo', did, answer)
}

/**
 * The proof of a record, or of its absence: the commit, and the nodes on the way to where it is or would be.
 * @returns null where the host gives no proofs of absence, and the record is not there
 */
export async function getRecordProof(
  car: CarQuery,
  did: string,
  { collection, rkey }: { readonly collection: string; readonly rkey: string },
): Promise<Car | null> {
  const answer = await car('com.atproto.sync.getRecord', { did, collection, rkey }, PROOF_BYTES_MAX)
  if (answer.ok) return readCar(answer.body)
  if (isRecordNotFound(answer)) return null
  return refused(car, 'getRecord', did, answer)
}

/**
 * Blocks of a repo.
 * @param cids at most BLOCKS_AT_ONCE_MAX
 * @returns what the host gave, some of which may be missing; null where it says that it does not have them all
 */
export async function getBlocks(
  car: CarQuery,
  did: string,
  cids: readonly string[],
): Promise<BlockMap | null> {
  const answer = await car('com.atproto.sync.getBlocks', { did, cids }, BLOCKS_BYTES_MAX)
  if (answer.ok) return readCar(answer.body).blocks
  if (isBlockNotFound(answer)) return null
  if (isUrlTooLong(answer)) throw new Failure('body-too-large', 'getBlocks: the host takes no URL so long')
  return refused(car, 'getBlocks', did, answer)
}

/** Where a repo stands, by a host's own listing. */
export interface RepoRev {
  readonly did: string
  /** Null where the host gives none that is one. */
  readonly rev: string | null
  readonly active: boolean
}

/** One page of `com.atproto.sync.listRepos`: the revs of a thousand repos. Entries without a DID are left out. */
export async function listRepoRevs(
  query: Query,
  cursor: string | null,
): Promise<{ repos: RepoRev[]; cursor: string | null }> {
  const params = { limit: PAGE_REPOS, cursor: cursor ?? undefined }
  const answer = await query('com.atproto.sync.listRepos', params, REPOS_PAGE_BYTES_MAX)
  if (!answer.ok) {
    throw new Failure(
      'bad-response',
      `listRepos: the host answered ${answer.status} ${answer.error}: ${answer.message}`,
    )
  }
  const { repos, cursor: given } = answer.body as { repos?: unknown; cursor?: unknown }
  if (!Array.isArray(repos)) throw new Failure('bad-response', 'listRepos: no repos in the answer')
  const next = pageCursor(given)
  if (next !== null && next === cursor) {
    throw new Failure('cursor-loop', `listRepos: the cursor ${next.slice(0, 60)} leads to itself`)
  }
  return { repos: repos.flatMap(repoRev), cursor: next }
}

/** An entry of such a listing; none where it is no DID. */
export function repoRev(entry: unknown): RepoRev[] {
  const { did, rev, active } = (entry ?? {}) as { did?: unknown; rev?: unknown; active?: unknown }
  if (typeof did !== 'string' || !isValidDid(did)) return []
  // Hosts from before accounts had a status say nothing of it.
  return [{ did, rev: typeof rev === 'string' && isValidTid(rev) ? rev : null, active: active !== false }]
}

/** @throws MethodUnsupported, RepoNotFound, Unavailable, Failure */
async function refused(car: CarQuery, method: SyncMethod, did: string, answer: Refusal): Promise<never> {
  if (saysUnsupported(answer)) throw new MethodUnsupported(method)
  if (seemsUnsupported(answer)) throw new MethodUnsupported(method, false)
  return judge(jsonQuery(car), `com.atproto.sync.${method}`, did, answer)
}

/** Names by which servers say that they do not have a method. */
const UNSUPPORTED: ReadonlySet<string> = new Set([
  'MethodNotImplemented',
  'NotImplemented',
  'XRPCNotSupported',
  'UnknownMethod',
  'MethodNotFound',
])

function saysUnsupported({ status, error, message }: Refusal): boolean {
  if (status === 501 || status === 405 || UNSUPPORTED.has(error)) return true
  return (
    error === 'InvalidRequest' &&
    /no such method|method (is )?not|(unknown|unsupported) method/i.test(message)
  )
}

/** A router's own answer, which knows nothing of repos. */
function seemsUnsupported(answer: Refusal): boolean {
  const { status, error, message } = answer
  if (status !== 404 || isNotFound(answer)) return false
  return error === '' || (error === 'NotFound' && !/\b(repo|account|user)\b|did:/i.test(message))
}

function isRecordNotFound({ error, message }: Refusal): boolean {
  if (error === 'RecordNotFound') return true
  return error === 'InvalidRequest' && /(could not (find|locate) record|record not found)/i.test(message)
}

function isBlockNotFound({ error, message }: Refusal): boolean {
  if (error === 'BlockNotFound') return true
  return error === 'InvalidRequest' && /(could not find (cids?|blocks?)|blocks? not found)/i.test(message)
}

function isUrlTooLong({ status }: Refusal): boolean {
  return status === 413 || status === 414 || status === 431
}

/** The same host, asked for JSON. */
export function jsonQuery(car: CarQuery): Query {
  return async (nsid, params, maxBytes) => {
    const answer = await car(nsid, params, maxBytes)
    if (!answer.ok) return answer
    const body = jsonObject(answer.body)
    if (body === null) throw new Failure('bad-response', `${nsid}: the answer is not a JSON object`)
    return { ok: true, body }
  }
}
