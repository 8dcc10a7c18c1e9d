import { randomBytes } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { exchange } from '../api/support.js'
import { collectRepos } from '../support/jobs.js'
import { atRest, eventually } from '../support/wait.js'
import { expectRecords, finished, POST } from './support.js'
import { pathOf, SignedWorld } from './verified-support.js'

const REPOS = 12
const MINUTE_MS = 60_000

/** Too large to be read without a file. */
const large = () =>
  Object.fromEntries(
    Array.from({ length: 5 }, (_, n) => [
      pathOf(n),
      { $type: POST, text: randomBytes(48 * 1024).toString('hex') },
    ]),
  )

test('without room for the files of whole repos hosts are left alone until there is some', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'spool-trouble-'))
  await using world = await SignedWorld.start()
  const pds = await world.pds()
  const dids = await world.populate(pds, ...Array.from({ length: REPOS }, large))
  await using bench = await world.standIns.bench()
  // A file where the directory should be: nothing can be written there, whoever tries.
  const blocked = join(directory, 'blocked')
  await writeFile(blocked, '')
  let ahead = 0
  await using engine = await world.standIns.service({
    database: bench.database,
    environment: { SPOOL_DIR: join(blocked, 'spool') },
    overrides: { now: () => Date.now() + ahead },
  })
  const health = async () => (await exchange(`${engine.url}/xrpc/_health`)).json as { engine: string }
  const metric = async (line: string) =>
    (await (await fetch(`${engine.url}/metrics`)).text()).includes(`\n${line}\n`)
  const { backfill } = bench
  const { id: job } = (await backfill.createJob({ collections: [POST], repos: dids, method: 'get-repo' }))
    .data

  await eventually(health, (seen) => seen.engine === 'halted: SPOOL_DIR cannot be used')
  expect((await exchange(`${engine.url}/xrpc/_health`)).status).toBe(503)
  // Those that were under way have come to their end.
  await atRest(() => pds.arrivals.length, 1_500)
  expect(pds.count('getRepo')).toBeLessThan(REPOS)
  expect(await metric('aquifer_engine_halted 1')).toBe(true)
  expect(await metric('aquifer_events_total{event="engine.halted"} 1')).toBe(true)
  expect(await metric('aquifer_events_total{event="engine.task-failed"} 0')).toBe(true)
  // Everything else goes on.
  await backfill.pauseJob({ job })
  await eventually(
    async () => (await backfill.getJobStatus({ job })).data.status,
    (status) => status === 'paused',
  )
  await backfill.resumeJob({ job })

  await rm(blocked)
  await eventually(health, (seen) => seen.engine === 'running')
  // Those that had no room come after the others.
  ahead = 6 * MINUTE_MS
  expect(await finished(backfill, job)).toMatchObject({ status: 'completed', completedRepos: REPOS })
  await expectRecords(bench, job, pds.recordsOf(...dids))
  for (const { attempts } of await collectRepos(backfill, job, 100)) expect(attempts).toBe(0)
  await rm(directory, { recursive: true })
})
