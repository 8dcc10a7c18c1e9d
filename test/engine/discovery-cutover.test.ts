import { once } from 'node:events'
import { decodeFirst } from '@atcute/cbor'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import WebSocket from 'ws'
import type { StartCursor } from '../../codegen/client/types/network/example/backfill/defs.js'
import { collectRecords, collectRepos } from '../support/jobs.js'
import {
  type Account,
  createAccount,
  createAccounts,
  deleteRecord,
  putRecord,
  putRecords,
} from '../support/network/accounts.js'
import { createPlcCaller } from '../support/network/caller.js'
import { type Network, startNetwork } from '../support/network/network.js'
import type { TestPds } from '../support/network/pds.js'
import { startTestService } from '../support/service.js'
import { eventually } from '../support/wait.js'
import { recordsOf, values } from './real-world.js'
import { finished, LIKE, POST, SWEEP_EVERY_MS } from './support.js'

// Two cores may be busy with other tests.
vi.setConfig({ testTimeout: 120_000 })

let network: Network
let pds: TestPds

beforeAll(async () => {
  network = await startNetwork({ pdsCount: 1 })
  pds = network.pdses[0]!
})

afterAll(async () => {
  await network?.[Symbol.asyncDispose]()
})

/** What a consumer of a backfill keeps: the CID of each record, by URI. */
type Copy = Map<string, string>

const COLLECTIONS: ReadonlySet<string> = new Set([POST, LIKE])

interface Commit {
  readonly repo: string
  readonly rev: string
  readonly ops: readonly {
    readonly action: string
    readonly path: string
    readonly cid: { $link: string } | null
  }[]
}

/** Every commit of a firehose from a cursor on, up to the one that writes this record. */
async function replay({ relay, seq }: StartCursor, lastUri: string, apply: (commit: Commit) => void) {
  const url = new URL(`/xrpc/com.atproto.sync.subscribeRepos?cursor=${seq}`, relay)
  const socket = new WebSocket(url.href.replace(/^http/, 'ws'))
  const reachedEnd = Promise.withResolvers<void>()
  socket.on('error', reachedEnd.reject)
  socket.on('message', (frame: Buffer) => {
    const [header, rest] = decodeFirst(frame)
    const [body] = decodeFirst(rest)
    if (header.op !== 1) reachedEnd.reject(new Error(`the firehose says ${JSON.stringify(body)}`))
    if (header.t !== '#commit') return
    const commit: Commit = body
    apply(commit)
    if (commit.ops.some(({ path }) => `at://${commit.repo}/${path}` === lastUri)) reachedEnd.resolve()
  })
  try {
    await reachedEnd.promise
  } finally {
    const closed = once(socket, 'close')
    socket.close()
    await closed
  }
}

/** The rule of a cutover: an event counts if it is newer than the repo's receipt, or where that has no rev. */
function applyTo(copy: Copy, revs: ReadonlyMap<string, string>) {
  const applied = { commits: 0, passedOver: 0 }
  const apply = ({ repo, rev, ops }: Commit) => {
    const known = revs.get(repo)
    if (known !== undefined && rev <= known) {
      applied.passedOver += 1
      return
    }
    applied.commits += 1
    for (const { action, path, cid } of ops) {
      if (!COLLECTIONS.has(path.slice(0, path.indexOf('/')))) continue
      const uri = `at://${repo}/${path}`
      if (action === 'delete') copy.delete(uri)
      else copy.set(uri, cid!.$link)
    }
  }
  return { applied, apply }
}

const rkey = (n: number) => `r${String(n).padStart(5, '0')}`

/** Writes, changes and deletes in a repo, differently in each round. */
async function change(account: Account, round: number): Promise<void> {
  await putRecord(account, POST, `live-${round}`, { round })
  await putRecord(account, POST, rkey(round * 50), { changed: round })
  await deleteRecord(account, POST, rkey(round * 50 + 1))
  await deleteRecord(account, POST, `live-${round - 1}`)
  await putRecord(account, LIKE, 'the-same', { round })
}

test('a backfill and a replay of the firehose from its start make the world, whatever happened meanwhile', async () => {
  const accounts = await createAccounts(pds, ['large-1', 'middle-2', 'small-3', 'empty-4'])
  const sizes = [450, 160, 40, 0]
  for (const [index, account] of accounts.entries()) {
    const count = sizes[index]!
    await putRecords(
      account,
      POST,
      values(count),
      Array.from({ length: count }, (_, n) => rkey(n)),
    )
  }
  // The host's own firehose is the relay's.
  const environment = { RELAYS: pds.url, HOST_CONCURRENCY: '1' }
  await using service = await startTestService({
    network,
    environment,
    overrides: { sweepEveryMs: SWEEP_EVERY_MS, quietMs: 500 },
  })
  const backfill = service.as(await createPlcCaller(network.plc))
  const collections = [...COLLECTIONS]
  // Nobody asks the host, until it may be asked.
  const { pool } = service.service.store
  await pool.query(`insert into host (origin, next_request_at) values ($1, 'infinity')`, [pds.url])
  const { data } = await backfill.createJob({ collections, hosts: [new URL(pds.url).host] })
  const look = async () => (await backfill.getJobStatus({ job: data.id })).data
  const changeAll = (round: number) => Promise.all(accounts.map((account) => change(account, round)))
  // Before any of it is read, when the first repo has been, and when all have.
  await eventually(look, ({ startCursors }) => startCursors?.length === 1)
  await backfill.pauseJob({ job: data.id })
  await eventually(look, ({ status }) => status === 'paused')
  await changeAll(1)
  const late = await createAccount(pds, 'late-5')
  await putRecords(late, POST, values(3))
  await pool.query(`update host set next_request_at = '-infinity' where origin = $1`, [pds.url])
  await backfill.resumeJob({ job: data.id })
  await eventually(look, ({ completedRepos }) => completedRepos > 0)
  await changeAll(2)
  const job = await finished(backfill, data.id)
  await changeAll(3)
  const last = await putRecord(late, POST, 'last', {})
  expect(job).toMatchObject({ status: 'completed' })
  expect(job.startCursors).toEqual([{ relay: pds.url, seq: expect.any(Number) }])

  const copy: Copy = new Map()
  for (const { uri, cid } of await collectRecords(backfill, { job: data.id })) copy.set(uri, cid)
  const receipts = (await collectRepos(backfill, data.id)).map(
    ({ did, receipt }) => [did, receipt?.rev] as const,
  )
  const revs = new Map(receipts.filter((entry): entry is [string, string] => entry[1] !== undefined))
  const world = async () => {
    const records = await recordsOf([...accounts, late], ...collections)
    return new Map(records.map(({ uri, cid }) => [uri, cid]))
  }
  expect(copy).not.toEqual(await world())
  const { applied, apply } = applyTo(copy, revs)
  await replay(job.startCursors![0]!, last.uri, apply)
  expect(copy).toEqual(await world())
  // Both sides of the rule were needed: events that a receipt covers, and events that none does.
  expect(revs.size).toBeGreaterThan(0)
  expect(applied.commits).toBeGreaterThan(0)
  expect(applied.passedOver).toBeGreaterThan(0)
})
