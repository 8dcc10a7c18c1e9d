import { describe, expect, it } from 'vitest'
import { readAdvertised } from '../../src/engine/advertised.js'

const NOW = Date.UTC(2026, 0, 2, 3, 4, 5)
const inSeconds = (seconds: number) => String(NOW / 1_000 + seconds)

const read = (headers: Record<string, string>) =>
  readAdvertised((name) => headers[name.replace('ratelimit-', '')], NOW)

describe('what a host says of its limit', () => {
  it('is read as PDSs say it', () => {
    const headers = { limit: '3000', remaining: '2990', reset: inSeconds(250), policy: '3000;w=300' }
    const left = { requests: 2_990, resetAt: NOW + 250_000 }
    expect(read(headers)).toEqual({ limit: 3_000, windowMs: 300_000, left })
  })

  it.each<[string, Record<string, string>, object | null]>([
    ['nothing', {}, null],
    ['only the end of a window', { reset: inSeconds(10) }, null],
    ['only a limit, for nobody knows how long', { limit: '100' }, null],
    ['only a policy', { policy: '100;w=60' }, { limit: 100, windowMs: 60_000, left: null }],
    ['a policy, loosely', { policy: ' 100 ; w=60 ; burst=10' }, { limit: 100, windowMs: 60_000 }],
    ['a limit and the end of its window', { limit: '100', reset: '30' }, { limit: 100, windowMs: null }],
    [
      'the policy that the limit is of',
      { limit: '50', policy: '10;w=1, 50;w=60' },
      { limit: 50, windowMs: 60_000 },
    ],
    ['several policies: the strictest', { policy: '10;w=1, 50;w=60' }, { limit: 50, windowMs: 60_000 }],
    [
      'seconds until the reset',
      { limit: '9', remaining: '5', reset: '30' },
      { left: { requests: 5, resetAt: NOW + 30_000 } },
    ],
    [
      'a reset that its clock is slow about',
      { limit: '9', remaining: '5', reset: inSeconds(-3) },
      { limit: 9 },
    ],
  ])('may be %s', (_, headers, expected) => {
    const word = read(headers)
    if (expected === null) expect(word).toBeNull()
    else expect(word).toMatchObject(expected)
  })

  it.each<[string, Record<string, string>]>([
    ['no requests at all', { limit: '0', remaining: '0', reset: inSeconds(10) }],
    ['fewer than none', { limit: '-1', reset: inSeconds(10) }],
    ['no number', { limit: 'many', reset: inSeconds(10) }],
    ['less than none left', { limit: '10', remaining: '-5', reset: inSeconds(10) }],
    ['more left than there is', { limit: '10', remaining: '11', reset: inSeconds(10) }],
    ['a reset that is past', { limit: '10', remaining: '5', reset: inSeconds(-60) }],
    ['a reset years ahead', { limit: '10', remaining: '5', reset: inSeconds(100_000_000) }],
    [
      'a reset beyond its own window',
      { limit: '10', remaining: '5', reset: inSeconds(90), policy: '10;w=60' },
    ],
    ['a policy without a window', { limit: '10', policy: '10' }],
    ['a policy of no time', { policy: '10;w=0' }],
    ['a policy of none', { policy: '0;w=60' }],
    ['a window of years', { policy: '10;w=99999999' }],
    ['more than any host allows', { limit: '999999999999', reset: inSeconds(10) }],
  ])('is not believed when it is %s', (_, headers) => {
    expect(read(headers)).toBe('nonsense')
  })
})
