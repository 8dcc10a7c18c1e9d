import { describe, expect, it } from 'vitest'
import { FrameError, FrameReader } from '../../src/atproto/http-frames.js'

/** A frame as a server sends it. */
function frame(opcode: number, payload: Buffer | string, { final = true, flags = 0 } = {}): Buffer {
  const body = Buffer.from(payload)
  const first = (final ? 0x80 : 0) | flags | opcode
  if (body.length < 126) return Buffer.concat([Buffer.from([first, body.length]), body])
  const head = Buffer.alloc(body.length < 65_536 ? 4 : 10)
  head[0] = first
  if (body.length < 65_536) {
    head[1] = 126
    head.writeUInt16BE(body.length, 2)
  } else {
    head[1] = 127
    head.writeBigUInt64BE(BigInt(body.length), 2)
  }
  return Buffer.concat([head, body])
}

const [CONTINUATION, TEXT, BINARY, CLOSE, PING] = [0, 1, 2, 8, 9] as const

function failureOf(...frames: Buffer[]): FrameError {
  try {
    new FrameReader(1_000).push(Buffer.concat(frames))
  } catch (error) {
    if (error instanceof FrameError) return error
    throw error
  }
  throw new Error('it was taken')
}

describe('the frames of a WebSocket', () => {
  it('make the same messages, however the bytes are cut', () => {
    const messages = [0, 1, 125, 126, 65_535, 65_536].map((size, index) => Buffer.alloc(size, index + 1))
    const stream = Buffer.concat(messages.map((message) => frame(BINARY, message)))
    for (const size of [1, 2, 3, 7, 1_000, stream.length]) {
      // Byte by byte the large ones would take long, and show nothing more.
      const bytes = size < 1_000 ? stream.subarray(0, 400) : stream
      const reader = new FrameReader(100_000)
      const found: Buffer[] = []
      for (let at = 0; at < bytes.length; at += size)
        found.push(...reader.push(bytes.subarray(at, at + size)))
      expect(found).toEqual(size < 1_000 ? messages.slice(0, 4) : messages)
    }
  })

  it('may be pieces of one message, with others for the connection between them', () => {
    const pieces = [
      frame(BINARY, 'one ', { final: false }),
      frame(PING, 'there?'),
      frame(CONTINUATION, 'two ', { final: false }),
      frame(CONTINUATION, 'three'),
      frame(TEXT, 'no message of ours'),
    ]
    const found = new FrameReader(1_000).push(Buffer.concat(pieces))
    expect(found.map(String)).toEqual(['one two three'])
  })

  it('end with the one that says so', () => {
    const reader = new FrameReader(1_000)
    const bytes = Buffer.concat([frame(BINARY, 'last'), frame(CLOSE, ''), frame(BINARY, 'after it')])
    expect(reader.push(bytes).map(String)).toEqual(['last'])
    expect(reader.closed).toBe(true)
  })

  it('are refused before they are here when they are too large, alone or together', () => {
    expect(failureOf(frame(BINARY, Buffer.alloc(1_001)).subarray(0, 4)).kind).toBe('too-large')
    const huge = Buffer.from([0x82, 127, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff])
    expect(failureOf(huge).kind).toBe('too-large')
    const half = Buffer.alloc(600)
    expect(failureOf(frame(BINARY, half, { final: false }), frame(CONTINUATION, half)).kind).toBe('too-large')
  })

  it.each<[string, Buffer[]]>([
    ['compressed', [frame(BINARY, 'x', { flags: 0x40 })]],
    ['masked', [Buffer.from([0x82, 0x81, 0, 0, 0, 0, 1])]],
    ['of an unknown kind', [frame(3, 'x')]],
    ['a continuation of nothing', [frame(CONTINUATION, 'x')]],
    ['a message within a message', [frame(BINARY, 'x', { final: false }), frame(BINARY, 'y')]],
    ['a control frame in pieces', [frame(PING, 'x', { final: false })]],
    ['a control frame that is too large', [frame(PING, Buffer.alloc(126))]],
  ])('are refused when they are %s', (_, frames) => {
    expect(failureOf(...frames).kind).toBe('malformed')
  })
})
