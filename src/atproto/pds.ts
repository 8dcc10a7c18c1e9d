import { isValidNsid, isValidTid } from '@atproto/syntax'
import { isCid } from './content.js'
import { Failure, Unavailable } from './outcome.js'
import type { Refusal, XrpcAnswer } from './xrpc.js'

/** Sends one query to the host being driven, in its turn. */
export type Query = (
  nsid: string,
  params: Readonly<Record<string, string | number | undefined>>,
  maxBytes: number,
) => Promise<XrpcAnswer>

const KiB = 1024
const MiB = 1024 * KiB

/** A page holds up to 100 records of up to 1 MiB; honest ones are far below this. */
const RECORDS_PAGE_BYTES_MAX = 16 * MiB
const DESCRIPTION_BYTES_MAX = 2 * MiB
const SMALL_BYTES_MAX = 64 * KiB

/** The host does not know the repo. Not final before the identity was looked up afresh. */
export class RepoNotFound extends Error {
  override readonly name = 'RepoNotFound'
}

export interface ListedRecord {
  readonly uri: string
  readonly cid: string
  readonly value: object
}

export interface RecordsPage {
  readonly records: readonly ListedRecord[]
  readonly cursor: string | null
}

/** One page of `com.atproto.repo.listRecords`, checked for shape only. */
export async function listRecords(
  query: Query,
  params: { repo: string; collection: string; limit: number; cursor: string | undefined },
): Promise<RecordsPage> {
  const body = await ask(query, 'com.atproto.repo.listRecords', params.repo, params, RECORDS_PAGE_BYTES_MAX)
  const { records, cursor } = body as { records?: unknown; cursor?: unknown }
  if (!Array.isArray(records) || !records.every(isListedRecord)) {
    throw new Failure('bad-response', 'listRecords: the answer is not a list of records')
  }
  return { records, cursor: pageCursor(cursor) }
}

/** The repo's current rev and commit, by `com.atproto.sync.getLatestCommit`. */
export async function getLatestCommit(query: Query, did: string): Promise<{ rev: string; cid: string }> {
  const body = await ask(query, 'com.atproto.sync.getLatestCommit', did, { did }, SMALL_BYTES_MAX)
  const { rev, cid } = body as { rev?: unknown; cid?: unknown }
  if (typeof rev !== 'string' || !isValidTid(rev) || typeof cid !== 'string' || !isCid(cid)) {
    throw new Failure('bad-response', 'getLatestCommit: no rev and cid in the answer')
  }
  return { rev, cid }
}

/** The collections a repo says it has, by `com.atproto.repo.describeRepo`. */
export async function describeCollections(query: Query, did: string): Promise<string[]> {
  const body = await ask(query, 'com.atproto.repo.describeRepo', did, { repo: did }, DESCRIPTION_BYTES_MAX)
  const { did: answered, collections } = body as { did?: unknown; collections?: unknown }
  if (!Array.isArray(collections))
    throw new Failure('bad-response', 'describeRepo: no collections in the answer')
  if (answered !== did) throw new Failure('bad-response', 'describeRepo: the answer is about another account')
  const bad = collections.find((name) => typeof name !== 'string' || !isValidNsid(name))
  if (bad !== undefined) {
    throw new Failure(
      'bad-response',
      `describeRepo: ${JSON.stringify(bad).slice(0, 100)} is not a collection`,
    )
  }
  return [...new Set(collections as string[])].sort()
}

/**
 * Whether the host still serves the repo, by `com.atproto.sync.getRepoStatus`: `listRecords` gives the same
 * plain "Could not find repo" for deactivated, taken-down and unknown accounts.
 */
async function assertServed(query: Query, did: string): Promise<void> {
  const answer = await query('com.atproto.sync.getRepoStatus', { did }, SMALL_BYTES_MAX)
  if (!answer.ok) {
    throwIfUnavailable(answer.error)
    throw isNotFound(answer)
      ? new RepoNotFound(`${answer.error}: ${answer.message}`)
      : refusal('getRepoStatus', answer)
  }
  const { active, status } = answer.body as { active?: unknown; status?: unknown }
  if (active === true) return
  if (active === false && typeof status === 'string') throwIfUnavailable(status)
  throw new Failure(
    'bad-response',
    `getRepoStatus: neither active nor a known status (${String(status).slice(0, 40)})`,
  )
}

/** A query about one repo: its body, or what a refusal means for the repo. */
async function ask(
  query: Query,
  nsid: string,
  did: string,
  params: Readonly<Record<string, string | number | undefined>>,
  maxBytes: number,
): Promise<object> {
  const answer = await query(nsid, params, maxBytes)
  if (answer.ok) return answer.body
  return judge(query, nsid, did, answer)
}

/**
 * What a refusal means for the repo that a host was asked about.
 * @throws RepoNotFound, Unavailable, Failure
 */
export async function judge(query: Query, nsid: string, did: string, answer: Refusal): Promise<never> {
  throwIfUnavailable(answer.error)
  if (isNotFound(answer)) {
    await assertServed(query, did)
    throw new Failure(
      'bad-response',
      `${short(nsid)}: the host says the repo is active, but does not find it`,
    )
  }
  throw refusal(short(nsid), answer)
}

function refusal(call: string, answer: Refusal): Failure {
  return new Failure(
    'bad-response',
    `${call}: the host answered ${answer.status} ${answer.error}: ${answer.message}`,
  )
}

/** Error names and `getRepoStatus` words that say the account is not to be had. */
function throwIfUnavailable(word: string): void {
  switch (word.toLowerCase()) {
    case 'repodeactivated':
    case 'deactivated':
      throw new Unavailable('deactivated')
    case 'repotakendown':
    case 'takendown':
      throw new Unavailable('takendown')
    case 'reposuspended':
    case 'suspended':
      throw new Unavailable('suspended')
    case 'deleted':
      throw new Unavailable('deleted')
  }
}

/** Whether a host says that it does not know a repo. */
export function isNotFound(answer: Refusal): boolean {
  return (
    answer.error === 'RepoNotFound' ||
    (answer.error === 'InvalidRequest' && /could not find (repo|user|root|account)/i.test(answer.message))
  )
}

function isListedRecord(value: unknown): value is ListedRecord {
  if (typeof value !== 'object' || value === null) return false
  const { uri, cid, value: record } = value as { uri?: unknown; cid?: unknown; value?: unknown }
  return (
    typeof uri === 'string' &&
    typeof cid === 'string' &&
    typeof record === 'object' &&
    record !== null &&
    !Array.isArray(record)
  )
}

/** The longest cursor taken: it is sent back in a URL. */
const CURSOR_LENGTH_MAX = 2048

/** The cursor of a page; null ends the listing. */
export function pageCursor(cursor: unknown): string | null {
  // Go servers write a cursor they do not have as an empty string.
  if (cursor === undefined || cursor === null || cursor === '') return null
  const usable = typeof cursor === 'string' && cursor.length <= CURSOR_LENGTH_MAX
  // It is kept in the database, which takes no NUL, and sent back in a URL, which takes whole characters only.
  if (!usable || cursor.includes('\u0000') || !cursor.isWellFormed()) {
    throw new Failure('bad-response', 'the cursor is not a string that can be sent back')
  }
  return cursor
}

function short(nsid: string): string {
  return nsid.slice(nsid.lastIndexOf('.') + 1)
}
