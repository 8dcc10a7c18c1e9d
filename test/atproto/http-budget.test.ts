import { randomBytes } from 'node:crypto'
import type { ServerResponse } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { gzipSync } from 'node:zlib'
import { describe, expect, test } from 'vitest'
import { decodeBody } from '../../src/atproto/http-body.js'
import { atRest, eventually } from '../support/wait.js'
import { client, httpServer } from './http-support.js'

const KiB = 1024
const MiB = 1024 * KiB
const BODIES = 6
const BODY = randomBytes(2 * MiB)
/** Sent at once; the rest when the test says so. */
const BEGINNING = BODY.length - 10

/** A host that sends bodies almost to their end, and a client that counts what it has taken of them. */
async function largeBodies() {
  const responses: ServerResponse[] = []
  const server = await httpServer((_request, response) => {
    responses.push(response)
    response.write(BODY.subarray(0, BEGINNING))
  })
  const received = new Map<string, number>()
  const onReceived = ({ pathname }: URL, bytes: number) =>
    void received.set(pathname, (received.get(pathname) ?? 0) + bytes)
  const http = client({ bodyBytes: MiB, onReceived })
  return {
    get: (n: number, { timeoutMs = 20_000, signal }: { timeoutMs?: number; signal?: AbortSignal } = {}) =>
      http.get({ url: `${server.origin}/${n}`, maxBytes: 4 * MiB, timeoutMs, signal }),
    taken: () => [...received.values()].reduce((sum, bytes) => sum + bytes, 0),
    /** How many have come as far as the host goes. */
    whole: () => [...received.values()].filter((bytes) => bytes >= BEGINNING).length,
    finish: () => {
      for (const response of responses.splice(0)) response.end(BODY.subarray(BEGINNING))
    },
  }
}

describe('bodies that are too large to be in memory all at once', () => {
  test('are read one after the other, and each to its end', async () => {
    const { get, taken, whole, finish } = await largeBodies()
    const reading = Promise.all(Array.from({ length: BODIES }, (_, n) => get(n)))
    await eventually(whole, (count) => count >= 1)
    await atRest(taken, 300)
    const before = taken()
    // One of them, the budget, and what each has before it is stopped.
    expect(before).toBeLessThan(BODY.length + MiB + BODIES * 256 * KiB)
    await sleep(300)
    expect(taken()).toBe(before)
    finish()
    for (const { body } of await reading) expect(body.equals(BODY)).toBe(true)
  })

  test('have their time nevertheless when they had to wait', async () => {
    const { get, whole, finish } = await largeBodies()
    const gone = new AbortController()
    const first = get(0, { signal: gone.signal })
    await eventually(whole, (count) => count === 1)
    const second = get(1, { timeoutMs: 1_300 })
    await sleep(1_500)
    expect(whole()).toBe(1)
    gone.abort(new Error('not wanted any more'))
    await expect(first).rejects.toThrow('not wanted any more')
    await eventually(whole, (count) => count === 2)
    finish()
    expect((await second).body.equals(BODY)).toBe(true)
  })

  test('leave their room to others when they are given up', async () => {
    const { get, whole, finish } = await largeBodies()
    for (let n = 0; n < 3; n += 1) {
      const gone = new AbortController()
      const reading = get(n, { signal: gone.signal })
      await eventually(whole, (count) => count === n + 1)
      gone.abort(new Error('not wanted any more'))
      await expect(reading).rejects.toThrow('not wanted any more')
    }
    const last = get(3)
    await eventually(whole, (count) => count === 4)
    finish()
    expect((await last).body.equals(BODY)).toBe(true)
  })

  test('need room for what they are once decoded; small ones do not ask for it', async () => {
    const asked: number[] = []
    const room = { roomFor: async (bytes: number) => void asked.push(bytes) }
    const decode = (bytes: number) =>
      decodeBody(gzipSync(Buffer.alloc(bytes)), 'gzip', 16 * MiB, 'pds.example', room)
    expect(await decode(MiB)).toHaveLength(MiB)
    expect(asked).toEqual([])
    expect(await decode(9 * MiB)).toHaveLength(9 * MiB)
    expect(asked).toEqual([16 * MiB])
  })
})
