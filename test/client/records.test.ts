import { createHash } from 'node:crypto'
import type { ServerResponse } from 'node:http'
import { ErrorFrame, type Frame, MessageFrame } from '@atproto/xrpc-server'
import { describe, expect, test } from 'vitest'
import {
  type ExportMessage,
  FutureCursor,
  IncompleteExport,
  InvalidResponse,
  JobNotFound,
  type RecordMessage,
} from '../../src/client/index.js'
import { JOB, sending, startStreaming, whileOpen } from './stream-support.js'
import { claimsOf, collect, refuse, type Step, scriptedClient, startScripted } from './support.js'

const DID = 'did:web:a.test'
const CID = 'bafyreidfayvfuwqa7qlnopdjiqrxzs6blmoeu4rujcjtnci5beludirz2a'

const recordOf = (n: number) => ({ uri: `at://${DID}/com.example.post/${n}`, cid: CID, value: { n } })

const receipt = {
  did: DID,
  counts: [],
  totalRecords: 1,
  method: 'list-records',
  level: 'content',
  pdsEndpoint: 'https://pds.example',
  completedAt: '2030-01-01T00:00:00.000Z',
}

const frame = (name: string, body: object): Frame => new MessageFrame(body as never, { type: `#${name}` })
const part = (seq: number, number: number, ...records: object[]) =>
  frame('records', { seq, part: number, did: DID, level: 'content', records })
const closed = (seq: number) => frame('repoComplete', { seq, receipt })
const failed = (seq: number) =>
  frame('repoFailed', { seq, did: DID, class: 'timeout', message: 'late', retryable: true })
const ended = frame('jobCompleted', { status: 'completed' })

const brief = (message: RecordMessage) => ('seq' in message ? `${message.type} ${message.seq}` : message.type)

describe('records', () => {
  test('come in typed messages, to the end of the job', async () => {
    await using service = await startStreaming(
      sending(part(3, 0, recordOf(1), recordOf(2)), closed(3), failed(4), ended, closed(9)),
    )
    const client = await scriptedClient(service.url)
    const messages = await collect(
      client.records(JOB, { collection: 'com.example.post', repo: `at://${DID}` }),
    )
    expect(messages.map(brief)).toEqual(['records 3', 'repoComplete 3', 'repoFailed 4', 'jobCompleted'])
    expect(messages[0]).toEqual({
      type: 'records',
      seq: 3,
      part: 0,
      did: DID,
      level: 'content',
      records: [recordOf(1), recordOf(2)],
    })
    const [{ url }] = service.arrivals as [(typeof service.arrivals)[0]]
    expect(url.pathname).toBe('/xrpc/network.example.backfill.subscribeRecords')
    expect(Object.fromEntries(url.searchParams)).toEqual({
      job: JOB,
      collection: 'com.example.post',
      repo: DID,
    })
  })

  test('after a lost connection go on behind the last repo that was closed, with a fresh token', async () => {
    await using service = await startStreaming(
      sending(part(3, 0, recordOf(1)), closed(3), failed(4), part(7, 0, recordOf(2)), 1012),
      sending(part(7, 0, recordOf(2)), closed(7), new ErrorFrame({ error: 'ConsumerTooSlow' })),
      sending(ended),
    )
    const client = await scriptedClient(service.url)
    const messages = await collect(client.records(JOB, { cursor: 1 }))
    expect(messages.map(brief)).toEqual([
      'records 3',
      'repoComplete 3',
      'repoFailed 4',
      'records 7',
      'records 7',
      'repoComplete 7',
      'jobCompleted',
    ])
    expect(service.arrivals.map(({ url }) => url.searchParams.get('cursor'))).toEqual(['1', '4', '7'])
    const tokens = service.arrivals.map((arrival) => claimsOf(arrival as never))
    expect(new Set(tokens.map(({ jti }) => jti)).size).toBe(3)
    expect(tokens[0]!.lxm).toBe('network.example.backfill.subscribeRecords')
  })

  test('are acknowledged by returning, one message at a time', async () => {
    await using service = await startStreaming(
      sending(part(3, 0, recordOf(1)), closed(3), 1012),
      sending(part(5, 0, recordOf(2)), closed(5), ended),
    )
    const client = await scriptedClient(service.url)
    const taken: string[] = []
    let busy = 0
    const end = await client.consumeRecords(JOB, async (message) => {
      busy += 1
      await new Promise((resolve) => setTimeout(resolve, 5))
      expect(busy).toBe(1)
      taken.push(brief(message))
      busy -= 1
    })
    expect(end).toMatchObject({ type: 'jobCompleted', status: 'completed' })
    expect(taken).toEqual(['records 3', 'repoComplete 3', 'records 5', 'repoComplete 5', 'jobCompleted'])
  })

  test('stop where the function fails, and the connection is closed', async () => {
    await using service = await startStreaming(async function* (connection) {
      yield part(3, 0, recordOf(1))
      yield closed(3)
      await whileOpen(connection)
    })
    const client = await scriptedClient(service.url)
    const taking = client.consumeRecords(JOB, ({ type }) => {
      if (type === 'repoComplete') throw new Error('the disk is full')
    })
    await expect(taking).rejects.toThrow('the disk is full')
    expect(service.arrivals).toHaveLength(1)
  })

  test.each([
    ['FutureCursor', FutureCursor],
    ['JobNotFound', JobNotFound],
  ])('%s ends them', async (error, type) => {
    await using service = await startStreaming(sending(new ErrorFrame({ error, message: 'because' })))
    const client = await scriptedClient(service.url)
    await expect(collect(client.records(JOB))).rejects.toBeInstanceOf(type)
  })

  test.each([
    ['no list', { records: 'none' }],
    ['no URI', { records: [{ cid: CID }] }],
    ['no number', { records: [], seq: 'x' }],
  ])('with %s are an InvalidResponse', async (_, fields) => {
    const wrong = frame('records', { seq: 1, part: 0, did: DID, level: 'content', ...fields })
    await using service = await startStreaming(sending(wrong))
    const client = await scriptedClient(service.url)
    await expect(collect(client.records(JOB))).rejects.toBeInstanceOf(InvalidResponse)
  })
})

