import { expect, test } from 'vitest'
import { Turns } from '../../src/jobs/turns.js'

/** Work that is under way until it is told to end. */
function works(turns: Turns, ...names: string[]) {
  const begun: string[] = []
  const ends: (() => void)[] = []
  for (const name of names) {
    const { promise, resolve } = Promise.withResolvers<void>()
    void turns.run(name[0]!, () => {
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
  const { begun, endOne } = works(new Turns(2), 'a1', 'a2', 'a3', 'a4', 'a5', 'b1', 'b2', 'c1')
  expect(begun).toEqual(['a1', 'a2'])
  for (let n = 0; n < 8; n += 1) await endOne()
  expect(begun).toEqual(['a1', 'a2', 'a3', 'b1', 'c1', 'a4', 'b2', 'a5'])
})

test('a turn ends with work that fails, and its error is told', async () => {
  const turns = new Turns(1)
  const failing = turns.run('a', () => Promise.reject(new Error('no')))
  const next = turns.run('a', async () => 'done')
  await expect(failing).rejects.toThrow('no')
  expect(await next).toBe('done')
  expect(await turns.run('b', async () => 'free')).toBe('free')
})
