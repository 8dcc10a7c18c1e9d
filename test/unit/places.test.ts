import { expect, test } from 'vitest'
import { Places } from '../../src/jobs/places.js'

/** Work that is under way until it is told to end. */
function works(places: Places, ...names: string[]) {
  const begun: string[] = []
  const ends: (() => void)[] = []
  for (const name of names) {
    const { promise, resolve } = Promise.withResolvers<void>()
    void places.run(name[0]!, () => {
      begun.push(name)
      ends.push(resolve)
      return promise
    })
  }
  /** Ends what was begun first of what is under way. */
  const endOne = async () => {
    ends.shift()!()
    await new Promise(setImmediate)
  }
  return { begun, endOne }
}

test('who wants much waits behind who wants little', async () => {
  const { begun, endOne } = works(new Places(2), 'a1', 'a2', 'a3', 'a4', 'a5', 'b1', 'b2', 'c1')
  expect(begun).toEqual(['a1', 'a2'])
  for (let n = 0; n < 8; n += 1) await endOne()
  expect(begun).toEqual(['a1', 'a2', 'a3', 'b1', 'c1', 'a4', 'b2', 'a5'])
})

test('a place is free again after work that fails, and its error is told', async () => {
  const places = new Places(1)
  const failing = places.run('a', () => Promise.reject(new Error('no')))
  const next = places.run('a', async () => 'done')
  await expect(failing).rejects.toThrow('no')
  expect(await next).toBe('done')
  expect(await places.run('b', async () => 'free')).toBe('free')
})
