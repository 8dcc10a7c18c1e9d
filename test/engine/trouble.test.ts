import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { exchange } from '../api/support.js'
import { collectRepos } from '../support/jobs.js'
import { atRest, eventually } from '../support/wait.js'
import { slowWorld } from './slow-world.js'
import { expectRecords, finished, StandIns } from './support.js'

const HOST_CONCURRENCY = 4

let standIns: StandIns

beforeAll(async () => {
  standIns = await StandIns.start({ relayPageSize: 20 })
})

afterAll(async () => {
  await standIns?.[Symbol.asyncDispose]()
})

test('a database that takes nothing in halts the engine and nothing else, and costs no repo a try', async () => {
  const collection = 'network.example.full'
  const world = await slowWorld(standIns, collection, { repos: 24, pauseMs: 20 })
  const { total, records, needed, asked, hosts } = world
  await using bench = await standIns.bench()
  await using engine = await standIns.service({ database: bench.database })
  const { pool } = bench.api.service.store
  const { backfill } = bench
  const health = async () => (await exchange(`${engine.url}/xrpc/_health`)).json as { engine: string }
  const { data } = await backfill.createJob({ collections: [collection] })
  await eventually(asked, (count) => count >= needed * 0.3)
  expect(await health()).toMatchObject({ engine: 'running' })

  // As a full disk has it: whatever is to be written anew.
  await pool.query(`
    create function full_disk() returns trigger language plpgsql
    as $$ begin raise exception 'could not extend file' using errcode = 'disk_full'; end $$;
    create trigger full_disk before insert or update on record for each row execute function full_disk();
    create trigger full_disk before insert or update on job_repo for each row execute function full_disk();
    create trigger full_disk before insert or update on worker for each row execute function full_disk();`)
  await eventually(health, (seen) => seen.engine.startsWith('halted'))
  expect(await exchange(`${engine.url}/xrpc/_health`)).toMatchObject({
    status: 503,
    json: { database: 'ok', engine: 'halted: the database takes nothing in' },
  })
  // Everybody who was at work has ended at the next write.
  await atRest(asked, 1_500)
  const job = (await backfill.getJobStatus({ job: data.id })).data
  expect(job).toMatchObject({ status: 'running', failedRepos: 0 })

  await pool.query('drop function full_disk() cascade')
  await eventually(health, (seen) => seen.engine === 'running')
  expect(await finished(backfill, data.id)).toMatchObject({ status: 'completed', completedRepos: total })
  await expectRecords(bench, data.id, records())
  for (const { attempts } of await collectRepos(backfill, data.id, 100)) expect(attempts).toBe(0)
  // What was in flight, what was read and waited for its batch, and a try or two before it was well again.
  expect(asked() - needed).toBeLessThanOrEqual(6 * hosts.length * HOST_CONCURRENCY)
})

test('an engine that meets the same trouble again and again asks hosts less and less', async () => {
  const collection = 'network.example.stubborn'
  const pds = await standIns.pds()
  standIns.populate(pds, 40, 1, collection)
  await using bench = await standIns.bench()
  const { pool } = bench.api.service.store
  // Here the look whether all is well finds nothing wrong.
  await pool.query(`
    create function full_disk() returns trigger language plpgsql
    as $$ begin raise exception 'could not extend file' using errcode = 'disk_full'; end $$;
    create trigger full_disk before insert on record for each row execute function full_disk();`)
  await using _engine = await standIns.service({
    database: bench.database,
    api: false,
    overrides: { haltMs: 100 },
  })
  const { data } = await bench.backfill.createJob({ collections: [collection] })
  await eventually(
    () => pds.arrivals.length,
    (count) => count > 0,
  )
  await sleep(3_200)
  // Every halt is twice as long as the one before: a handful of turns, of so many repos at once.
  expect(pds.arrivals.length).toBeLessThanOrEqual(6 * 2 * HOST_CONCURRENCY)
  await pool.query('drop function full_disk() cascade')
  expect(await finished(bench.backfill, data.id)).toMatchObject({ status: 'completed', completedRepos: 40 })
  await expectRecords(bench, data.id, pds.world.values())
})
