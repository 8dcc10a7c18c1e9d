import { isValidDid } from '@atproto/syntax'
import { Failure } from './outcome.js'
import { pageCursor, type Query } from './pds.js'

/** Repos asked for at once: the most `listReposByCollection` allows. */
const PAGE_REPOS = 2000
const PAGE_BYTES_MAX = 4 * 1024 * 1024

export interface ReposPage {
  readonly dids: readonly string[]
  /** Entries left out because they are not DIDs at all: no account can be behind them. */
  readonly invalid: number
  readonly cursor: string | null
}

/**
 * One page of `com.atproto.sync.listReposByCollection`. Only a missing cursor ends the listing. Of the cursors
 * that lead in circles it sees the shortest; the longer ones show where pages are counted.
 */
export async function listReposByCollection(
  query: Query,
  params: { collection: string; cursor: string | null },
): Promise<ReposPage> {
  const answer = await query(
    'com.atproto.sync.listReposByCollection',
    { collection: params.collection, limit: PAGE_REPOS, cursor: params.cursor ?? undefined },
    PAGE_BYTES_MAX,
  )
  if (!answer.ok) {
    throw new Failure(
      'bad-response',
      `the relay answered ${answer.status} ${answer.error}: ${answer.message}`,
    )
  }
  const { repos, cursor } = answer.body as { repos?: unknown; cursor?: unknown }
  if (!Array.isArray(repos))
    throw new Failure('bad-response', 'listReposByCollection: no repos in the answer')
  const dids = repos
    .map((repo: unknown) => (repo as { did?: unknown } | null)?.did)
    .filter((did): did is string => typeof did === 'string' && isValidDid(did))
  const next = pageCursor(cursor)
  if (next !== null && next === params.cursor) {
    throw new Failure('cursor-loop', `listReposByCollection: the cursor ${next.slice(0, 60)} leads to itself`)
  }
  return { dids, invalid: repos.length - dids.length, cursor: next }
}
