import { isValidDid } from '@atproto/syntax'
import { Failure } from './outcome.js'
import { pageCursor, type Query } from './pds.js'
import { type RepoRev, repoRev } from './sync.js'

/** Repos asked for at once: the most `listReposByCollection` allows. */
const COLLECTION_PAGE_REPOS = 2000
/** The most that `listRepos` and `listHosts` allow. */
const PAGE_ENTRIES = 1000
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
  const page = await listed(query, 'listReposByCollection', 'repos', {
    collection: params.collection,
    limit: COLLECTION_PAGE_REPOS,
    cursor: params.cursor,
  })
  return { ...didsOf(page.entries), cursor: page.cursor }
}

export interface HostReposPage extends ReposPage {
  readonly repos: readonly RepoRev[]
}

/** One page of `com.atproto.sync.listRepos` of a host: every repo that it has, whatever its state. As above. */
export async function listRepos(query: Query, params: { cursor: string | null }): Promise<HostReposPage> {
  const page = await listed(query, 'listRepos', 'repos', { limit: PAGE_ENTRIES, cursor: params.cursor })
  return { ...didsOf(page.entries), repos: page.entries.flatMap(repoRev), cursor: page.cursor }
}

export interface HostsPage {
  readonly hostnames: readonly string[]
  /** Hosts left out because the relay has nothing to do with them. */
  readonly banned: number
  readonly cursor: string | null
}

/** One page of `com.atproto.sync.listHosts`. As above. */
export async function listHosts(query: Query, params: { cursor: string | null }): Promise<HostsPage> {
  const page = await listed(query, 'listHosts', 'hosts', { limit: PAGE_ENTRIES, cursor: params.cursor })
  const hosts = page.entries.map((entry) => (entry ?? {}) as { hostname?: unknown; status?: unknown })
  const welcome = hosts.filter(({ status }) => status !== 'banned')
  return {
    hostnames: welcome.flatMap(({ hostname }) => (typeof hostname === 'string' ? [hostname] : [])),
    banned: hosts.length - welcome.length,
    cursor: page.cursor,
  }
}

/** A page as every one of these methods has it: a list and, unless it is the last, a cursor. */
async function listed(
  query: Query,
  method: string,
  field: 'repos' | 'hosts',
  { cursor, ...params }: { collection?: string; limit: number; cursor: string | null },
): Promise<{ entries: unknown[]; cursor: string | null }> {
  const asked = { ...params, cursor: cursor ?? undefined }
  const answer = await query(`com.atproto.sync.${method}`, asked, PAGE_BYTES_MAX)
  if (!answer.ok) {
    throw new Failure(
      'bad-response',
      `${method} was answered by ${answer.status} ${answer.error}: ${answer.message}`,
    )
  }
  const { [field]: entries, cursor: given } = answer.body as Record<string, unknown>
  if (!Array.isArray(entries)) throw new Failure('bad-response', `${method}: no ${field} in the answer`)
  const next = pageCursor(given)
  if (next !== null && next === cursor) {
    throw new Failure('cursor-loop', `${method}: the cursor ${next.slice(0, 60)} leads to itself`)
  }
  return { entries, cursor: next }
}

function didsOf(repos: readonly unknown[]): Pick<ReposPage, 'dids' | 'invalid'> {
  const dids = repos
    .map((repo) => (repo as { did?: unknown } | null)?.did)
    .filter((did): did is string => typeof did === 'string' && isValidDid(did))
  return { dids, invalid: repos.length - dids.length }
}
