import { fromString } from '@atcute/cid'
import { carOf } from './car.js'
import type { Census, Standing } from './census.js'
import { KEYS, type ListedRecord, type RepoState, type Repos } from './repos.js'
import { textOf } from './tree.js'
import type { Account, World } from './world.js'

/** The answers of a PDS, as the reference one words them. */

export interface Answer {
  readonly status: number
  readonly type: string
  readonly body: string | Buffer
  /** Records in it. */
  readonly records: number
}

const JSON_TYPE = 'application/json'
const CAR_TYPE = 'application/vnd.ipld.car'

/** The largest and the default `limit` of a listing. */
const RECORDS_PAGE = { max: 100, standard: 50 }
const REPOS_PAGE = { max: 1_000, standard: 500 }

/** Stands for the head of every repo in listings: the true ones take a signature each. Of an empty map. */
export const SOME_HEAD = 'bafyreigbtj4x7ip5legnfznufuopl4sg4knzc2cof6duas4b3q2fy6swua'

export class InvalidRequest extends Error {}

export function jsonAnswer(body: object, status = 200): Answer {
  return { status, type: JSON_TYPE, body: JSON.stringify(body), records: 0 }
}

export function refusal(error: string, message: string, status = 400): Answer {
  return jsonAnswer({ error, message }, status)
}

/** What a PDS that knows no account answers; also one whose name is not in use any more. */
export const notFound = (did: string) => refusal('RepoNotFound', `Could not find repo for DID: ${did}`)

const notImplemented = () => refusal('MethodNotImplemented', 'Method Not Implemented', 501)

/** A `limit` as the lexicon has it. @throws InvalidRequest */
export function limitOf(
  query: URLSearchParams,
  { max, standard }: { max: number; standard: number },
): number {
  const limit = Number(query.get('limit') ?? standard)
  if (Number.isInteger(limit) && limit >= 1 && limit <= max) return limit
  throw new InvalidRequest(`Error: limit must be an integer from 1 to ${max}`)
}

/** Answers for all hosts of a world, as their accounts stand by now. */
export class PdsAnswers {
  readonly #world: World
  readonly #census: Census
  readonly #repos: Repos

  constructor(world: World, census: Census, repos: Repos) {
    this.#world = world
    this.#census = census
    this.#repos = repos
  }

  /** The right answer of a host. @param account the one asked about, if the world has it */
  async to(host: number, method: string, query: URLSearchParams, account: Account | null): Promise<Answer> {
    try {
      if (this.#world.hosts[host]!.lacks.includes(method)) return notImplemented()
      if (method === 'com.atproto.sync.listRepos') return this.#listRepos(host, query)
      const asked = query.get('repo') ?? query.get('did') ?? ''
      const standing = account === null ? 'vanished' : this.#census.standingOn(host, account)
      if (method === 'com.atproto.sync.getRepoStatus') return this.#status(standing, asked, account)
      const refused = refusalFor(method, standing, asked)
      if (refused !== null || account === null) return refused ?? notFound(asked)
      return await this.#ofRepo(host, method, query, account)
    } catch (error) {
      if (error instanceof InvalidRequest) return refusal('InvalidRequest', error.message)
      throw error
    }
  }

  /** What a host answers that takes one account for another: with all of a repo that is signed, and of the other. */
  async ofAnother(method: string, query: URLSearchParams, { index }: Account): Promise<Answer> {
    const { repos } = this.#world
    // Of those that have the same key, so that nothing but the DID tells them apart.
    const other = this.#world.accountAt(index + KEYS < repos ? index + KEYS : Math.max(0, index - KEYS))
    if (method === 'com.atproto.sync.getRepo') return carAnswer(await this.#repos.car(other))
    const key = `${query.get('collection')}/${query.get('rkey')}`
    return carAnswer(await this.#repos.proof(other, key))
  }

  async #ofRepo(host: number, method: string, query: URLSearchParams, account: Account): Promise<Answer> {
    const state = this.#stateOf(account)
    switch (method) {
      case 'com.atproto.repo.listRecords':
        return this.#listRecords(host, query, account)
      case 'com.atproto.repo.describeRepo':
        return this.#describe(account)
      case 'com.atproto.sync.getLatestCommit': {
        const { commit, rev } = await this.#repos.build(account, state)
        return jsonAnswer({ cid: textOf(commit.cid), rev })
      }
      case 'com.atproto.sync.getRepo':
        return carAnswer(await this.#repos.car(account, state))
      case 'com.atproto.sync.getRecord': {
        const key = `${query.get('collection')}/${query.get('rkey')}`
        return carAnswer(await this.#repos.proof(account, key, state))
      }
      case 'com.atproto.sync.getBlocks':
        return this.#blocks(query, account, state)
      default:
        return notImplemented()
    }
  }

  #stateOf(account: Account): RepoState {
    const version = this.#census.versionOf(account)
    const edition = this.#census.editionsOf(account).at(-1)!
    return { version, ...(edition.number > 0 && { edition }) }
  }

  #listRecords(host: number, query: URLSearchParams, account: Account): Answer {
    const limit = limitOf(query, RECORDS_PAGE)
    const collection = query.get('collection') ?? ''
    const ascending = this.#repos.listed(account, collection, this.#census.editionOf(account))
    const reverse = query.get('reverse') === 'true'
    const cursor = query.get('cursor')
    let page: readonly ListedRecord[]
    if (reverse) {
      const from = cursor === null ? 0 : placeOf(ascending, cursor, true)
      page = ascending.slice(from, from + limit)
    } else {
      const to = cursor === null ? ascending.length : placeOf(ascending, cursor, false)
      page = ascending.slice(Math.max(0, to - limit), to).reverse()
    }
    // The reference PDS gives a cursor with every page that has a record; others with a full one only.
    const last = host % 3 !== 2 || page.length === limit ? page.at(-1) : undefined
    const items = page.map(({ uri, cid, value }) => `{"uri":"${uri}","cid":"${cid}","value":${value}}`)
    const next = last ? `,"cursor":"${last.rkey}"` : ''
    const body = `{"records":[${items.join(',')}]${next}}`
    return { status: 200, type: JSON_TYPE, body, records: page.length }
  }

  #describe(account: Account): Answer {
    const edition = this.#census.editionOf(account)
    const collections = this.#world.collections.filter(
      (name) => this.#world.count(account, name, edition) > 0,
    )
    const { did, handle } = account
    return jsonAnswer({ handle, did, didDoc: {}, collections, handleIsCorrect: true })
  }

