import { afterAll, beforeAll, expect, test } from 'vitest'
import { readChanges } from '../../src/store/changes.js'
import type { Store } from '../../src/store/database.js'
import { deleteDetails } from '../../src/store/details.js'
import { findJob } from '../../src/store/jobs.js'
import { addRepos } from '../../src/store/listings.js'
import { StepBatch } from '../../src/store/steps.js'
import { markForRetry, requeueFailedRepos } from '../../src/store/transitions.js'
import { createStore } from '../support/database.js'
import {
  addJob,
  completion,
  didOf,
  didsOf,
  drive,
  inTransaction,
  posts,
  randomOf,
  resolution,
  step,
  type TestJob,
  waitingBackends,
  writeSteps,
} from '../support/fixtures.js'

let store: Store

beforeAll(async () => {
  store = await createStore()
})

afterAll(async () => {
  await store?.[Symbol.asyncDispose]()
})

const seqOf = async (job: TestJob) => (await findJob(store.db, job.id))!.seq

const changes = async (job: TestJob, after = 0, limit = 1_000, through?: number) =>
  readChanges(store.db, { job: job.key, after, through: through ?? (await seqOf(job)), limit })

test('each repo is read in its latest state, in the order of the changes', async () => {
  const job = await addJob(store, { repos: didsOf(4) })
  const host = await drive(store.db, 'https://latest.example')
  await writeSteps(store, resolution(job, didOf(2), host), resolution(job, didOf(0), host))
  await writeSteps(store, completion(job, didOf(2), host, posts(job, 'a', 'b'), { rev: '3kaaaaaaaaaaa' }))
  await writeSteps(
    store,
    step(job, didOf(0), host, { status: 'failed', failure: 'timeout', message: 'too late' }),
  )
  const { details, repos } = await changes(job)
  expect(details).toBe('kept')
  expect(repos).toMatchObject([
    { did: didOf(1), status: 'waiting', origin: null },
    { did: didOf(3), status: 'waiting', origin: null },
    {
      did: didOf(2),
      status: 'completed',
      origin: 'https://latest.example',
      records: 2,
      rev: '3kaaaaaaaaaaa',
      level: 'content',
    },
    { did: didOf(0), status: 'failed', failure: 'timeout', message: 'too late', level: null },
  ])
  const numbers = repos.map(({ seq }) => seq)
  expect(numbers).toEqual([...numbers].sort((a, b) => a - b))
  expect(await changes(job, numbers[1], 1)).toMatchObject({ repos: [{ did: didOf(2) }] })
  expect(await changes(job, 0, 10, numbers[1])).toMatchObject({
    repos: [{ did: didOf(1) }, { did: didOf(3) }],
  })
  expect(await changes(job, numbers[3])).toEqual({ details: 'kept', repos: [] })
})

test('another page or another try of a repo is not a change', async () => {
  const job = await addJob(store, { repos: [didOf(0)] })
  const host = await drive(store.db, 'https://pages.example')
  await writeSteps(store, resolution(job, didOf(0), host))
  const after = await seqOf(job)
  await writeSteps(
    store,
    step(job, didOf(0), host, { status: 'fetching', rows: posts(job, 'a'), records: 1 }),
  )
  await writeSteps(store, step(job, didOf(0), host, { status: 'fetching', attempts: 1 }))
  expect((await changes(job, after)).repos).toEqual([])
})

test('failed repos that are queued again are changes', async () => {
  const job = await addJob(store, { repos: didsOf(2) })
  const host = await drive(store.db, 'https://again.example')
  await writeSteps(store, resolution(job, didOf(0), host), resolution(job, didOf(1), host))
  await writeSteps(store, step(job, didOf(0), host, { status: 'failed', failure: 'timeout' }))
  const after = await seqOf(job)
  await store.db
    .transaction()
    .execute((trx) => markForRetry(trx, job.key, { classes: ['timeout'], repoLimit: null }))
  await requeueFailedRepos(store.db, job.key)
  expect((await changes(job, after)).repos).toMatchObject([{ did: didOf(0), status: 'resolved' }])
})

