import { describe, expect, it } from 'vitest'
import {
  isPrefix,
  matchesCollection,
  namesEveryCollection,
  patternProblem,
  wantedCollections,
} from '../../src/jobs/scope.js'

describe('a collection as a job asks for it', () => {
  it.each([
    'com.example.post',
    'com.example.fooBar',
    'com.example.feed.post',
    'com.4chan.post',
    'a-1.b-2.c',
    'com.example.*',
    'com.example.feed.*',
    'com.4chan.*',
    `com.${'a'.repeat(63)}.*`,
  ])('may be %s', (pattern) => {
    expect(patternProblem(pattern)).toBeNull()
  })

  it.each<[string, RegExp]>([
    ['', /not an NSID/],
    ['post', /not an NSID/],
    ['com.example', /not an NSID/],
    ['com.example.', /not an NSID/],
    ['com..post', /not an NSID/],
    ['com.example.4chan', /not an NSID/],
    ['com.example.foo-bar', /not an NSID/],
    ['com.example.post#main', /not an NSID/],
    ['com.example.pöst', /not an NSID/],
    [' com.example.post', /not an NSID/],
    [`com.example.${'a'.repeat(64)}`, /not an NSID/],
    [Array(60).fill('abcdef').join('.'), /not an NSID/],
    ['*', /ends in/],
    ['com.example*', /ends in/],
    ['com.*.post', /ends in/],
    ['com.*.*', /ends in/],
    ['com.example.**', /ends in/],
    ['com.example.*.', /ends in/],
    ['.*', /two segments/],
    ['com.*', /two segments/],
    ['..*', /segments before/],
    ['com..*', /segments before/],
    ['-com.example.*', /segments before/],
    ['4com.example.*', /segments before/],
    ['com.exa mple.*', /segments before/],
    [`com.${'a'.repeat(64)}.*`, /segments before/],
    [`${Array(60).fill('abcdef').join('.')}.*`, /segments before/],
  ])('may not be %j', (pattern, problem) => {
    expect(patternProblem(pattern)).toMatch(problem)
  })

  it('is a prefix of whole segments, at any depth', () => {
    const below = ['com.example.feed.post', 'com.example.feed.post.draft', 'com.example.feed.a']
    const beside = [
      'com.example.feed',
      'com.example.feeds.post',
      'com.example.feedpost',
      'org.com.example.feed.a',
    ]
    expect(below.filter((nsid) => matchesCollection('com.example.feed.*', nsid))).toEqual(below)
    expect(beside.filter((nsid) => matchesCollection('com.example.feed.*', nsid))).toEqual([])
  })

  it('is itself, to the letter, where it is no prefix', () => {
    expect(isPrefix('com.example.post')).toBe(false)
    expect(matchesCollection('com.example.post', 'com.example.post')).toBe(true)
    for (const other of [
      'com.example.Post',
      'com.example.post.draft',
      'com.example.pos',
      'com-example.post',
    ]) {
      expect(matchesCollection('com.example.post', other)).toBe(false)
    }
  })
})

describe('the collections of a repo that a job wants', () => {
  const present = ['com.example.feed.like', 'com.example.feed.post', 'com.example.profile', 'org.other.thing']

  it.each<[string, readonly string[] | null, string[]]>([
    ['every one', null, present],
    ['the named', ['org.other.thing', 'com.example.absent'], ['org.other.thing']],
    ['those below a prefix', ['com.example.feed.*'], ['com.example.feed.like', 'com.example.feed.post']],
    ['each once', ['com.example.*', 'com.example.profile', 'com.example.feed.*'], present.slice(0, 3)],
    ['none', ['net.nobody.*'], []],
  ])('are %s', (_, patterns, wanted) => {
    expect(wantedCollections(patterns, present)).toEqual(wanted)
  })

  it('are known without asking the repo only where each is named', () => {
    expect(namesEveryCollection(['com.example.post', 'com.example.like'])).toBe(true)
    expect(namesEveryCollection(['com.example.post', 'com.example.*'])).toBe(false)
    expect(namesEveryCollection(null)).toBe(false)
  })
})