  #status(standing: Standing, did: string, account: Account | null): Answer {
    if (account === null || standing === 'vanished') return notFound(did)
    if (standing !== 'active') return jsonAnswer({ did, active: false, status: standing })
    const rev = this.#census.revOf(account)
    return jsonAnswer({ did, active: true, rev })
  }

  async #blocks(query: URLSearchParams, account: Account, state: RepoState): Promise<Answer> {
    const { commit, blocks } = await this.#repos.build(account, state)
    const wanted = query.getAll('cids')
    for (const cid of wanted) if (!isCid(cid)) throw new InvalidRequest(`Error: cids must be a CID: ${cid}`)
    const found = wanted.map((cid) => (cid === textOf(commit.cid) ? commit : blocks.get(cid)))
    const missing = wanted.filter((_, at) => found[at] === undefined)
    if (missing.length > 0) throw new InvalidRequest(`Could not find cids: ${missing}`)
    return carAnswer(
      carOf(
        null,
        found.filter((block) => block !== undefined),
      ),
    )
  }

  /** A host's own accounts, those that have left it included, and then those that have come to it. */
  #listRepos(host: number, query: URLSearchParams): Answer {
    const limit = limitOf(query, REPOS_PAGE)
    const { firstSlot, slots } = this.#world.hosts[host]!
    const from = Number(query.get('cursor') ?? 0)
    const page: Account[] = []
    for (let at = from; at < slots && page.length < limit; at++) {
      page.push(this.#world.accountOfSlot(firstSlot + at))
    }
    const arrived = this.#census.arrivedAt(host)
    const skipped = Math.max(0, from + page.length - slots)
    if (page.length < limit) page.push(...arrived.slice(skipped, skipped + limit - page.length))
    const repos = page.map((account) => this.#entry(host, account))
    return jsonAnswer({ ...(page.length > 0 && { cursor: String(from + page.length) }), repos })
  }

  #entry(host: number, account: Account): object {
    const standing = this.#census.standingOn(host, account)
    const rev = this.#census.revOf(account)
    const active = standing === 'active'
    return { did: account.did, head: SOME_HEAD, rev, active, ...(!active && { status: standing }) }
  }
}

/** What an account's standing makes of a request; null: nothing. */
function refusalFor(method: string, standing: Standing, did: string): Answer | null {
  if (standing === 'active') return null
  // It looks for the account among those that are active only.
  if (method === 'com.atproto.repo.listRecords') {
    return refusal('InvalidRequest', `Could not find repo: ${did}`)
  }
  switch (standing) {
    case 'deactivated':
      return refusal('RepoDeactivated', `Repo has been deactivated: ${did}`)
    case 'takendown':
      return refusal('RepoTakendown', `Repo has been takendown: ${did}`)
    case 'suspended':
      return refusal('RepoSuspended', `Repo has been suspended: ${did}`)
    default:
      return notFound(did)
  }
}

/** How many records have keys below a cursor; with it, where `through`. */
function placeOf(ascending: readonly ListedRecord[], cursor: string, through: boolean): number {
  let [low, high] = [0, ascending.length]
  while (low < high) {
    const middle = (low + high) >> 1
    const { rkey } = ascending[middle]!
    if (rkey < cursor || (through && rkey === cursor)) low = middle + 1
    else high = middle
  }
  return low
}

function carAnswer(body: Buffer): Answer {
  return { status: 200, type: CAR_TYPE, body, records: 0 }
}

function isCid(text: string): boolean {
  try {
    fromString(text)
    return true
  } catch {
    return false
  }
}
