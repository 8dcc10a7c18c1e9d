import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test, vi } from 'vitest'
import { AquiferProcess } from '../support/process.js'
import { eventually } from '../support/wait.js'
import { slowWorld } from './slow-world.js'
import { expectCounters, expectRecords, finished, StandIns, told } from './support.js'

// Processes are started here, and one death is waited for.
vi.setConfig({ testTimeout: 240_000 })

const LIST = 'com.atproto.repo.listRecords'

/** A dead process is noticed within seconds, or by its silence after ten. */
const NOTICED_MS = 20_000

/** A job has to stop so soon after its last pages in flight. On a quiet machine that is a moment. */
const STOPPED_MS = 10_000

async function stage() {
  const standIns = await StandIns.start({ relayPageSize: 10 })
  const bench = await standIns.bench()
  const { backfill } = bench
  return {
    standIns,
    bench,
    backfill,
    /** @param hosts how many it drives at the same time */
    worker: (hosts = 64) =>
      AquiferProcess.start('worker', {
        database: bench.database,
        environment: { ...standIns.environment, ENGINE_HOSTS: String(hosts) },
      }),
    statusOf: async (job: string) => (await backfill.getJobStatus({ job })).data.status,
    async [Symbol.asyncDispose]() {
      await bench[Symbol.asyncDispose]()
      await standIns[Symbol.asyncDispose]()
    },
  }
}

test.concurrent('a process that is killed while jobs are pausing, cancelling and paused leaves none of them there', async () => {
  await using here = await stage()
  const { standIns, bench, backfill, worker, statusOf } = here
  const held = Promise.withResolvers<void>()
  const heldForPause = Promise.withResolvers<void>()
  const jobs = await Promise.all(
    ['pausing', 'cancelling', 'paused'].map(async (state) => {
      const collection = `network.example.${state}`
      const pds = await standIns.pds()
      standIns.populate(pds, 5, 250, collection)
      let pages = 0
      const plan = pds.faults.plan(
        { kind: 'after', what: () => (state === 'paused' ? heldForPause : held).promise },
        ({ method }) => {
          pages += Number(method === LIST)
          return pages > 3
        },
      )
      const { data } = await backfill.createJob({ collections: [collection] })
      return { pds, plan, job: data.id, records: () => pds.world.values() }
    }),
  )
  const [pausing, cancelling, paused] = jobs as [(typeof jobs)[0], (typeof jobs)[0], (typeof jobs)[0]]
  await using first = await worker()
  for (const { plan } of jobs) {
    await eventually(
      () => plan.fired,
      (fired) => fired > 0,
    )
  }
  await backfill.pauseJob({ job: paused.job })
  // Before that it may well come to its end.
  await told(bench)
  heldForPause.resolve()
  await eventually(
    () => statusOf(paused.job),
    (status) => status === 'paused',
  )
  await backfill.pauseJob({ job: pausing.job })
  await backfill.cancelJob({ job: cancelling.job })
  await first.kill()
  held.resolve()
  const states = () => Promise.all(jobs.map(({ job }) => statusOf(job)))
  expect(await states()).toEqual(['pausing', 'cancelling', 'paused'])

  await using second = await worker()
  await eventually(states, (seen) => seen.join() === 'paused,cancelled,paused', NOTICED_MS)
  const before = jobs.map(({ pds }) => pds.count({ method: LIST }))
  await sleep(500)
  expect(jobs.map(({ pds }) => pds.count({ method: LIST }))).toEqual(before)
  for (const { job, records } of [pausing, paused]) {
    await backfill.resumeJob({ job })
    expect(await finished(backfill, job)).toMatchObject({ status: 'completed', completedRepos: 5 })
    await expectRecords(bench, job, records())
  }
  expect(await statusOf(cancelling.job)).toBe('cancelled')
  expect(await second.stop()).toBe(0)
})

test.concurrent('a job that two processes work on is paused once, when both have stopped, and cancelled once', async () => {
  await using here = await stage()
  const { standIns, bench, backfill, worker, statusOf } = here
  const collection = 'network.example.both'
  const world = await slowWorld(standIns, collection, { repos: 60, pauseMs: 25, hosts: 4 })
  const shares = [
    [0.15, 'pauseJob', 'paused'],
    [0.4, 'pauseJob', 'paused'],
    [0.6, 'cancelJob', 'cancelled'],
  ] as const
  // Neither can take all four.
  await using one = await worker(2)
  await using two = await worker(2)
  const { data } = await backfill.createJob({ collections: [collection] })
  const logged = (event: string) =>
    [one, two].flatMap(({ log }) => log.filter((line) => line.event === event))
  const drives = ({ log }: AquiferProcess) => log.some(({ event }) => event === 'host.claimed')
  for (const [share, ask, rest] of shares) {
    const pages = world.holdFrom(world.needed * share)
    await pages.isHeld()
    const earlier = logged(`job.${rest}`).length
    await backfill[ask]({ job: data.id })
    await told(bench)
    pages.release()
    await eventually(
      () => statusOf(data.id),
      (status) => status === rest,
      STOPPED_MS,
    )
    const still = world.asked()
    await sleep(300)
    expect(world.asked()).toBe(still)
    // What a process has said is read a moment later.
    await eventually(
      () => logged(`job.${rest}`).length,
      (count) => count > earlier,
    )
    expect(logged(`job.${rest}`)).toHaveLength(earlier + 1)
    await expectCounters(bench.api)
    if (rest === 'paused') await backfill.resumeJob({ job: data.id })
  }
  expect(drives(one) && drives(two)).toBe(true)
  expect(world.asked()).toBeLessThan(world.needed)
})