const line = (name: string, fields: object) =>
  `${JSON.stringify({ $type: `network.example.backfill.exportRecords#${name}`, ...fields })}\n`

const recordLines = (from: number, to: number) =>
  Array.from({ length: to - from }, (_, n) => `${JSON.stringify(recordOf(from + n))}\n`).join('')

const trailer = (text: string, records: number, fields: object = {}) =>
  line('trailer', {
    records,
    sha256: createHash('sha256').update(text).digest('hex'),
    cursor: 8,
    jobEnded: true,
    ...fields,
  })

/** Answers with a text, cut into pieces at odd places; then breaks off, where that is wanted. */
const answering =
  (text: string, { pieceBytes = 7_919, cut = false } = {}): Step =>
  async (response: ServerResponse) => {
    response.writeHead(200, { 'content-type': 'application/jsonl' })
    const bytes = Buffer.from(text)
    for (let at = 0; at < bytes.length; at += pieceBytes) {
      await new Promise<void>((resolve) => {
        response.write(bytes.subarray(at, at + pieceBytes), () => resolve())
      })
    }
    if (cut) response.destroy()
    else response.end()
  }

const CONTENT = recordLines(0, 500) + line('repoComplete', { cursor: 5, receipt }) + recordLines(500, 900)

async function exporting(step: Step, params = {}) {
  const service = await startScripted(step)
  const client = await scriptedClient(service.url, { retry: { attempts: 1 } })
  const messages: ExportMessage[] = []
  let error: unknown = null
  try {
    for await (const message of client.exportRecords(JOB, params)) messages.push(message)
  } catch (thrown) {
    error = thrown
  }
  const [request] = service.requests
  await service[Symbol.asyncDispose]()
  return { messages, error, request: request! }
}

const countOf = (messages: readonly ExportMessage[]) =>
  messages.reduce((sum, message) => sum + (message.type === 'records' ? message.records.length : 0), 0)

describe('an export', () => {
  test.each([1, 7, 7_919, 1_000_000])('is given whole, in pieces of %i bytes too', async (pieceBytes) => {
    const content = pieceBytes === 1 ? recordLines(0, 5) : CONTENT
    const count = pieceBytes === 1 ? 5 : 900
    const step = answering(content + trailer(content, count), { pieceBytes })
    const { messages, error, request } = await exporting(step, { cursor: 2, repo: `@${DID}` })
    expect(error).toBeNull()
    expect(countOf(messages)).toBe(count)
    const records = messages.flatMap((message) => (message.type === 'records' ? message.records : []))
    expect(records[3]).toEqual(recordOf(3))
    expect(messages.at(-1)).toMatchObject({ type: 'trailer', records: count, cursor: 8, jobEnded: true })
    expect(Object.fromEntries(request.url.searchParams)).toEqual({ job: JOB, cursor: '2', repo: DID })
    expect(request.headers['accept-encoding']).toBe('identity')
  })

  test.each([
    ['cut in the middle', answering(CONTENT, { cut: true }), 5],
    ['ended without a trailer', answering(CONTENT), 5],
    ['cut in a line', answering(CONTENT.slice(0, -20)), 5],
    ['cut before any repo was whole', answering(recordLines(0, 10)), undefined],
    ['with another hash', answering(CONTENT + trailer(`${CONTENT} `, 900)), 5],
    ['with a record too few', answering(CONTENT + trailer(CONTENT, 901)), 5],
    ['with more behind its trailer', answering(`${CONTENT}${trailer(CONTENT, 900)}${recordLines(0, 1)}`), 5],
  ] as const)('%s is an IncompleteExport that says where to go on', async (_, step, cursor) => {
    const { error } = await exporting(step)
    expect(error).toBeInstanceOf(IncompleteExport)
    expect((error as IncompleteExport).cursor).toBe(cursor)
  })

  test('names a repo that began again', async () => {
    const content = recordLines(0, 2) + line('repoRestarted', { did: DID }) + recordLines(0, 2)
    const { messages } = await exporting(answering(content + trailer(content, 4)))
    expect(messages.map(({ type }) => type)).toEqual(['records', 'repoRestarted', 'records', 'trailer'])
  })

  test('that is refused is refused by name; what is no JSON is an InvalidResponse', async () => {
    expect((await exporting(refuse(400, 'JobNotFound'))).error).toBeInstanceOf(JobNotFound)
    expect((await exporting(answering('<html>\n'))).error).toBeInstanceOf(InvalidResponse)
  })

  test('ends when its reader leaves', async () => {
    const service = await startScripted(answering(recordLines(0, 100_000)))
    const client = await scriptedClient(service.url)
    for await (const message of client.exportRecords(JOB)) if (message.type === 'records') break
    await service[Symbol.asyncDispose]()
  })
})
