import { randomUUID } from 'node:crypto'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { hasEnded, JOB_EVENTS, type JobEvent, movesOf, TRANSITIONS } from '../../src/jobs/state.js'
import { findJob } from '../../src/store/jobs.js'
import { giveUpListing, saveListingPage } from '../../src/store/listings.js'
import {
  jobsAtEnd,
  jobsToRequeue,
  markForRetry,
  moveDoneJob,
  moveGivenUpJob,
  moveJob,
  moveQuietJob,
  reopenListings,
  requeueFailedRepos,
} from '../../src/store/transitions.js'
import { disengage, engage, forgetDeadWorkers, removeWorker, reportAlive } from '../../src/store/workers.js'
import { JOB_STATUSES, type JobStatus, RETRYABLE_FAILURES } from '../../src/verdict.js'
import { createStore } from '../support/database.js'
import {
  addJob,
  assertCountersEqualRows,
  completion,
  didOf,
  didsOf,
  drive,
  empty,
  findTestJob,
  POST,
  posts,
  resolution,
  step,
  type TestJob,
  writeSteps,
} from '../support/fixtures.js'
import { eventually } from '../support/wait.js'

let store: Awaited<ReturnType<typeof createStore>>

beforeAll(async () => {
  store = await createStore()
})

afterAll(() => store[Symbol.asyncDispose]())

afterEach(async () => {
  await assertCountersEqualRows(store)
  await empty(store)
})

const NOW = new Date('2030-05-06T07:08:09.123Z')
const RELAY = 'https://relay.example'

const row = async (job: TestJob) => (await findJob(store.db, job.id))!

async function put(job: TestJob, status: JobStatus): Promise<void> {
  await store.db
    .updateTable('job')
    .set({ status, completed_at: hasEnded(status) ? NOW : null })
    .where('key', '=', job.key)
    .execute()
}

/** The statement that each event is. */
const STATEMENTS: Record<JobEvent, typeof moveJob> = {
  pause: moveJob,
  resume: moveJob,
  cancel: moveJob,
  retry: moveJob,
  quiet: moveQuietJob,
  done: moveDoneJob,
  'done-with-gap': moveGivenUpJob,
}

/** A job without repos: done as it is, or with a listing that cannot be read. */
async function jobFor(event: JobEvent): Promise<TestJob> {
  if (event !== 'done-with-gap') return addJob(store, { repos: [] })
  const job = await addJob(store, { relays: [RELAY], collections: [POST] })
  await giveUpListing(store.db, job.key, { origin: RELAY, lists: POST }, 'no')
  return job
}

describe.each(JOB_STATUSES)('a job that is %s', (status) => {
  test.each(JOB_EVENTS)('%s', async (event) => {
    const job = await jobFor(event)
    await put(job, status)
    const next = TRANSITIONS[status][event]
    const moved = await STATEMENTS[event](store.db, job.key, movesOf(event), NOW)
    const expected = next === 'same' || next === 'refused' ? status : next
    expect(moved).toEqual(next === expected ? { id: job.id, status: next } : null)
    const after = await row(job)
    expect(after.status).toBe(expected)
    expect(after.completed_at).toEqual(hasEnded(expected) ? NOW : null)
    if (moved && hasEnded(expected)) expect(after.stage).toBe(expected)
    expect(after.state_seq).toBe(moved ? after.seq : 0)
  })

  test('gets on from wherever a caller can bring it: there is no way into a dead end but an end', () => {
    const reachable = new Set<JobStatus>([status])
    for (const from of reachable) {
      for (const event of JOB_EVENTS) {
        for (const move of movesOf(event)) if (move.from === from) reachable.add(move.to)
      }
    }
    expect([...reachable].some(hasEnded)).toBe(true)
  })
})

