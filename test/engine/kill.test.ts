import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test, vi } from 'vitest'
import { AquiferProcess } from '../support/process.js'
import { eventually } from '../support/wait.js'
import { slowWorld } from './slow-world.js'
import { type Bench, expectRecords, finished, POST, StandIns } from './support.js'

// Seven processes are started here, and one death is waited for.
vi.setConfig({ testTimeout: 240_000 })

const PAGE_REPOS = 5
const CONCURRENCY = 4

/**
 * Of a repo that is read: the page held back until the next has come, that one, and one whose rows are on their
 * way to the database.
 */
const PAGES_IN_FLIGHT = 3

/**
 * A dead process is noticed by its closed connection when it has said nothing for two seconds. Without that it would
 * take ten, and up to five more.
 */
const NOTICED_MS = 9_000

/** Hosts of a test's own, and the processes on them. */
async function stage() {
  const standIns = await StandIns.start({ relayPageSize: PAGE_REPOS })
  const bench = await standIns.bench()
  const environment = { ...standIns.environment, HOST_CONCURRENCY: String(CONCURRENCY) }
  return {
    standIns,
    bench,
    start: (command: 'serve' | 'worker') =>
      AquiferProcess.start(command, { database: bench.database, environment }),
    async [Symbol.asyncDispose]() {
      await bench[Symbol.asyncDispose]()
      await standIns[Symbol.asyncDispose]()
    },
  }
}

/** Has the tasks of dead processes be noticed at once; that they are noticed by themselves, the other test shows. */
const noticeDeath = ({ api }: Bench) =>
  api.service.store.pool.query(`update pgboss.job set state = 'failed' where state = 'active'`)

test.concurrent('"aquifer serve" killed at any moment, several times, loses nothing and repeats little', async () => {
  const KILLS = 4
  await using here = await stage()
  const { standIns, bench, start } = here
  const world = await slowWorld(standIns, POST, { repos: 24, pauseMs: 15 })
  const { total, records, needed, asked, askedAgain, relayPages, hosts } = world
  let job: string | null = null
  const killedAt: number[] = []
  for (let kill = 0; kill < KILLS; kill++) {
    await using process = await start('serve')
    job ??= (await process.as(standIns.caller).createJob({ collections: [POST] })).data.id
    // Anywhere in the next part of the work, and not only after whole requests.
    const target = needed * ((kill + Math.random()) / KILLS)
    await eventually(asked, (count) => count >= target)
    await sleep(Math.random() * 50)
    await process.kill()
    killedAt.push(asked())
    await noticeDeath(bench)
  }
  await using last = await start('serve')
  const ended = await finished(last.as(standIns.caller), job!)
  const told = `killed after ${killedAt.join(', ')} of ${needed} requests`
  expect(ended, told).toMatchObject({ status: 'completed', completedRepos: total, totalRepos: total })
  await expectRecords(bench, job!, records())
  expect(askedAgain(), told).toBeLessThanOrEqual(KILLS * PAGES_IN_FLIGHT)
  expect(asked() - needed, told).toBeLessThanOrEqual(KILLS * hosts.length * CONCURRENCY * PAGES_IN_FLIGHT)
  expect(standIns.relay.requests.total, told).toBeLessThanOrEqual(relayPages(PAGE_REPOS) + KILLS)
  expect(await last.stop()).toBe(0)
})

test.concurrent('of two workers one drives a host; when it is killed, the other goes on', async () => {
  await using here = await stage()
  const { standIns, bench, start } = here
  const { total, records, needed, asked, hosts } = await slowWorld(standIns, POST, {
    repos: 60,
    pauseMs: 80,
    hosts: 1,
  })
  await using one = await start('worker')
  await using two = await start('worker')
  const { data } = await bench.backfill.createJob({ collections: [POST] })
  await eventually(asked, (count) => count >= needed / 3)
  const drives = ({ log }: AquiferProcess) => log.some(({ event }) => event === 'host.claimed')
  const [driver, other] = drives(one) ? [one, two] : [two, one]
  expect(drives(other)).toBe(false)
  const workers = () => bench.api.service.store.pool.query('select from worker')
  expect((await workers()).rowCount).toBe(2)
  await driver.kill()
  const before = asked()
  await eventually(workers, ({ rowCount }) => rowCount === 1, NOTICED_MS)
  await eventually(() => drives(other), Boolean)
  expect(await finished(bench.backfill, data.id)).toMatchObject({
    status: 'completed',
    completedRepos: total,
  })
  await expectRecords(bench, data.id, records())
  expect(before).toBeLessThan(needed)
  expect(hosts[0]!.mostAtOnce).toBeLessThanOrEqual(CONCURRENCY)
  expect(await other.stop()).toBe(0)
})
