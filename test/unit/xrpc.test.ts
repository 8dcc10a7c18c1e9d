import { describe, expect, it } from 'vitest'
import { type Failure, RateLimited } from '../../src/atproto/outcome.js'
import { readAnswer } from '../../src/atproto/xrpc.js'

const NOW = Date.UTC(2026, 0, 2, 3, 4, 5)

function read(status: number, body: string | Buffer, headers: Record<string, string> = {}) {
  return readAnswer({ status, headers, body: Buffer.from(body) }, NOW, 0)
}

function thrownBy(status: number, body: string, headers: Record<string, string> = {}): unknown {
  try {
    return read(status, body, headers)
  } catch (error) {
    return error
  }
}

describe('the answer to a query', () => {
  it.each(['{}', '{"a":[1,{"b":null}]}', ' {"text":"\\u0000🌊"}\n'])('is a JSON object: %j', (body) => {
    expect(read(200, body)).toEqual({ ok: true, body: JSON.parse(body) })
  })

  it.each(['', 'null', '[]', '"text"', '1', '{', '<html></html>', '{}{}'])('is nothing else: %j', (body) => {
    expect(thrownBy(200, body)).toMatchObject({ failure: 'bad-response' })
  })

  it.each([
    [
      400,
      '{"error":"InvalidRequest","message":"Could not find repo"}',
      'InvalidRequest',
      'Could not find repo',
    ],
    [401, '{"error":"AuthMissing"}', 'AuthMissing', ''],
    [404, '{"error":"NotFound","message":1}', 'NotFound', ''],
    [499, '{"error":"","message":"x"}', '', 'x'],
  ])('may be a refusal that is not ours to judge here: %i %s', (status, body, error, message) => {
    expect(read(status, body)).toEqual({ ok: false, status, error, message })
  })

  it.each([
    [404, '<html>Not Found</html>'],
    [403, 'Just a moment...'],
    [400, '{"message":"no name"}'],
    [400, '{"error":{"name":"x"}}'],
    [400, 'null'],
    // A refusal's body with the status of something else.
    [204, ''],
    [206, '{"error":"x"}'],
    [301, '{"error":"x"}'],
    [304, ''],
  ])('is bad when it is not as XRPC has it: %i %s', (status, body) => {
    expect(thrownBy(status, body)).toMatchObject({ failure: 'bad-response' })
  })

  it.each([500, 502, 503, 504, 520, 599])('is missing when the host is in trouble: %i', (status) => {
    for (const body of ['', '{"error":"InternalServerError"}', '{}']) {
      expect(thrownBy(status, body)).toMatchObject({ failure: 'host-error' })
    }
  })

  it.each([
    [{ 'retry-after': '120' }, 120],
    [{ 'ratelimit-reset': String(NOW / 1_000 + 30) }, 30],
    [{}, 60],
  ])('may be to wait: %o', (headers, seconds) => {
    const error = thrownBy(429, '{"error":"RateLimitExceeded"}', headers as Record<string, string>)
    expect(error).toBeInstanceOf(RateLimited)
    expect((error as RateLimited).until.getTime() - NOW).toBe(seconds * 1_000)
  })

  it('is told by its beginning, on one line, when it is a page for people', () => {
    const page = `<html>\n\n\t<title>Bad gateway</title>${'x'.repeat(100_000)}`
    const { message } = thrownBy(502, page) as Failure
    expect(message).toContain('502: <html> <title>Bad gateway</title>')
    expect(message.length).toBeLessThan(200)
    expect(message).not.toMatch(/[\n\t]/)
  })
})
