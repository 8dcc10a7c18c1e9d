import { describe, expect, it } from 'vitest'
import { coveredCounts } from '../../src/jobs/covers.js'

const POST = 'com.example.feed.post'
const LIKE = 'com.example.feed.like'
const DEEP = 'com.example.feed.beta.post'
const FOLLOW = 'com.example.graph.follow'
const COUNTS = { [POST]: 3, [LIKE]: 2, [DEEP]: 1, [FOLLOW]: 7 }

describe('a receipt for one wish, asked for another', () => {
  it.each<[string, string[], string[] | null, Record<string, number> | null]>([
    ['the same names', [LIKE, POST], [POST, LIKE], { [POST]: 3, [LIKE]: 2 }],
    ['fewer names', [LIKE, POST], [POST], { [POST]: 3 }],
    ['more names', [POST], [POST, LIKE], null],
    ['everything of everything', [], null, COUNTS],
    ['everything of a few', [POST, LIKE], null, null],
    ['everything of a prefix', ['com.example.*'], null, null],
    ['names of everything', [], [FOLLOW], { [FOLLOW]: 7 }],
    [
      'a name that is not there, of everything',
      [],
      ['com.example.feed.gone'],
      { 'com.example.feed.gone': 0 },
    ],
    ['a prefix of everything', [], ['com.example.feed.*'], { [POST]: 3, [LIKE]: 2, [DEEP]: 1 }],
    ['a prefix under which nothing is', [], ['com.other.*'], {}],
    ['a name of its prefix', ['com.example.feed.*'], [POST], { [POST]: 3 }],
    ['a name far below its prefix', ['com.example.*'], [DEEP], { [DEEP]: 1 }],
    ['the same prefix', ['com.example.feed.*'], ['com.example.feed.*'], { [POST]: 3, [LIKE]: 2, [DEEP]: 1 }],
    ['a narrower prefix', ['com.example.*'], ['com.example.feed.beta.*'], { [DEEP]: 1 }],
    ['a wider prefix', ['com.example.feed.*'], ['com.example.*'], null],
    ['a prefix of names below it', [POST, LIKE, DEEP], ['com.example.feed.*'], null],
    ['a prefix that ends inside a segment', ['com.example.fe.*'], [POST], null],
    ['a name that only begins like it', [POST], ['com.example.feed.postgate'], null],
    ['a prefix above, by its own name', ['com.example.feed.*'], ['com.example.feed'], null],
    [
      'each by another of its patterns',
      ['com.example.graph.*', POST],
      [FOLLOW, POST],
      { [FOLLOW]: 7, [POST]: 3 },
    ],
    ['one of two not held', ['com.example.graph.*', POST], [FOLLOW, LIKE], null],
  ])('%s', (_, scope, wanted, counts) => {
    expect(coveredCounts(scope, COUNTS, wanted)).toEqual(counts)
  })
})
