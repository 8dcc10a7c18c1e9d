import { expect, test } from 'vitest'
import type { EngineContext } from '../../src/engine/context.js'
import { resolveRepos } from '../../src/engine/resolve.js'
import { hostIds } from '../../src/store/hosts.js'
import type { RepoStep } from '../../src/store/steps.js'
import { createStore } from '../support/database.js'
import { addJob, didsOf } from '../support/fixtures.js'

/** Repos looked at together. */
const BATCH = 1_000

test('callers take turns at the directory, however many jobs one of them has', async () => {
  await using store = await createStore()
  const { db } = store
  const dids = didsOf(3 * BATCH)
  const many = []
  for (let count = 0; count < 3; count += 1) {
    many.push(await addJob(store, { caller: 'did:plc:many', repos: dids.slice(0, 2 * BATCH) }))
  }
  const one = await addJob(store, { caller: 'did:plc:one', repos: dids })
  const directory = (await hostIds(db, ['https://plc.example#directory'])).values().next().value!
  const jobs: number[] = []
  const ctx = {
    db,
    now: Date.now,
    clock: { compare: async () => {}, toLocal: (moment: Date) => moment.getTime() },
    directoryGate: { holdUntil: () => {} },
    dispatch: { wake: async () => {} },
    engagements: {
      enter: async () => ({ signal: new AbortController().signal, [Symbol.dispose]: () => {} }),
    },
    identitiesPaced: () => ({ locate: async () => ({ origin: 'https://pds.example' }) }),
    writer: {
      write: async ({ job }: RepoStep) => {
        jobs.push(job)
        return true
      },
    },
  } as unknown as EngineContext
  await resolveRepos(ctx, directory, new AbortController().signal)
  expect(jobs).toHaveLength(9 * BATCH)
  const turns = jobs
    .filter((_, index) => index % BATCH === 0)
    .map((job) => (job === one.key ? 'one' : 'many'))
  expect(turns.slice(0, 6)).toEqual(['many', 'one', 'many', 'one', 'many', 'one'])
  expect(new Set(jobs)).toEqual(new Set([one, ...many].map(({ key }) => key)))
})