test('of several that move a job at the same time one does, and the others are told', async () => {
  for (let round = 0; round < 10; round += 1) {
    const job = await addJob(store, { repos: didsOf(1) })
    await put(job, 'paused')
    const moves = await Promise.all(
      Array.from({ length: 6 }, (_, index) =>
        moveJob(store.db, job.key, movesOf(index % 2 ? 'resume' : 'cancel'), NOW),
      ),
    )
    const made = moves.filter((moved) => moved !== null)
    // A job that was resumed first can be cancelled after that, but not the other way round.
    expect(made.map((moved) => moved.status).sort()).toSatisfy((statuses: string[]) =>
      [['cancelling'], ['cancelling', 'running']].some((way) => way.join() === statuses.join()),
    )
  }
})

describe('a job comes to rest', () => {
  test('when no process is engaged in it any more, and is not taken up by another', async () => {
    const job = await addJob(store, { repos: didsOf(2) })
    const [one, two] = [randomUUID(), randomUUID()]
    for (const worker of [one, two]) {
      expect(await reportAlive(store.db, worker, 60_000)).toBe(false)
      expect(await engage(store.db, job.key, worker)).toBe(true)
    }
    await moveJob(store.db, job.key, movesOf('pause'), NOW)
    expect(await engage(store.db, job.key, one)).toBe(false)
    const quiet = () => moveQuietJob(store.db, job.key, movesOf('quiet'), NOW)
    expect(await quiet()).toBeNull()
    await disengage(store.db, job.key, one)
    expect(await quiet()).toBeNull()
    await removeWorker(store.db, two)
    const moved = await Promise.all([quiet(), quiet(), quiet()])
    expect(moved.filter((each) => each !== null)).toEqual([{ id: job.id, status: 'paused' }])
  })

  test('when the process that was engaged in it has been silent for too long', async () => {
    const job = await addJob(store, { repos: didsOf(2) })
    const [dead, alive] = [randomUUID(), randomUUID()]
    await reportAlive(store.db, dead, 60_000)
    await reportAlive(store.db, alive, 60_000)
    await engage(store.db, job.key, dead)
    await moveJob(store.db, job.key, movesOf('cancel'), NOW)
    await reportAlive(store.db, dead, -1)
    await forgetDeadWorkers(store.db)
    expect(await moveQuietJob(store.db, job.key, movesOf('quiet'), NOW)).toMatchObject({
      status: 'cancelled',
    })
    expect(await reportAlive(store.db, alive, 60_000)).toBe(true)
    // It learns that it was taken for dead.
    expect(await reportAlive(store.db, dead, 60_000)).toBe(false)
  })

  test('and a step that comes after that is refused, until the job is resumed', async () => {
    const job = await addJob(store, { repos: didsOf(1) })
    const host = await drive(store.db)
    await writeSteps(store, resolution(job, didOf(0), host))
    await moveJob(store.db, job.key, movesOf('pause'), NOW)
    await writeSteps(store, step(job, didOf(0), host, { status: 'fetching', progress: '{"page":1}' }))
    await moveQuietJob(store.db, job.key, movesOf('quiet'), NOW)
    const late = completion(job, didOf(0), host, posts(job, 'a'))
    expect(await writeSteps(store, late)).toEqual([false])
    expect(await row(job)).toMatchObject({ completed: 0, records: 0 })
    await moveJob(store.db, job.key, movesOf('resume'), NOW)
    expect(await writeSteps(store, late)).toEqual([true])
  })
})

describe('a job of which discovery cannot be finished', () => {
  test('fails when every repo that was found has its outcome, and not before', async () => {
    const { id, key } = await addJob(store, { relays: [RELAY], collections: [POST] })
    const listing = { origin: RELAY, lists: POST }
    await saveListingPage(store.db, key, { ...listing, cursor: null }, { dids: didsOf(1), cursor: 'next' })
    await giveUpListing(store.db, key, listing, 'the relay is gone')
    const job = await findTestJob(store.db, id)
    const end = () => moveGivenUpJob(store.db, key, movesOf('done-with-gap'), NOW)
    expect(await jobsAtEnd(store.db, null)).toEqual([])
    expect(await end()).toBeNull()
    const host = await drive(store.db)
    await writeSteps(store, completion(job, didOf(0), host, posts(job, 'a')))
    expect(await jobsAtEnd(store.db, null)).toEqual([key])
    expect(await moveDoneJob(store.db, key, movesOf('done'), NOW)).toBeNull()
    expect(await end()).toMatchObject({ status: 'failed' })
    expect(await row(job)).toMatchObject({ stage: 'failed', error: 'the relay is gone', completed: 1 })
  })

  test('takes it up again when it is tried again', async () => {
    const { id, key } = await addJob(store, { relays: [RELAY], collections: [POST] })
    await giveUpListing(store.db, key, { origin: RELAY, lists: POST }, 'the relay is gone')
    await moveGivenUpJob(store.db, key, movesOf('done-with-gap'), NOW)
    const reopened = await store.db.transaction().execute(async (trx) => {
      await moveJob(trx, key, movesOf('retry'), NOW)
      return reopenListings(trx, key)
    })
    expect(reopened).toBe(1)
    expect(await findJob(store.db, id)).toMatchObject({
      status: 'running',
      stage: 'discovering-repos',
      error: null,
      completed_at: null,
    })
  })
})

