import { createHash } from 'node:crypto'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { describe, expect, onTestFinished, test } from 'vitest'
import { Firehose } from '../support/network/firehose.js'
import { LoopbackServer, sendError } from '../support/network/loopback.js'
import { eventually } from '../support/wait.js'
import { client, failureOf, guardedClient, httpServer, PUBLIC } from './http-support.js'

const first = { maxBytes: 1_000, connectMs: 5_000, forMs: 5_000, onMessage: (message: Buffer) => message }

/** A stand-in's firehose. */
async function streaming(): Promise<{ url: string; firehose: Firehose }> {
  const firehose = new Firehose()
  const server = await LoopbackServer.start(
    (_url, _request, response) => sendError(response, 404, 'NotFound', 'no'),
    (...upgrade) => firehose.accept(...upgrade),
  )
  onTestFinished(() => {
    firehose.stop()
    return server.stop()
  })
  return { url: `${server.url}/stream`, firehose }
}

describe('listening to a WebSocket', () => {
  test('gives the first message that is wanted, and lets go of the connection', async () => {
    const { url, firehose } = await streaming()
    let seen = 0
    const listened = await client().listen({
      ...first,
      url,
      onMessage: () => {
        seen += 1
        return seen === 3 ? 'the third' : undefined
      },
    })
    expect(listened).toEqual({ kind: 'heard', value: 'the third' })
    await eventually(
      () => firehose.listening,
      (count) => count === 0,
    )
  })

  test('ends after its time where nothing comes', async () => {
    const { url, firehose } = await streaming()
    firehose.quiet = true
    expect(await client().listen({ ...first, url, forMs: 100 })).toEqual({ kind: 'silence' })
    await eventually(
      () => firehose.listening,
      (count) => count === 0,
    )
  })

  test('tells a refusal with its status and headers, and follows no redirect', async () => {
    const elsewhere = await httpServer((_request, response) => response.end())
    for (const [status, headers] of [
      [200, {}],
      [429, { 'retry-after': '7' }],
      [302, { location: `${elsewhere.origin}/` }],
    ] as const) {
      const server = await httpServer((_request, response) => response.writeHead(status, headers).end('no'))
      const listened = await client().listen({ ...first, url: server.origin })
      expect(listened).toMatchObject({ kind: 'refused', status, headers })
    }
    expect(elsewhere.connections).toBe(0)
  })

  test('goes to public addresses by https only, whatever a name resolves to', async () => {
    const server = await httpServer((_request, response) => response.end())
    const { http, dialled } = guardedClient({ 'inside.acme.dev': ['10.0.0.1'], 'pds.acme.dev': [PUBLIC] })
    for (const url of [
      server.origin,
      `http://pds.acme.dev:${server.port}`,
      'https://inside.acme.dev',
      'https://[::1]',
    ]) {
      expect((await failureOf(http.listen({ ...first, url }))).failure, url).toBe('host-blocked')
    }
    expect(dialled).toEqual([])
    expect(server.connections).toBe(0)
  })

  test('is over at once when it is aborted, connected or not', async () => {
    const { url, firehose } = await streaming()
    firehose.quiet = true
    const mute = await handshaking(() => {})
    for (const each of [url, mute.origin]) {
      const controller = new AbortController()
      const listening = client().listen({ ...first, url: each, signal: controller.signal })
      setTimeout(() => controller.abort(new Error('enough')), 100)
      await expect(listening).rejects.toThrow('enough')
    }
  })

  test.each<[string, (socket: Socket, accept: string) => void, string]>([
    ['never answers', () => {}, 'timeout'],
    ['hangs up', (socket) => socket.destroy(), 'connection-failed'],
    ['takes it and hangs up', (socket, accept) => socket.end(handshake(accept)), 'connection-failed'],
    ['takes somebody else', (socket) => socket.write(handshake('bm9ib2R5')), 'bad-response'],
    [
      'announces a message that is too large',
      (socket, accept) => socket.write(Buffer.concat([Buffer.from(handshake(accept)), LARGE])),
      'body-too-large',
    ],
    [
      'sends what is no frame',
      (socket, accept) => socket.write(`${handshake(accept)}HTTP/1.1 200 OK`),
      'bad-response',
    ],
  ])('fails for a server that %s', async (_, answer, failure) => {
    const server = await handshaking(answer)
    const failed = await failureOf(client().listen({ ...first, url: server.origin, connectMs: 1_000 }))
    expect(failed.failure).toBe(failure)
  })
})

/** The beginning of a message of 4 GiB. */
const LARGE = Buffer.from([0x82, 127, 0, 0, 0, 1, 0, 0, 0, 0])

const handshake = (accept: string) =>
  `HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\nsec-websocket-accept: ${accept}\r\n\r\n`

/** A raw server that is told what it would have to accept with. */
async function handshaking(answer: (socket: Socket, accept: string) => void) {
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => {})
    socket.once('data', (request) => {
      const key = /sec-websocket-key: (\S+)/i.exec(String(request))?.[1] ?? ''
      const accept = createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64')
      answer(socket, accept)
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  const { port } = server.address() as AddressInfo
  return { origin: `http://127.0.0.1:${port}` }
}
