import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { finished } from '../support/jobs.js'
import { AquiferProcess } from '../support/process.js'
import { eventually } from '../support/wait.js'
import { type Bench, expectRecords, POST, LIKE, StandIns } from './support.js'
import { slowWorld } from './slow-world.js'

const PAGE_REPOS = 5
const CONCURRENCY = 4

/** A dead process is noticed by ten seconds without a heartbeat, at the next of the looks five seconds apart. */
const NOTICED_MS = 20_000

let standIns: StandIns

beforeAll(async () => {
  standIns = await StandIns.start({ relayPageSize: PAGE_REPOS })
})

afterAll(async () => {
  await standIns?.[Symbol.asyncDispose]()
})

const start = (command: 'serve' | 'worker', { database }: Bench, environment: Record<string, string> = {}) =>
  AquiferProcess.start(command, {
    database,
    environment: { ...standIns.environment, HOST_CONCURRENCY: String(CONCURRENCY), ...environment },
  })

/** Has the tasks of dead processes look as if nobody had been heard of for long. */
const passTime = ({ api }: Bench) =>
  api.service.store.pool.query(
    `update pgboss.job set heartbeat_on = heartbeat_on - interval '1 minute' where state = 'active'`,
  )

test.concurrent('"aquifer serve" killed at any moment, several times, loses nothing and repeats little', async () => {
  const KILLS = 4
  const { requests } = standIns.network.relay
  const { records, needed, asked, relayPages, hosts } = await slowWorld(standIns, POST, { repos: 24, pauseMs: 15 })
  await using bench = await standIns.bench()
  let job: string | null = null
  const killedAt: number[] = []
  for (let kill = 0; kill < KILLS; kill++) {
    await using process = await start('serve', bench)
    job ??= (await process.as(standIns.caller).createJob({ collections: [POST] })).data.id
    // Anywhere in the next part of the work, and not only after whole requests.
    const target = needed * ((kill + Math.random()) / KILLS)
    await eventually(asked, (count) => count >= target)
    await sleep(Math.random() * 50)
    await process.kill()
    killedAt.push(asked())
    await passTime(bench)
  }
  await using last = await start('serve', bench)
  const ended = await finished(last.as(standIns.caller), job!, 40_000)
  const told = `killed after ${killedAt.join(', ')} of ${needed} requests`
  expect(ended, told).toMatchObject({ status: 'completed', completedRepos: 48, totalRepos: 48 })
  await expectRecords(bench, job!, records())
  // What was in flight in each repo under way: the page held back until the next has come, that one, and one
  // whose rows were not yet durable.
  expect(asked() - needed, told).toBeLessThanOrEqual(KILLS * hosts.length * CONCURRENCY * 3)
  expect(relayAsked, told).toBeLessThanOrEqual(relayPages(PAGE_REPOS) + KILLS)
  expect(await last.stop()).toBe(0)
})

test.concurrent('of two workers one drives a host; when it is killed, the other goes on', async () => {
  const { records, needed, asked, hosts } = await slowWorld(standIns, LIKE, { repos: 40, pauseMs: 30, hosts: 1 })
  await using bench = await standIns.bench()
  await using one = await start('worker', bench)
  await using two = await start('worker', bench)
  const { data } = await bench.backfill.createJob({ collections: [LIKE] })
  await eventually(asked, (count) => count >= needed / 3)
  const drives = ({ log }: AquiferProcess) => log.some(({ event }) => event === 'host.claimed')
  const [driver, other] = drives(one) ? [one, two] : [two, one]
  expect(drives(other)).toBe(false)
  await driver.kill()
  const before = asked()
  await eventually(() => drives(other), Boolean, NOTICED_MS)
  expect(await finished(bench.backfill, data.id, 40_000)).toMatchObject({ status: 'completed', completedRepos: 40 })
  await expectRecords(bench, data.id, records())
  expect(before).toBeLessThan(needed)
  expect(hosts[0]!.mostAtOnce).toBeLessThanOrEqual(CONCURRENCY)
  expect(await other.stop()).toBe(0)
})
