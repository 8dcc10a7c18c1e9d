import { exchange, invalid } from '../client/exchange.js'
import {
  type JsonObject,
  LEXICON_COLLECTION,
  type Lexicon,
  type PublishedLexicon,
  recordOf,
} from './lexicons-diff.js'

/** A repo of somebody who publishes lexicons, by way of its PDS. */
export interface LexiconRepo {
  readonly did: string
  /** Origin of its PDS. */
  readonly pds: string
}

/** The same for whom it may write into. */
export interface LexiconAuthor extends LexiconRepo {
  /** Makes requests to the PDS in the name of the account. */
  readonly fetch: typeof globalThis.fetch
}

/** What one `listRecords` of a PDS gives at most. */
const PAGE = 100
/** What one `applyWrites` may hold on a PDS, with room to spare. */
const WRITES_MAX = 100
/** Of one request, ms. */
const TIMEOUT_MS = 30_000

interface PdsCall {
  readonly params?: Readonly<Record<string, string>>
  readonly input?: unknown
  readonly fetch?: typeof globalThis.fetch
  readonly signal: AbortSignal
}

/** The lexicons that a repo publishes, and the commit they are read at or after. */
export async function readPublished(
  repo: LexiconRepo,
  signal: AbortSignal,
): Promise<{ readonly commit: string; readonly lexicons: PublishedLexicon[] }> {
  // Before the records: whatever is written while they are read makes the commit an old one.
  const { cid } = (await call(repo, 'com.atproto.sync.getLatestCommit', {
    params: { did: repo.did },
    signal,
  })) as { cid: string }
  const lexicons: PublishedLexicon[] = []
  let cursor: string | undefined
  do {
    const page = await readPage(repo, cursor, signal)
    lexicons.push(...page.lexicons)
    cursor = page.lexicons.length === 0 || page.cursor === cursor ? undefined : page.cursor
  } while (cursor !== undefined)
  return { commit: cid, lexicons }
}

async function readPage(repo: LexiconRepo, cursor: string | undefined, signal: AbortSignal) {
  const method = 'com.atproto.repo.listRecords'
  const params = {
    repo: repo.did,
    collection: LEXICON_COLLECTION,
    limit: String(PAGE),
    ...(cursor !== undefined && { cursor }),
  }
  const answer = (await call(repo, method, { params, signal })) as {
    readonly records?: readonly { uri: string; cid: string; value: JsonObject }[]
    readonly cursor?: string
  }
  if (!Array.isArray(answer?.records)) throw unexpected(repo, method)
  const lexicons = answer.records.map(
    ({ uri, cid, value }): PublishedLexicon => ({
      nsid: uri.slice(uri.lastIndexOf('/') + 1),
      cid,
      record: value,
    }),
  )
  return { lexicons, cursor: answer.cursor }
}

/**
 * Writes lexicons into the repo of an account, as many at once as a PDS takes: those who read them meanwhile do not
 * find one without the other that it refers to.
 * @param published NSIDs that are there already
 * @param commit the repo's latest one when it was read; after any other nothing is written
 * @throws BackfillError, with the name `InvalidSwap` if the repo has changed
 */
export async function writeLexicons(
  { did, pds, fetch }: LexiconAuthor,
  lexicons: readonly Lexicon[],
  published: ReadonlySet<string>,
  commit: string,
  signal: AbortSignal,
): Promise<void> {
  let swapCommit = commit
  for (let start = 0; start < lexicons.length; start += WRITES_MAX) {
    const writes = lexicons.slice(start, start + WRITES_MAX).map((lexicon) => ({
      $type: `com.atproto.repo.applyWrites#${published.has(lexicon.nsid) ? 'update' : 'create'}`,
      collection: LEXICON_COLLECTION,
      rkey: lexicon.nsid,
      value: recordOf(lexicon),
    }))
    const input = { repo: did, writes, swapCommit }
    const method = 'com.atproto.repo.applyWrites'
    const answer = (await call({ pds, did }, method, { input, fetch, signal })) as {
      commit?: { cid?: unknown }
    }
    if (typeof answer?.commit?.cid !== 'string') throw unexpected({ pds, did }, method)
    swapCommit = answer.commit.cid
  }
}

function call(
  { pds }: LexiconRepo,
  method: string,
  { params, input, fetch = globalThis.fetch, signal }: PdsCall,
): Promise<unknown> {
  const url = new URL(`/xrpc/${method}`, pds)
  for (const [name, value] of Object.entries(params ?? {})) url.searchParams.set(name, value)
  return exchange({
    peer: 'a PDS',
    attributed: true,
    url,
    method: input === undefined ? 'GET' : 'POST',
    headers: {},
    input,
    timeoutMs: TIMEOUT_MS,
    signal,
    fetch,
    now: Date.now,
  })
}

function unexpected({ pds }: LexiconRepo, method: string) {
  return invalid({ peer: 'a PDS', url: new URL(`/xrpc/${method}`, pds) }, 'is not what its lexicon says')
}
