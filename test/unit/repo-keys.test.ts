import { describe, expect, it } from 'vitest'
import { layerOf, rangesOf } from '../../src/atproto/repo/keys.js'

describe('the layer of a key', () => {
  // From the interoperability tests of the protocol.
  it.each([
    ['', 0],
    ['asdf', 0],
    ['blue', 1],
    ['2653ae71', 0],
    ['88bfafc7', 2],
    ['2a92d355', 4],
    ['884976f5', 6],
    ['app.bsky.feed.post/454397e440ec', 4],
    ['app.bsky.feed.post/9adeb165882c', 8],
  ])('of %j is %i', (key, layer) => {
    expect(layerOf(key)).toBe(layer)
  })
})

describe('the ranges of collections', () => {
  const isIn = (collections: readonly string[] | null, key: string) =>
    rangesOf(collections).some(({ from, to }) => from <= key && key < to)

  it('hold their keys and no others', () => {
    expect(isIn(['a.b.c'], 'a.b.c/x')).toBe(true)
    expect(isIn(['a.b.c'], 'a.b.c/~')).toBe(true)
    for (const key of ['a.b.cc/x', 'a.b.c-d/x', 'a.b.c.d/x', 'a.b.C/x', 'a.b/x', 'a.b.c0/x']) {
      expect(isIn(['a.b.c'], key)).toBe(false)
    }
  })

  it('of a prefix hold every collection below it', () => {
    for (const key of ['a.b.c/x', 'a.b.c.d/x', 'a.b.~/x']) expect(isIn(['a.b.*'], key)).toBe(true)
    for (const key of ['a.b/x', 'a.bb.c/x', 'a.b-c.d/x', 'a.B.c/x']) expect(isIn(['a.b.*'], key)).toBe(false)
  })

  it('of every collection hold every key', () => {
    for (const key of ['-', 'A.b.c/x', 'z.z.z/~', '~']) expect(isIn(null, key)).toBe(true)
    expect(rangesOf([])).toEqual([])
  })

  it('are in order, and joined where they meet', () => {
    expect(rangesOf(['b.b.b', 'a.b.c', 'a.b.*', 'a.b.c.d', 'b.b.b'])).toEqual([
      { from: 'a.b.', to: 'a.b/' },
      { from: 'b.b.b/', to: 'b.b.b0' },
    ])
  })
})