test('repos that failed are queued again by class, with all their tries', async () => {
  const job = await addJob(store, { repos: didsOf(5) })
  const host = await drive(store.db)
  const [unresolved, slow, loop, done, begun] = didsOf(5) as [string, string, string, string, string]
  await writeSteps(
    store,
    step(job, unresolved, host, { status: 'failed', failure: 'directory-unavailable', attempts: 5 }),
    ...[slow, loop, done, begun].map((did) => resolution(job, did, host)),
  )
  const progress = '{"page":7}'
  await writeSteps(
    store,
    step(job, slow, host, { status: 'failed', failure: 'timeout', message: 'slow', attempts: 5 }),
    step(job, loop, host, { status: 'failed', failure: 'cursor-loop', attempts: 1, progress }),
    completion(job, done, host, posts(job, 'a')),
    step(job, begun, host, { status: 'failed', failure: 'host-error', attempts: 5, progress }),
  )
  const before = (await row(job)).seq
  await moveDoneJob(store.db, job.key, movesOf('done'), NOW)
  const retry = async (classes: Parameters<typeof markForRetry>[2]['classes']) => {
    const marked = await store.db.transaction().execute(async (trx) => {
      await moveJob(trx, job.key, movesOf('retry'), NOW)
      return markForRetry(trx, job.key, { classes, repoLimit: 9 })
    })
    expect(await jobsToRequeue(store.db)).toEqual([job.key])
    // It is not at its end meanwhile, though no repo is open.
    expect(await jobsAtEnd(store.db, null)).toEqual([])
    while (await requeueFailedRepos(store.db, job.key, 2)) {}
    expect(await jobsToRequeue(store.db)).toEqual([])
    return marked
  }
  expect(await retry(RETRYABLE_FAILURES)).toBe(3)
  const repos = async () =>
    new Map(
      (await store.db.selectFrom('job_repo').selectAll().where('job', '=', job.key).execute()).map((repo) => [
        repo.did,
        repo,
      ]),
    )
  const queued = await repos()
  const fresh = { failure: null, message: null, attempts: 0, retry_at: null }
  expect(queued.get(unresolved)).toMatchObject({ ...fresh, status: 'waiting', progress: null })
  expect(queued.get(slow)).toMatchObject({ ...fresh, status: 'resolved', progress: null })
  expect(queued.get(begun)).toMatchObject({ ...fresh, status: 'fetching', progress: { page: 7 } })
  expect(queued.get(loop)).toMatchObject({ status: 'failed', failure: 'cursor-loop' })
  for (const did of [unresolved, slow, begun]) expect(queued.get(did)!.seq).toBeGreaterThan(before)
  expect(await row(job)).toMatchObject({ failed: 1, failures: [{ class: 'cursor-loop', count: 1 }] })

  expect(await moveDoneJob(store.db, job.key, movesOf('done'), NOW)).toBeNull()
  await writeSteps(
    store,
    ...[unresolved, slow, begun].map((did) =>
      step(job, did, host, { status: 'unavailable', reason: 'deleted' }),
    ),
  )
  await moveDoneJob(store.db, job.key, movesOf('done'), NOW)
  expect(await retry(['cursor-loop'])).toBe(1)
  // What went wrong for good is read from its beginning.
  expect((await repos()).get(loop)).toMatchObject({ ...fresh, status: 'resolved', progress: null })
  expect(await row(job)).toMatchObject({ failed: 0, failures: [] })
})

