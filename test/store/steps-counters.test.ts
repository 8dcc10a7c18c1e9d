import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import type { HostClaim } from '../../src/store/hosts.js'
import { saveListingPage } from '../../src/store/listings.js'
import type { RepoStep } from '../../src/store/steps.js'
import { FAILURE_CLASSES, UNAVAILABLE_REASONS } from '../../src/verdict.js'
import { createStore } from '../support/database.js'
import {
  addJob,
  assertCountersEqualRows,
  completion,
  didsOf,
  drive,
  empty,
  findTestJob,
  POST,
  posts,
  randomOf,
  resolution,
  step,
  type TestJob,
  writeSteps,
} from '../support/fixtures.js'

let store: Awaited<ReturnType<typeof createStore>>

beforeAll(async () => {
  store = await createStore()
})

afterAll(() => store[Symbol.asyncDispose]())

afterEach(() => empty(store))

/** One repo of one job, as its driver knows it. */
interface Known {
  readonly did: string
  resolved: boolean
  records: number
  attempts: number
  ended: boolean
}

/** A driver that does whatever a driver may do, at random, and remembers no more than one does. */
class Wanderer {
  readonly repos: Known[]
  /** What one of its repos became, by kind: to see that a run has tried everything. */
  readonly tried = new Set<string>()

  constructor(
    readonly job: TestJob,
    readonly hosts: readonly HostClaim[],
    readonly random: () => number,
  ) {
    this.repos = [...job.repos.keys()].map((did) => ({
      did,
      resolved: false,
      records: 0,
      attempts: 0,
      ended: false,
    }))
  }

  /** A step and what to remember if it takes effect. */
  next(): { step: RepoStep; applied: boolean; then: () => void } {
    const repo = this.repos[Math.floor(this.random() * this.repos.length)]!
    const host = this.hosts[Math.floor(this.random() * this.hosts.length)]!
    const stale = this.random() < 0.1
    const fence = stale ? { host: host.host, epoch: host.epoch - 1 } : host
    const { move, then } = repo.resolved ? this.#fetching(repo, host) : this.#resolving(repo, fence)
    const made = { ...move, fence, attempts: move.attempts ?? repo.attempts }
    return { step: made, applied: !stale && !repo.ended, then }
  }

  #resolving(repo: Known, fence: { host: number; epoch: number }) {
    if (this.random() < 0.3) return this.#retry(repo, 'waiting')
    this.tried.add('resolved')
    const then = () => {
      repo.resolved = true
    }
    return { move: resolution(this.job, repo.did, { ...fence }), then }
  }

  #fetching(repo: Known, host: HostClaim) {
    const chance = this.random()
    if (chance < 0.35) return this.#page(repo)
    if (chance < 0.45) return this.#restart(repo)
    if (chance < 0.55) return this.#retry(repo, 'fetching')
    if (chance < 0.65) return this.#moved(repo, host)
    return this.#ended(repo)
  }

  #page(repo: Known) {
    const rows = posts(this.job, ...Array.from({ length: 1 + this.#up(4) }, (_, index) => `k${index}`))
    const records = repo.records + rows.length
    this.tried.add('page')
    return this.#counted(repo, { status: 'fetching', rows, records })
  }

  #restart(repo: Known) {
    if (repo.records > 0) this.tried.add('restart')
    return this.#counted(repo, { status: 'fetching', records: 0 })
  }

  #moved(repo: Known, host: HostClaim) {
    this.tried.add('moved')
    return this.#counted(repo, { status: 'resolved', movedTo: host.host, records: 0 })
  }

  #retry(repo: Known, status: 'waiting' | 'fetching') {
    this.tried.add(`retry while ${status}`)
    const attempts = repo.attempts + 1
    const made = this.#counted(repo, { status, failure: 'timeout', attempts, retryAt: new Date(2e12) })
    const then = () => {
      made.then()
      repo.attempts = attempts
    }
    return { move: made.move, then }
  }

  #ended(repo: Known) {
    const kind = this.#up(3)
    this.tried.add(['completed', 'unavailable', 'failed'][kind]!)
    const made = this.#counted(repo, {
      status: (['completed', 'unavailable', 'failed'] as const)[kind]!,
      method: 'list-records',
      ...(kind === 0 && completion(this.job, repo.did, this.hosts[0]!, posts(this.job, 'last'))),
      ...(kind === 1 && { reason: UNAVAILABLE_REASONS[this.#up(UNAVAILABLE_REASONS.length)]! }),
      ...(kind === 2 && { failure: FAILURE_CLASSES[this.#up(FAILURE_CLASSES.length)]! }),
      records: kind === 0 ? repo.records + 1 : repo.records,
    })
    const then = () => {
      made.then()
      repo.ended = true
    }
    return { move: made.move, then }
  }

  #counted(repo: Known, move: Pick<RepoStep, 'status'> & Partial<RepoStep>) {
    const records = move.records ?? repo.records
    const recordsAdded = records - repo.records
    const then = () => {
      repo.records = records
    }
    return { move: step(this.job, repo.did, this.hosts[0]!, { ...move, records, recordsAdded }), then }
  }

  #up(to: number): number {
    return Math.floor(this.random() * to)
  }
}

