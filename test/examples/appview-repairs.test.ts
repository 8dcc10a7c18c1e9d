import { encode, toBytes } from '@atcute/cbor'
import { fromString, toCidLink } from '@atcute/cid'
import { TID } from '@atproto/common-web'
import { afterAll, beforeAll, expect, test } from 'vitest'
import {
  type Account,
  createAccounts,
  deactivate,
  putRecord,
  putRecords,
} from '../support/network/accounts.js'
import { type Network, startNetwork } from '../support/network/network.js'
import { blockOf, textOf } from '../support/repo/block.js'
import { carOf } from '../support/repo/car.js'
import { startTestService, type TestService } from '../support/service.js'
import { AppView, eventuallyIn, eventuallyShows, STATUS } from './appview-support.js'

// What no PDS says, or not when it is wanted: the relay's firehose is a stand-in, everything else is real.

// What waits gives up late: two cores may be busy with other tests.
let network: Network
let service: TestService
let appView: AppView
/** Its receipt has a rev, because it takes more than one page. */
let large: Account
let small: Account
let third: Account

beforeAll(async () => {
  network = await startNetwork({ pdsCount: 1 })
  ;[large, small, third] = (await createAccounts(network.pdses[0]!, ['large-1', 'small-2', 'third-3'])) as [
    Account,
    Account,
    Account,
  ]
  await putRecords(large, STATUS, Array.from({ length: 150 }, status))
  await putRecords(small, STATUS, Array.from({ length: 3 }, status))
  await putRecords(third, STATUS, Array.from({ length: 2 }, status))
  service = await startTestService({ network, overrides: { sweepEveryMs: 300 } })
  appView = await AppView.create(service.url)
  appView.start()
  await eventuallyIn(
    appView,
    () => network.relay.firehose.listening,
    (listening) => listening === 1 && appView.progress().position !== null,
  )
})

afterAll(async () => {
  await appView?.[Symbol.asyncDispose]()
  await service?.[Symbol.asyncDispose]()
  await network?.[Symbol.asyncDispose]()
})

const status = () => ({ status: '🦋', createdAt: new Date(1e12).toISOString() })
const emit = (kind: string, body: object) => network.relay.firehose.emit(kind, body)
const uriOf = ({ did }: Account, rkey: string) => `at://${did}/${STATUS}/${rkey}`
const urisOf = ({ did }: Account) =>
  appView
    .rows()
    .map(({ uri }) => uri)
    .filter((uri) => uri.startsWith(`at://${did}/`))

/** An event that has come with everything before it, once what is told by its own record. */
const seen = (uri: string) =>
  eventuallyIn(appView, () => appView.rows().some((row) => row.uri === uri), Boolean)

/** A commit that writes one record, or none whose block is there. */
function commit(account: Account, rkey: string, rev = TID.nextStr(), fields: object = {}) {
  const record = blockOf(encode({ $type: STATUS, ...status() }))
  emit('#commit', {
    repo: account.did,
    rev,
    tooBig: false,
    ops: [{ action: 'create', path: `${STATUS}/${rkey}`, cid: toCidLink(fromString(textOf(record.cid))) }],
    blocks: toBytes(carOf([record.cid], [record])),
    ...fields,
  })
  return uriOf(account, rkey)
}

function sync(account: Account, tree: string) {
  const root = blockOf(encode({ did: account.did, data: toCidLink(fromString(tree)) }))
  emit('#sync', { did: account.did, rev: TID.nextStr(), blocks: toBytes(carOf([root.cid], [root])) })
}

test('an event that the backfill has seen does not count again', async () => {
  const old = commit(large, 'old', '2222222222222')
  await seen(commit(large, 'new'))
  expect(urisOf(large)).not.toContain(old)
})

test('an event counts that comes after a connection was lost', async () => {
  const { firehose } = network.relay
  firehose.stop()
  await seen(commit(third, 'after-the-cut'))
  expect(Number(firehose.connections.at(-1))).toBeGreaterThan(0)
})

const SOME_TREE = 'bafyreidfayvfuwqa7qlnopdjiqrxzs6blmoeu4rujcjtnci5beludirz2a'
const EMPTY_TREE = 'bafyreie5737gdxlw5i64vzichcalba3z2v5n6icifvx5xytvske7mr3hpm'

test('a repo is read again when its events do not say what it is', async () => {
  // None of these records is on a PDS any more, or was ever.
  expect(urisOf(large)).toContain(uriOf(large, 'new'))
  await putRecord(large, STATUS, 'unheard', status())
  sync(large, SOME_TREE)
  await putRecords(small, STATUS, [status()])
  commit(small, 'unnamed', undefined, { tooBig: true, ops: [], blocks: toBytes(new Uint8Array()) })
  commit(third, 'blockless', undefined, { blocks: toBytes(new Uint8Array()) })
  await eventuallyShows(appView, [large, small, third])
})

test('a repo that is said to be empty is', async () => {
  const asked = network.pdses[0]!.requests.total
  sync(third, EMPTY_TREE)
  await eventuallyIn(
    appView,
    () => urisOf(third),
    (uris) => uris.length === 0,
  )
  expect(network.pdses[0]!.requests.total).toBe(asked)
})

test('an account is known by its handle, hidden while it is away, and forgotten when it is deleted', async () => {
  emit('#identity', { did: small.did, handle: 'small.example.com' })
  emit('#account', { did: large.did, active: false, status: 'takendown' })
  await eventuallyIn(
    appView,
    () => urisOf(large),
    (uris) => uris.length === 0,
  )
  const authors = (await appView.latest()).map(({ author }) => author)
  expect(new Set(authors)).toEqual(new Set(['small.example.com']))
  await putRecord(large, STATUS, 'while-away', status())
  emit('#account', { did: large.did, active: true })
  await eventuallyShows(appView, [large, small])
  emit('#account', { did: small.did, active: false, status: 'deleted' })
  await eventuallyShows(appView, [large])
})

test('everything is read again when the relay no longer has what comes next', async () => {
  await putRecord(small, STATUS, 'in-the-gap', status())
  await putRecord(third, STATUS, 'in-the-gap', status())
  await deactivate(large)
  emit('#info', { name: 'OutdatedCursor' })
  await eventuallyShows(appView, [small, third])
  await seen(commit(small, 'and-on'))
})

test('a repo whose host does not answer stays as it is, and keeps nobody waiting', async () => {
  const pds = network.pdses[0]!
  const before = urisOf(small)
  await putRecord(third, STATUS, 'meanwhile', status())
  await pds.stop()
  sync(small, SOME_TREE)
  const output = () => appView.output.join('')
  await eventuallyIn(appView, output, (text) => text.includes(`${small.did}: connection-failed`))
  await pds.restart()
  sync(third, SOME_TREE)
  await seen(uriOf(third, 'meanwhile'))
  expect(urisOf(small)).toEqual(before)
})
