import { afterAll, beforeAll, expect, test } from 'vitest'
import { collectRepos } from '../support/jobs.js'
import {
  type Account,
  createAccounts,
  deactivate,
  putRecords,
  type StoredRecord,
  takeDown,
} from '../support/network/accounts.js'
import { type Caller, createWebCaller } from '../support/network/caller.js'
import { type Network, startNetwork } from '../support/network/network.js'
import { startTestService } from '../support/service.js'
import { recordsOf, values } from './real-world.js'
import { expectRecords, finished, outcomes, SWEEP_EVERY_MS } from './support.js'

/** Signed readings of a real PDS. */

const STATUS = 'network.example.status'
const FOLLOW = 'network.example.graph.follow'
const LIKE = 'network.example.graph.like'
/** Between the two in the order of their characters, and not below the prefix. */
const GRAPHIC = 'network.example.graphic'

let network: Network
let caller: Caller
let rich: Account
let large: Account
let other: Account
let empty: Account
let off: Account
let down: Account
let there: Account[]
let all: string[]

beforeAll(async () => {
  network = await startNetwork({ pdsCount: 1 })
  caller = await createWebCaller()
  const [pds] = network.pdses
  const names = ['rich-1', 'large-1', 'other-1', 'empty-1', 'off-1', 'down-1']
  ;[rich, large, other, empty, off, down] = (await createAccounts(pds!, names)) as [
    Account,
    Account,
    Account,
    Account,
    Account,
    Account,
  ]
  there = [rich, large, other, empty]
  all = [...there, off, down].map(({ did }) => did)
  const { data } = await rich.agent.uploadBlob(Buffer.from('an image'), { encoding: 'image/png' })
  const { ref, mimeType, size } = data.blob
  const blob = { $type: 'blob', ref: { $link: ref.toString() }, mimeType, size }
  await putRecords(rich, STATUS, [
    { bytes: { $bytes: 'AAECAwQ' }, none: { $bytes: '' } },
    { link: { $link: 'bafyreigbtj4x7ip5legnfznufuopl4sg4knzc2cof6duas4b3q2fy6swua' } },
    { blob },
    { text: 'ünï€😀\u0000\u2028"\\', '😀': [null, true, -1, Number.MAX_SAFE_INTEGER, [], {}] },
  ])
  await putRecords(rich, FOLLOW, values(3), ['3self', 'a.b~c:d_e-f', 'Z'])
  await putRecords(large, STATUS, values(620))
  await putRecords(large, FOLLOW, values(150))
  await putRecords(large, LIKE, values(2))
  await putRecords(large, GRAPHIC, values(40))
  await putRecords(other, GRAPHIC, values(2))
  for (const account of [off, down]) await putRecords(account, STATUS, values(2))
  await deactivate(off)
  await takeDown(pds!, down.did)
})

afterAll(async () => {
  await caller?.[Symbol.asyncDispose]()
  await network?.[Symbol.asyncDispose]()
})

const sumOf = (counts: readonly { count: number }[]) => counts.reduce((sum, { count }) => sum + count, 0)

test.for(['auto', 'get-repo', 'sparse'])('%s gives every record of every scope, signed', async (method) => {
  await using service = await startTestService({ network, overrides: { sweepEveryMs: SWEEP_EVERY_MS } })
  const backfill = service.as(caller)
  // Each is wider than the one before, whose receipts do not cover it.
  const scopes: { collections?: string[]; holds: string[] }[] = [
    { collections: [STATUS, 'network.example.nothing'], holds: [STATUS] },
    { collections: ['network.example.graph.*'], holds: [FOLLOW, LIKE] },
    { holds: [STATUS, FOLLOW, LIKE, GRAPHIC] },
  ]
  for (const { collections, holds } of scopes) {
    const wish = { repos: all, level: 'signed', method, ...(collections && { collections }) }
    const { data } = await backfill.createJob(wish)
    const job = await finished(backfill, data.id)
    expect(await outcomes(backfill, job.id)).toEqual(
      new Map([
        ...there.map(({ did }) => [did, 'completed'] as const),
        [off.did, 'unavailable deactivated'],
        [down.did, 'unavailable takendown'],
      ]),
    )
    const expected: StoredRecord[] = await recordsOf(there, ...holds)
    expect(job.totalRecords).toBe(expected.length)
    await expectRecords({ backfill, api: service }, job.id, expected)
    for (const { did, receipt } of await collectRepos(backfill, job.id)) {
      if (!receipt) continue
      const latest = await network.pdses[0]!.agent.com.atproto.sync.getLatestCommit({ did })
      expect(receipt).toMatchObject({
        level: 'signed',
        rev: latest.data.rev,
        pdsEndpoint: network.pdses[0]!.url,
      })
      expect(receipt.dataCid).toMatch(/^bafyrei/)
      expect(method === 'auto' ? ['sparse', 'get-repo'] : [method]).toContain(receipt.method)
      const own = expected.filter(({ uri }) => uri.includes(did))
      expect([receipt.totalRecords, sumOf(receipt.counts)]).toEqual([own.length, own.length])
    }
  }
  const { rows } = await service.service.store.pool.query('select distinct level from record')
  expect(rows).toEqual([{ level: 'signed' }])
})
