import { describe, expect, test } from 'vitest'
import { HttpFailure, type HttpRequest, type HttpResponse } from '../../src/atproto/http.js'
import { Failure, RateLimited } from '../../src/atproto/outcome.js'
import type { EngineContext } from '../../src/engine/context.js'
import type { Gate, Passage } from '../../src/engine/gate.js'
import { hostCar } from '../../src/engine/session.js'

const ORIGIN = 'https://pds.example'
const GET_REPO = 'com.atproto.sync.getRepo'
const NOW = Date.UTC(2026, 0, 2, 3, 4, 5)
const MINUTE_MS = 60_000

type Answer = { status: number; headers?: Record<string, string>; body?: string } | Error

/** A host that gives these answers in turn; a body goes to the sink, if there is one. */
function host(answers: readonly Answer[]) {
  const requests: HttpRequest[] = []
  const told: string[] = []
  const left = [...answers]
  const get = async (request: HttpRequest): Promise<HttpResponse> => {
    requests.push(request)
    const answer = left.shift()!
    if (answer instanceof Error) throw answer
    const { status, headers = {} } = answer
    const body = Buffer.from(answer.body ?? '')
    if (!request.sink || status !== 200) return { status, headers, body }
    await request.sink(body, new AbortController().signal)
    return { status, headers, body: Buffer.alloc(0) }
  }
  const passage: Passage = {
    answered: async () => void told.push('answered'),
    refused: async () => {
      told.push('refused')
      return new Date(NOW + 1_000)
    },
    failed: async () => {
      told.push('failed')
      return null
    },
    dropped: () => void told.push('dropped'),
  }
  const pass = async (_signal: AbortSignal, method: string) => {
    told.push(method.slice(method.lastIndexOf('.') + 1))
    return passage
  }
  const gate = { patienceMs: 90_000, pass, passNow: () => null } as unknown as Gate
  const ctx = { http: { get }, now: () => NOW, random: () => 0 } as unknown as EngineContext
  const signals = { stop: new AbortController().signal, hold: new AbortController().signal }
  return { car: hostCar(ctx, ORIGIN, gate, signals), requests, told }
}

describe('a query for bytes', () => {
  test('names each of several values, and asks for a CAR', async () => {
    const { car, requests } = host([{ status: 200, body: 'bytes' }])
    const params = { did: 'did:plc:a', cids: ['one', 'two'], since: undefined }
    const answer = await car('com.atproto.sync.getBlocks', params, 1_000)
    expect(answer).toEqual({ ok: true, body: Buffer.from('bytes') })
    const url = `${ORIGIN}/xrpc/com.atproto.sync.getBlocks?did=did%3Aplc%3Aa&cids=one&cids=two`
    expect(String(requests[0]!.url)).toBe(url)
    expect(requests[0]).toMatchObject({ maxBytes: 1_000, timeoutMs: MINUTE_MS })
    expect(requests[0]!.accept).toMatch(/^application\/vnd\.ipld\.car\b/)
  })

  test('has a quarter of an hour where it is streamed', async () => {
    const { car, requests, told } = host([{ status: 200, body: 'a repo' }])
    const pieces: string[] = []
    const answer = await car(GET_REPO, {}, 1_000, (piece) => void pieces.push(piece.toString()))
    expect(answer).toEqual({ ok: true, body: Buffer.alloc(0) })
    expect(pieces).toEqual(['a repo'])
    expect(requests[0]!.timeoutMs).toBe(15 * MINUTE_MS)
    expect(told).toEqual(['getRepo', 'answered'])
  })

  test('waits its turn again when it is refused', async () => {
    const { car, told } = host([{ status: 429 }, { status: 429 }, { status: 200, body: 'a repo' }])
    const pieces: string[] = []
    await car(GET_REPO, {}, 1_000, (piece) => void pieces.push(piece.toString()))
    expect(pieces).toEqual(['a repo'])
    expect(told).toEqual(['getRepo', 'refused', 'getRepo', 'refused', 'getRepo', 'answered'])
  })

  test('is given up when it is refused too often', async () => {
    const { car } = host(Array(5).fill({ status: 429 }))
    await expect(car(GET_REPO, {}, 1_000)).rejects.toBeInstanceOf(RateLimited)
  })

  test.each([
    [400, '{"error":"RepoTakendown","message":"no"}', 'RepoTakendown', 'no'],
    [501, '{"error":"MethodNotImplemented"}', 'MethodNotImplemented', ''],
    [501, '', '', ''],
    [404, '<h1>Not Found</h1>', '', '<h1>Not Found</h1>'],
    [405, 'no', '', 'no'],
  ])('may be refused for good: %d %s', async (status, body, error, message) => {
    const { car, told } = host([{ status, body }])
    expect(await car(GET_REPO, {}, 1_000)).toEqual({ ok: false, status, error, message })
    expect(told).toEqual(['getRepo', 'answered'])
  })

  test.each([
    [500, '{"error":"InternalServerError"}', 'host-error', 'failed'],
    [503, '', 'host-error', 'failed'],
    [403, 'Just a moment...', 'bad-response', 'answered'],
    [206, 'a part', 'bad-response', 'answered'],
  ])('may fail: %d %s', async (status, body, failure, word) => {
    const { car, told } = host([{ status, body }])
    await expect(car(GET_REPO, {}, 1_000)).rejects.toMatchObject({ failure })
    expect(told).toEqual(['getRepo', word])
  })

  test.each([
    ['timeout', 'failed'],
    ['too-slow', 'failed'],
    ['connection-failed', 'failed'],
    ['body-too-large', 'dropped'],
    ['bad-response', 'dropped'],
  ] as const)('may end without an answer: %s', async (failure, word) => {
    const { car, told } = host([new HttpFailure(failure, 'it is so')])
    await expect(car(GET_REPO, {}, 1_000)).rejects.toMatchObject({ name: 'Failure', failure })
    expect(told).toEqual(['getRepo', word])
  })

  test('what the sink throws is thrown, and not held against the host', async () => {
    const { car, told } = host([{ status: 200, body: 'not a CAR' }])
    const error = new Failure('bad-response', 'not a CAR')
    const sink = () => {
      throw error
    }
    await expect(car(GET_REPO, {}, 1_000, sink)).rejects.toBe(error)
    expect(told).toEqual(['getRepo', 'dropped'])
  })
})
