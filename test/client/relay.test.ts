import { encode, toBytes } from '@atcute/cbor'
import { fromString, toCidLink } from '@atcute/cid'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { EventsMissing, followRelay, type RelayEvent, type RelayOptions } from '../../src/client/index.js'
import { startRelay, type TestRelay } from '../support/network/relay.js'
import { blockOf, textOf } from '../support/repo/block.js'
import { carOf } from '../support/repo/car.js'

/** `followRelay`: what a firehose says, event by event. */

const DID = 'did:web:a.test'
const POST = 'com.example.post'
const LIKE = 'com.example.like'
const REV = '3kaaaaaaaaaaa'

let relay: TestRelay

beforeEach(async () => {
  relay = await startRelay()
  relay.firehose.quiet = true
})

afterEach(() => relay[Symbol.asyncDispose]())

/** A commit that writes a record under each of these paths, and deletes it where there is no value. */
function commit(writes: Record<string, object | null>, fields: object = {}): void {
  const records = Object.entries(writes).map(([path, value]) => {
    const block = value && blockOf(encode(value))
    return { path, block, cid: block && toCidLink(fromString(textOf(block.cid))) }
  })
  const blocks = records.flatMap(({ block }) => block ?? [])
  relay.firehose.emit('#commit', {
    ...{ repo: DID, rev: REV, tooBig: false },
    ops: records.map(({ path, cid }) => ({ action: cid ? 'create' : 'delete', path, cid })),
    blocks: toBytes(carOf(blocks[0] ? [blocks[0].cid] : [], blocks)),
    ...fields,
  })
}

/** The next events behind a cursor. */
async function next(count: number, options: RelayOptions = {}): Promise<RelayEvent[]> {
  const events: RelayEvent[] = []
  for await (const event of followRelay(relay.url, { cursor: 0, ...options })) {
    events.push(event)
    if (events.length === count) break
  }
  return events
}

test('commits say what they change in the collections that are wanted', async () => {
  const value = { $type: POST, text: 'hello', link: toCidLink(fromString(EMPTY_TREE)) }
  commit({ [`${POST}/a`]: value, [`${POST}/b`]: null, [`${LIKE}/c`]: { $type: LIKE } })
  commit({ [`${LIKE}/c`]: null })
  const [first, second] = await next(2, { collections: [POST] })
  expect(first).toMatchObject({ type: 'commit', seq: 1, did: DID, rev: REV })
  expect(JSON.parse(JSON.stringify(first))).toMatchObject({
    changes: [
      {
        uri: `at://${DID}/${POST}/a`,
        cid: expect.stringMatching(/^bafyrei/),
        value: { ...value, link: { $link: EMPTY_TREE } },
      },
      { uri: `at://${DID}/${POST}/b` },
    ],
  })
  expect(second).toMatchObject({ seq: 2, changes: [] })
  const [all] = await next(1)
  expect(all).toMatchObject({ changes: [{}, {}, { uri: `at://${DID}/${LIKE}/c` }] })
})

test('a commit that does not say what it changes says that', async () => {
  commit({}, { tooBig: true })
  commit({ [`${POST}/a`]: {} }, { blocks: toBytes(new Uint8Array()) })
  commit({ [`${POST}/a`]: {} }, { blocks: toBytes(Uint8Array.of(0xff)) })
  for (const event of await next(3)) expect(event).toMatchObject({ type: 'commit', changes: null })
})

const EMPTY_TREE = 'bafyreie5737gdxlw5i64vzichcalba3z2v5n6icifvx5xytvske7mr3hpm'

test('accounts, handles, and repos that are not what their commits say', async () => {
  const sync = (tree: string) => {
    const root = blockOf(encode({ did: DID, data: toCidLink(fromString(tree)) }))
    relay.firehose.emit('#sync', { did: DID, rev: REV, blocks: toBytes(carOf([root.cid], [root])) })
  }
  sync(EMPTY_TREE)
  sync('bafyreidfayvfuwqa7qlnopdjiqrxzs6blmoeu4rujcjtnci5beludirz2a')
  relay.firehose.emit('#of-later', { did: DID })
  relay.firehose.emit('#account', { did: DID, active: false, status: 'takendown' })
  relay.firehose.emit('#identity', { did: DID, handle: 'a.test' })
  expect(await next(4)).toEqual([
    { type: 'sync', seq: 1, did: DID, rev: REV, isEmpty: true },
    { type: 'sync', seq: 2, did: DID, rev: REV, isEmpty: false },
    { type: 'account', seq: 4, did: DID, active: false, status: 'takendown' },
    { type: 'identity', seq: 5, did: DID, handle: 'a.test' },
  ])
})

test('a lost connection is made again behind the last event, and nothing is missed', async () => {
  const { firehose } = relay
  for (let n = 0; n < 3; n += 1) firehose.emit('#identity', { did: DID })
  const seen: number[] = []
  let lost = 0
  for await (const { seq } of followRelay(relay.url, { cursor: 1, onReconnect: () => (lost += 1) })) {
    seen.push(seq)
    if (seq === 3) {
      firehose.stop()
      firehose.emit('#identity', { did: DID })
    }
    if (seq === 4) break
  }
  expect(seen).toEqual([2, 3, 4])
  expect(lost).toBeGreaterThan(0)
  expect(firehose.connections).toEqual(['1', ...Array.from({ length: lost }, () => '3')])
})

test('events that the relay no longer has are an error', async () => {
  relay.firehose.emit('#info', { name: 'OutdatedCursor' })
  const failure = next(1, { cursor: 0 })
  await expect(failure).rejects.toThrow(EventsMissing)
  await expect(failure).rejects.toMatchObject({
    name: 'OutdatedCursor',
    message: `${relay.url} does not have what comes after 0`,
  })
})

test('it ends with the signal, and refuses what is no origin', async () => {
  const stop = new AbortController()
  const waiting = next(1, { signal: stop.signal })
  stop.abort(new Error('enough'))
  await expect(waiting).rejects.toThrow('enough')
  await expect(followRelay('relay.example').next()).rejects.toThrow(TypeError)
})