describe('while repos that failed are queued again', () => {
  /** A job that is tried again, with so many repos that are still to be queued. */
  async function retried(count: number): Promise<TestJob> {
    const job = await addJob(store, { repos: didsOf(count) })
    const host = await drive(store.db)
    const failed = { status: 'failed', failure: 'timeout', attempts: 5 } as const
    await writeSteps(store, ...didsOf(count).map((did) => resolution(job, did, host)))
    await writeSteps(store, ...didsOf(count).map((did) => step(job, did, host, failed)))
    await moveDoneJob(store.db, job.key, movesOf('done'), NOW)
    await store.db.transaction().execute(async (trx) => {
      await moveJob(trx, job.key, movesOf('retry'), NOW)
      await markForRetry(trx, job.key, { classes: RETRYABLE_FAILURES, repoLimit: null })
    })
    return job
  }

  test('nobody who holds the job waits for them, and they for him', async () => {
    const job = await retried(1)
    const queueing = Promise.withResolvers<boolean>()
    await store.db.transaction().execute(async (trx) => {
      // As whoever saves a page does, or moves the job.
      await trx.selectFrom('job').select('key').where('key', '=', job.key).forShare().execute()
      requeueFailedRepos(store.db, job.key).then(queueing.resolve, queueing.reject)
      await eventually(
        () =>
          store.pool.query(
            `select from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()`,
          ),
        ({ rowCount }) => rowCount === 1,
      )
      await trx.selectFrom('job_progress').select('seq').where('job', '=', job.key).forUpdate().execute()
    })
    expect(await queueing.promise).toBe(false)
    expect(await row(job)).toMatchObject({ failed: 0, retrying: null })
  })

  test('those whose host was given up are looked up again, but for those that were begun there', async () => {
    const job = await addJob(store, { repos: didsOf(2) })
    const host = await drive(store.db)
    const [untouched, begun] = didsOf(2) as [string, string]
    const failed = { status: 'failed', failure: 'host-unavailable', attempts: 0 } as const
    await writeSteps(store, ...didsOf(2).map((did) => resolution(job, did, host)))
    await writeSteps(
      store,
      step(job, untouched, host, failed),
      step(job, begun, host, { ...failed, progress: '{"page":7}' }),
    )
    await moveDoneJob(store.db, job.key, movesOf('done'), NOW)
    await store.db.transaction().execute(async (trx) => {
      await moveJob(trx, job.key, movesOf('retry'), NOW)
      await markForRetry(trx, job.key, { classes: RETRYABLE_FAILURES, repoLimit: null })
    })
    await requeueFailedRepos(store.db, job.key)
    const repos = await store.db.selectFrom('job_repo').selectAll().where('job', '=', job.key).execute()
    const now = new Map(repos.map((repo) => [repo.did, repo]))
    expect(now.get(untouched)).toMatchObject({ status: 'waiting', host: null })
    expect(now.get(begun)).toMatchObject({ status: 'fetching', host: host.host, progress: { page: 7 } })
    expect(await row(job)).toMatchObject({ resolved: 1, failed: 0 })
    await writeSteps(store, resolution(job, untouched, host))
    expect(await row(job)).toMatchObject({ resolved: 2 })
  })

  test('a job that is cancelled stays as it was then', async () => {
    const job = await retried(3)
    expect(await requeueFailedRepos(store.db, job.key, 1)).toBe(true)
    await moveJob(store.db, job.key, movesOf('cancel'), NOW)
    await moveQuietJob(store.db, job.key, movesOf('quiet'), NOW)
    const { failed, seq } = await row(job)
    expect(await requeueFailedRepos(store.db, job.key, 1)).toBe(false)
    expect(await jobsToRequeue(store.db)).toEqual([])
    expect(await row(job)).toMatchObject({ status: 'cancelled', failed, seq })
  })
})
