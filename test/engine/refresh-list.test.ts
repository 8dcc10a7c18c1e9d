import { afterAll, beforeAll, expect, test } from 'vitest'
import type { OutputSchema } from '../../codegen/client/types/network/example/backfill/listRecords.js'
import { type Line, linesIn, requestExport, typeOf } from '../api/delivery-support.js'
import { invalidRequest, refusal } from '../api/support.js'
import type { SignedPds } from '../support/network/signed-pds.js'
import { type Bench, finished, LIKE, POST } from './support.js'
import { pathOf, posts, SignedWorld } from './verified-support.js'

/** What has changed from one job to the next, page by page. */

let world: SignedWorld
let bench: Bench
let pds: SignedPds

beforeAll(async () => {
  world = await SignedWorld.start()
  bench = await world.standIns.bench()
  pds = await world.pds()
})

afterAll(async () => {
  await bench?.[Symbol.asyncDispose]()
  await world?.[Symbol.asyncDispose]()
})

async function run(start: () => Promise<{ data: { id: string } }>): Promise<string> {
  const { database } = bench
  await using _engine = await world.standIns.service({ database, api: false })
  return (await finished(bench.backfill, (await start()).data.id)).id
}

const create = (repos: string[], wish: { collections?: string[]; method?: string } = {}) =>
  run(() => bench.backfill.createJob({ repos, collections: [POST], method: 'get-repo', ...wish }))
const refresh = (job: string) => run(() => bench.backfill.refreshJob({ job }))

interface Wish {
  readonly job: string
  readonly collection?: string
  readonly repo?: string
}

/** A page of changes, which has no more than it may. */
async function page(wish: Wish, limit: number, cursor?: string): Promise<Required<OutputSchema>> {
  const { data } = await bench.backfill.listRecords({
    ...wish,
    changes: true,
    limit,
    ...(cursor && { cursor }),
  })
  const { records, deleted = [], repos = [] } = data
  expect(records.length + deleted.length).toBeLessThanOrEqual(limit)
  expect(repos.length).toBeLessThanOrEqual(limit)
  return { records, deleted, repos, cursor: data.cursor ?? '' }
}

/** All changes, by pages of some length. */
async function changesOf(wish: Wish, limit: number) {
  const read: Required<OutputSchema>[] = []
  do read.push(await page(wish, limit, read.at(-1)?.cursor))
  while (read.at(-1)!.cursor !== '' && read.length < 200)
  expect(read.at(-1)!.cursor).toBe('')
  return {
    records: read.flatMap(({ records }) => records),
    deleted: read.flatMap(({ deleted }) => deleted),
    repos: read.flatMap(({ repos }) => repos),
  }
}

/** The same as an export tells it. */
async function exported(wish: Wish) {
  const response = await requestExport(bench.api, world.standIns.caller, { ...wish, changes: 'true' })
  const lines = linesIn(await response.text())
  const of = (type: string): Line[] => lines.filter((line) => typeOf(line) === type)
  return {
    records: of('record'),
    deleted: of('recordDeleted').map(({ $type: _, ...deleted }) => deleted),
    repos: lines
      .filter((line) => ['repoComplete', 'repoUnavailable'].includes(typeOf(line)))
      .map(({ cursor: _, $type, ...repo }) => ({
        $type: $type!.replace('exportRecords', 'listRecords'),
        ...repo,
      })),
  }
}

const uriOf = (did: string, n: number, collection = POST) => `at://${did}/${pathOf(n, collection)}`
const urisOf = (records: readonly { uri: string }[]) => records.map(({ uri }) => uri)
const post = (n: number | string) => ({ $type: POST, n })
const complete = 'network.example.backfill.listRecords#repoComplete'