test.each([1, 2, 3])('counters equal the rows after each of many random steps (seed %i)', async (seed) => {
  const random = randomOf(seed)
  const hosts = [await drive(store.db), await drive(store.db, 'https://second.example')]
  const jobs = [
    await addJob(store, { repos: didsOf(25) }),
    await addJob(store, { repos: didsOf(25, 15) }),
    await addJob(store, { repos: didsOf(1) }),
  ]
  const wanderers = jobs.map((job) => new Wanderer(job, hosts, random))
  for (let batch = 0; batch < 60; batch += 1) {
    // A driver has at most one step of a repo under way.
    const steps = new Map<string, ReturnType<Wanderer['next']>>()
    for (let index = Math.floor(random() * 12); index >= 0; index -= 1) {
      const made = wanderers[Math.floor(random() * wanderers.length)]!.next()
      steps.set(`${made.step.job} ${made.step.did}`, made)
    }
    const made = [...steps.values()]
    const applied = await writeSteps(store, ...made.map(({ step }) => step))
    expect(applied).toEqual(made.map((each) => each.applied))
    for (const [index, { then }] of made.entries()) if (applied[index]) then()
    await assertCountersEqualRows(store)
  }
  const tried = new Set(wanderers.flatMap((wanderer) => [...wanderer.tried]))
  expect([...tried].sort()).toEqual([
    'completed',
    'failed',
    'moved',
    'page',
    'resolved',
    'restart',
    'retry while fetching',
    'retry while waiting',
    'unavailable',
  ])
})

test('counters equal the rows while repos are still being discovered', async () => {
  const { id, key } = await addJob(store, { relays: ['https://relay.example'], collections: [POST] })
  const host = await drive(store.db)
  const listing = { origin: 'https://relay.example', lists: POST }
  let job = await findTestJob(store.db, id)
  const resolved = new Set<string>()
  for (let page = 0; page < 10; page += 1) {
    const known = [...job.repos.keys()].filter((did) => !resolved.has(did))
    const dids = didsOf(6, page * 4)
    const from = { ...listing, cursor: page === 0 ? null : String(page) }
    const [saved] = await Promise.all([
      saveListingPage(store.db, key, from, { dids, cursor: String(page + 1) }),
      writeSteps(store, ...known.map((did) => resolution(job, did, host))),
    ])
    expect(saved).toBe('saved')
    await assertCountersEqualRows(store)
    for (const did of known) resolved.add(did)
    await writeSteps(store, ...known.slice(0, 3).map((did) => completion(job, did, host, posts(job, 'a'))))
    await assertCountersEqualRows(store)
    job = await findTestJob(store.db, id)
  }
})