test('with the details gone that is said, however much is left of them', async () => {
  const job = await addJob(store, { repos: didsOf(2) })
  await store.db.updateTable('job').set({ status: 'completed' }).where('key', '=', job.key).execute()
  await deleteDetails(store.db, { key: job.key }, ['completed'])
  expect((await changes(job)).details).toBe('deleting')
  await store.db.deleteFrom('job_repo').where('job', '=', job.key).execute()
  expect(await changes(job)).toEqual({ details: 'deleting', repos: [] })
  expect((await changes({ ...job, key: 0 })).details).toBe('deleted')
})

test('a reader never passes a number that may still appear', async () => {
  const job = await addJob(store, { repos: didsOf(4) })
  const host = await drive(store.db, 'https://open.example')
  await writeSteps(store, ...didsOf(4).map((did) => resolution(job, did, host)))
  const before = await seqOf(job)
  const batchOf = (did: string) => {
    const batch = new StepBatch()
    batch.add(completion(job, did, host, []))
    return batch
  }
  const seen: string[] = []
  let at = before
  const look = async () => {
    const through = await seqOf(job)
    const { repos } = await changes(job, at, 1_000, through)
    seen.push(...repos.map(({ did }) => did))
    at = through
  }
  // The first takes its numbers and stays open; the second would take later ones and commit at once.
  let later: Promise<boolean[]> | undefined
  await inTransaction(store, 'commit', async (client) => {
    await batchOf(didOf(0)).write(client)
    later = writeSteps(store, completion(job, didOf(1), host, []))
    await waitingBackends(store)
    await look()
    expect(seen).toEqual([])
    expect(at).toBe(before)
  })
  await later
  await look()
  expect(seen).toEqual([didOf(0), didOf(1)])
  // And one that is taken back leaves a gap, which nobody waits for.
  await inTransaction(store, 'rollback', (client) => batchOf(didOf(2)).write(client))
  await writeSteps(store, completion(job, didOf(3), host, []))
  await look()
  expect(seen).toEqual([didOf(0), didOf(1), didOf(3)])
})

test('a reader that looks all the time misses nothing of many writers', async () => {
  const dids = didsOf(240)
  const job = await addJob(store, { repos: dids.slice(0, 200) })
  const host = await drive(store.db, 'https://many.example')
  const random = randomOf(3)
  let writing = true
  const write = async (mine: string[]) => {
    while (mine.length > 0) {
      const some = mine.splice(0, 1 + Math.floor(random() * 4))
      await inTransaction(store, random() < 0.2 ? 'rollback' : 'commit', async (client) => {
        const batch = new StepBatch()
        for (const did of some) batch.add(completion(job, did, host, posts(job, 'a')))
        await batch.write(client)
        if (random() < 0.3) await client.query('select pg_sleep(0.005)')
      })
    }
  }
  const discover = async () => {
    for (const did of dids.slice(200))
      await store.db.transaction().execute((trx) => addRepos(trx, job.key, [did]))
  }
  const known = new Map<string, string>()
  const read = async () => {
    let at = 0
    for (let last = false; ; last = !writing) {
      const through = await seqOf(job)
      while (at < through) {
        const { repos } = await changes(job, at, 7, through)
        for (const { did, status } of repos) known.set(did, status)
        at = repos.length < 7 ? through : repos.at(-1)!.seq
      }
      if (last) return
    }
  }
  const reading = read()
  const part = (n: number) => dids.slice(0, 200).filter((_, index) => index % 3 === n)
  await Promise.all([write(part(0)), write(part(1)), write(part(2)), discover()])
  writing = false
  await reading
  const rows = await store.db
    .selectFrom('job_repo')
    .select(['did', 'status'])
    .where('job', '=', job.key)
    .execute()
  expect(known).toEqual(new Map(rows.map(({ did, status }) => [did, status])))
})
