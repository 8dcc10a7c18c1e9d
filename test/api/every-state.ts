import type { Store } from '../../src/store/database.js'
import { saveIdentity } from '../../src/store/identities.js'
import {
  addJob,
  completion,
  didOf,
  drive,
  POST,
  posts,
  resolution,
  step,
  type TestJob,
  writeSteps,
} from '../support/fixtures.js'

export const REV = '3l3qo2vuowo2b'
export const ONE = 'https://one.example'
export const TWO = 'http://two.example:2583'
export const RETRY_AT = new Date('2040-01-02T03:04:05.678Z')

/** One repo in each state, by what it shows; in the order of their DIDs. */
export const REPOS = {
  waiting: didOf(1),
  deferred: didOf(2),
  resolved: didOf(3),
  fetching: didOf(4),
  completed: didOf(5),
  empty: didOf(6),
  unavailable: didOf(7),
  failed: didOf(8),
  unknown: didOf(9),
}

/** A job of `REPOS`: those that fail or are being fetched on `TWO`, the others on `ONE` as far as they have a host. */
export async function addJobInEveryState(store: Store, caller: string): Promise<TestJob> {
  const { waiting: _, unknown, ...found } = REPOS
  const { deferred, fetching, completed, empty, unavailable, failed } = found
  const repos = Object.values(REPOS).reverse()
  const job = await addJob(store, { caller, collections: [POST], repos })
  const [one, two] = [await drive(store.db, ONE), await drive(store.db, TWO)]
  const directory = await drive(store.db, 'https://plc.example')
  const hostOf = (did: string) => (did === failed || did === fetching ? two : one)
  await writeSteps(store, ...Object.values(found).map((did) => resolution(job, did, hostOf(did))))
  const wait = { failure: 'timeout', message: 'slow', attempts: 2, retryAt: RETRY_AT } as const
  const notHere = { failure: 'repo-not-found', message: 'not here', attempts: 1 } as const
  const nobody = { failure: 'did-not-found', message: 'nobody', attempts: 1 } as const
  const twoPosts = { rows: posts(job, 'a', 'b'), records: 2, recordsAdded: 2 }
  await writeSteps(
    store,
    step(job, deferred, one, { status: 'resolved', ...wait }),
    step(job, fetching, two, { status: 'fetching', ...twoPosts }),
    completion(job, completed, one, posts(job, 'a', 'b', 'c'), { rev: REV }),
    completion(job, empty, one, []),
    step(job, unavailable, one, { status: 'unavailable', reason: 'takendown' }),
    step(job, failed, two, { status: 'failed', ...notHere }),
    step(job, unknown, directory, { status: 'failed', ...nobody }),
  )
  const identity = { did: completed, document: {}, handle: 'ada.example', updatedAt: new Date() }
  await saveIdentity(store.db, identity)
  return job
}