test('changes by pages of any length are those that an export gives: creates, updates, deletes with revs', async () => {
  const dids = await world.populate(pds, posts(3), posts(5), posts(4), posts(2), posts(1))
  const [still, changed, emptied, between, away] = dids as [string, string, string, string, string]
  const first = await create(dids, { collections: ['network.example.*'] })
  const since = new Map(dids.map((did) => [did, pds.revOf(did)]))
  await pds.edit(changed, { [pathOf(1)]: post('changed'), [pathOf(2)]: null, [pathOf(9)]: post(9) })
  await pds.edit(changed, { [pathOf(3)]: null, [pathOf(0, LIKE)]: { $type: LIKE, n: 0 } })
  await pds.edit(emptied, Object.fromEntries(Object.keys(posts(4)).map((path) => [path, null])))
  await pds.edit(between, { [pathOf(5)]: post(5) })
  // Another job is the first to see it: for the refreshed one it is new all the same.
  await create([between], { collections: ['network.example.*'] })
  await pds.edit(away, { [pathOf(1)]: post(1) })
  const body = { error: 'RepoTakendown', message: 'taken down' }
  const takedown = pds.faults.plan({ kind: 'answer', status: 400, body }, { did: away })
  const job = await refresh(first)
  takedown.cancel()

  const all = await changesOf({ job }, 1_000)
  const told = new Map(
    all.repos.map((repo) => [String('receipt' in repo ? repo.receipt.did : 'did' in repo && repo.did), repo]),
  )
  expect(told.size).toBe(5)
  for (const did of [still, changed, emptied, between]) {
    expect(told.get(did)).toMatchObject({
      $type: complete,
      since: since.get(did),
      receipt: { rev: pds.revOf(did) },
    })
  }
  expect(told.get(away)).toMatchObject({ reason: 'takendown' })
  expect(urisOf(all.records).sort()).toEqual(
    [uriOf(changed, 0, LIKE), uriOf(changed, 1), uriOf(changed, 9), uriOf(between, 5)].sort(),
  )
  const gone = [2, 3].map((n) => ({ uri: uriOf(changed, n), rev: pds.revOf(changed) }))
  const emptiedOnes = [0, 1, 2, 3].map((n) => ({ uri: uriOf(emptied, n), rev: pds.revOf(emptied) }))
  expect(all.deleted).toHaveLength(6)
  expect(all.deleted).toEqual(expect.arrayContaining([...gone, ...emptiedOnes]))

  for (const wish of [
    { job },
    { job, collection: LIKE },
    { job, repo: changed },
    { job, repo: emptied, collection: POST },
  ]) {
    const whole = await exported(wish)
    for (const limit of [1, 2, 3, 4, 5, 11, 1_000]) expect(await changesOf(wish, limit)).toEqual(whole)
  }
  // Without asking, all there is, and nothing else.
  const { data } = await bench.backfill.listRecords({ job })
  expect(Object.keys(data)).toEqual(['records'])
  expect(data.records).toHaveLength(3 + 5 + 3)
})

test('where nobody knows what there was, a repo comes whole', async () => {
  const [did] = (await world.populate(pds, posts(3))) as [string]
  const first = await create([did], { method: 'list-records' })
  await pds.edit(did, { [pathOf(1)]: null })
  const { records, deleted, repos } = await changesOf({ job: await refresh(first) }, 2)
  expect(urisOf(records)).toEqual([uriOf(did, 0), uriOf(did, 2)])
  expect(deleted).toEqual([])
  expect(repos).toMatchObject([{ $type: complete, receipt: { did } }])
  expect(repos[0]).not.toHaveProperty('since')
})

test('a repo that is renewed between two pages begins anew', async () => {
  const [did] = (await world.populate(pds, posts(6))) as [string]
  const first = await create([did])
  const since = pds.revOf(did)
  await pds.edit(did, { [pathOf(1)]: null, [pathOf(2)]: post('two'), [pathOf(5)]: post('five') })
  const job = await refresh(first)
  const before = await page({ job }, 2)
  expect([urisOf(before.deleted), urisOf(before.records), before.repos]).toEqual([
    [uriOf(did, 1)],
    [uriOf(did, 2)],
    [],
  ])
  await pds.edit(did, { [pathOf(0)]: post('zero') })
  await create([did])
  const after = await page({ job }, 10, before.cursor)
  expect([urisOf(after.deleted), urisOf(after.records)]).toEqual([
    [uriOf(did, 1)],
    [uriOf(did, 0), uriOf(did, 2), uriOf(did, 5)],
  ])
  expect(after.repos).toMatchObject([
    { $type: 'network.example.backfill.listRecords#repoRestarted', did },
    { $type: complete, since, receipt: { rev: pds.revOf(did) } },
  ])
  // Where nothing was renewed it goes on.
  const [one, two] = [await page({ job }, 2), await page({ job }, 3)]
  const rest = await page({ job }, 10, one.cursor)
  expect([...urisOf(one.records), ...urisOf(rest.records)]).toEqual(urisOf(after.records))
  expect(rest.repos).toMatchObject([{ $type: complete }])
  expect((await page({ job }, 10, two.cursor)).deleted).toEqual([])
})

test('changes of a job that refreshes none are refused, and cursors of another kind', async () => {
  const [did] = (await world.populate(pds, posts(2))) as [string]
  const first = await create([did])
  const asked = (wish: object) => refusal(bench.backfill.listRecords({ job: first, limit: 1, ...wish }))
  expect(await asked({ changes: true })).toEqual(invalidRequest('changes', first))
  const whole = (await bench.backfill.listRecords({ job: first, limit: 1 })).data.cursor
  await pds.edit(did, { [pathOf(0)]: null, [pathOf(1)]: null })
  const job = await refresh(first)
  expect(await asked({ job, changes: true, cursor: whole })).toEqual(invalidRequest('cursor'))
  const { cursor } = await page({ job }, 1)
  expect(await asked({ job, cursor })).toEqual(invalidRequest('cursor'))
  expect(await page({ job }, 1, '999999')).toEqual({ records: [], deleted: [], repos: [], cursor: '' })
})
