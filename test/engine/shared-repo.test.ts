import { expect, test } from 'vitest'
import { repoOf } from '../support/jobs.js'
import { eventually } from '../support/wait.js'
import { expectRecords, finished, POST, StandIns } from './support.js'

const LIST = 'com.atproto.repo.listRecords'

test('a repo that two jobs wait for, and that changes between their readings, is right for the later one', async () => {
  await using standIns = await StandIns.start()
  await using bench = await standIns.bench()
  const pds = await standIns.pds()
  const [did] = standIns.populate(pds, 1, 3) as [string]
  const { pool } = bench.api.service.store
  // So both jobs' repos are due, and looked at together, when the host is driven for the first time.
  await pool.query(`insert into host (origin, next_request_at) values ($1, 'infinity')`, [pds.url])
  await using _engine = await standIns.service({ database: bench.database, api: false })
  const wish = { collections: [POST], repos: [did] }
  const jobs = [await bench.backfill.createJob(wish), await bench.backfill.createJob(wish)]
  for (const { data } of jobs) {
    await eventually(
      () => repoOf(bench.backfill, data.id, did),
      ({ status }) => status === 'resolved',
    )
  }
  // The first job asks for a page and for the empty one that ends the listing; the next request is the second's.
  const removed = { what: () => pds.edit(did, POST, { remove: ['r000001'] }), kind: 'after' } as const
  const plan = pds.faults.plan(
    removed,
    ({ method }) => method === LIST && pds.count({ method: LIST }) === 3,
    1,
  )
  await pool.query(`update host set next_request_at = '-infinity' where origin = $1`, [pds.url])
  const ended = await Promise.all(jobs.map(({ data }) => finished(bench.backfill, data.id)))
  expect(plan.fired).toBe(1)
  expect(ended.map(({ totalRecords }) => totalRecords).sort()).toEqual([2, 3])
  for (const { id } of ended) await expectRecords(bench, id, pds.world.values())
})
