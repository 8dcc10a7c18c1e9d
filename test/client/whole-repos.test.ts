import { type Frame, MessageFrame } from '@atproto/xrpc-server'
import { expect, test } from 'vitest'
import type { RepoMessage } from '../../src/client/index.js'
import { JOB, sending, startStreaming } from './stream-support.js'
import { collect, scriptedClient } from './support.js'

/** `client.repos`: each repo once, with all of its records. */

const CID = 'bafyreidfayvfuwqa7qlnopdjiqrxzs6blmoeu4rujcjtnci5beludirz2a'
const [A, B] = ['did:web:a.test', 'did:web:b.test']

const frame = (name: string, body: object): Frame => new MessageFrame(body as never, { type: `#${name}` })
const part = (seq: number, number: number, did: string, ...keys: string[]) =>
  frame('records', {
    ...{ seq, part: number, did, level: 'content' },
    records: keys.map((key) => ({ uri: `at://${did}/com.example.post/${key}`, cid: CID, value: {} })),
  })
const deleted = (seq: number, number: number, did: string, key: string) =>
  frame('recordsDeleted', {
    seq,
    part: number,
    did,
    records: [{ uri: `at://${did}/com.example.post/${key}` }],
  })
const receipt = {
  ...{ counts: [], totalRecords: 1, method: 'list-records', level: 'content' },
  ...{ pdsEndpoint: 'https://pds.example', completedAt: '2030-01-01T00:00:00.000Z' },
}
const closed = (seq: number, did: string) => frame('repoComplete', { seq, receipt: { did, ...receipt } })
const gone = (seq: number, did: string) => frame('repoUnavailable', { seq, did, reason: 'deleted' })
const ended = frame('jobCompleted', { status: 'completed' })

const keysOf = (records: readonly { uri: string }[]) => records.map(({ uri }) => uri.at(-1)).join('')
const brief = (message: RepoMessage) => {
  if (message.type === 'repo')
    return `${message.seq} ${message.did} +${keysOf(message.records)} -${keysOf(message.deleted)}`
  return 'seq' in message ? `${message.type} ${message.seq}` : message.type
}

async function reposOf(...connections: (Frame | number)[][]): Promise<string[]> {
  await using service = await startStreaming(...connections.map((steps) => sending(...steps)))
  const client = await scriptedClient(service.url)
  return (await collect(client.repos(JOB))).map(brief)
}

test('a repo comes when it is closed, with all that came of it', async () => {
  const frames = [part(1, 0, A, 'a', 'b'), part(1, 1, A, 'c'), deleted(1, 2, A, 'd'), closed(1, A)]
  expect(await reposOf([...frames, closed(2, B), gone(3, A), ended])).toEqual([
    `1 ${A} +abc -d`,
    `2 ${B} + -`,
    'repoUnavailable 3',
    'jobCompleted',
  ])
})

test('what came of a repo that begins anew does not count', async () => {
  expect(
    await reposOf([part(1, 0, A, 'a'), part(1, 1, A, 'b'), part(1, 0, A, 'c'), closed(1, A), ended]),
  ).toEqual([`1 ${A} +c -`, 'jobCompleted'])
  expect(await reposOf([part(1, 0, A, 'a'), part(2, 0, B, 'b'), closed(2, B), closed(3, A), ended])).toEqual([
    `2 ${B} +b -`,
    `3 ${A} + -`,
    'jobCompleted',
  ])
})

test('nor what came before a connection was lost, even if nothing is left of it', async () => {
  expect(await reposOf([part(1, 0, A, 'a'), 1012], [closed(1, A), ended])).toEqual([
    `1 ${A} + -`,
    'jobCompleted',
  ])
})
