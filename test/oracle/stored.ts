import { isDeepStrictEqual } from 'node:util'
import { storedRecords } from '../support/fixtures.js'
import type { ExpectedRecord } from '../support/simulation/simulation.js'
import type { Account } from '../support/simulation/world.js'
import type { Run } from './run.js'
import { editionsAt, editionsRead, type Told, toldOf } from './told.js'

/** One collection of one repo, as it is stored and as it should be. */
export interface Shelf {
  readonly account: Account
  readonly collection: string
  readonly records: readonly StoredRecord[]
  readonly tombstones: readonly string[]
  /** The state that all of it is in; null: no job has read it to the end. */
  readonly edition: number | null
  /** The states in which it was read before. */
  readonly before: readonly number[]
}

export interface StoredRecord extends ExpectedRecord {
  readonly level: string
}

/** All that is stored, and what it was read from. */
export interface StoredPicture {
  readonly shelves: ReadonlyMap<string, Shelf>
  /** Accounts that are known to be deleted: what was stored of them goes away by itself. */
  readonly gone: ReadonlySet<string>
  /** Accounts that are known to be unavailable: nothing is given of them. */
  readonly withheld: ReadonlySet<string>
  /** Repos of each job, by the job's number. */
  readonly told: ReadonlyMap<number, ReadonlyMap<string, Told>>
}

export const shelfName = (did: string, collection: string) => `at://${did}/${collection}/`

/** What a repo's collection is in a state. */
export function recordsIn(
  { simulation }: Run,
  { account, collection }: Pick<Shelf, 'account' | 'collection'>,
  edition: number,
): ExpectedRecord[] {
  return simulation.records(account, [collection], edition)
}

/** Takes down all that is stored by now. */
export async function takePicture(run: Run): Promise<StoredPicture> {
  const { simulation, store, jobs } = run
  const told = new Map<number, Map<string, Told>>()
  for (const [index, { id }] of jobs) told.set(index, await toldOf(run, id))
  const rows = Map.groupBy(await storedRecords(store), ({ uri }) => uri.slice(0, uri.lastIndexOf('/') + 1))
  const shelves = new Map<string, Shelf>()
  for (const account of simulation.world.accounts()) {
    for (const collection of simulation.world.collections) {
      const name = shelfName(account.did, collection)
      const here = rows.get(name) ?? []
      const records = here.flatMap(({ uri, cid, level, value }) =>
        cid === null ? [] : [{ uri, cid, level, value: value === null ? {} : JSON.parse(value) }],
      )
      const tombstones = here.filter(({ cid }) => cid === null).map(({ uri }) => uri)
      const place = { account, collection, records, tombstones }
      shelves.set(name, { ...place, ...stateOf(run, place, told) })
    }
  }
  const all = [...told.values()].flatMap((repos) => [...repos.values()])
  const gone = all.filter(({ reason }) => reason === 'deleted' || reason === 'tombstoned')
  // Nobody comes back in this world.
  const withheld = all.filter(({ status }) => status === 'unavailable')
  const didsOf = (repos: readonly Told[]) => new Set(repos.map(({ did }) => did))
  return { shelves, gone: didsOf(gone), withheld: didsOf(withheld), told }
}

/**
 * The state that a collection must be in: the newest that any job has read to its end. Where a job cannot say which
 * one it has read, what is stored must be one that it can have read.
 */
function stateOf(
  run: Run,
  { account, collection, records }: Pick<Shelf, 'account' | 'collection' | 'records'>,
  told: ReadonlyMap<number, ReadonlyMap<string, Told>>,
): Pick<Shelf, 'edition' | 'before'> {
  const read = [...run.jobs].flatMap(([index, job]) => {
    const repo = told.get(index)!.get(account.did)
    if (repo?.status !== 'completed' || !job.scope.collections.includes(collection)) return []
    const editions = editionsRead(run, job, account, repo)
    // That it was not there is said elsewhere.
    return [{ rev: repo.rev, editions: editions.length > 0 ? editions : editionsAt(run, account, repo.rev) }]
  })
  if (read.length === 0) return { edition: null, before: [] }
  const known = read.filter(({ rev }) => rev !== null).flatMap(({ editions }) => editions)
  const least = Math.max(-1, ...known)
  const open = read.filter(({ rev }) => rev === null).flatMap(({ editions }) => editions)
  const possible = [...new Set([least, ...open])].filter((edition) => edition >= Math.max(0, least))
  const are = records.map(({ uri, cid }) => `${uri} ${cid}`)
  const isIt = (edition: number) =>
    isDeepStrictEqual(
      are,
      recordsIn(run, { account, collection }, edition).map(({ uri, cid }) => `${uri} ${cid}`),
    )
  const edition = possible.find(isIt) ?? possible[0] ?? 0
  return { edition, before: [...new Set(known)].filter((each) => each < edition) }
}
