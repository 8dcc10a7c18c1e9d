import { getEventListeners } from 'node:events'
import { expect, test } from 'vitest'
import { AnySignal } from '../../src/signals.js'

test('a signal of several is aborted with the first of them, for its reason', () => {
  const [one, two] = [new AbortController(), new AbortController()]
  using any = new AnySignal(one.signal, two.signal)
  expect(any.signal.aborted).toBe(false)
  two.abort('second')
  one.abort('first')
  expect(any.signal.reason).toBe('second')
  using late = new AnySignal(one.signal, two.signal)
  expect(late.signal.reason).toBe('first')
})

test('disposed of, it lets go of them', () => {
  const long = new AbortController()
  const any = new AnySignal(long.signal, new AbortController().signal)
  expect(getEventListeners(long.signal, 'abort')).toHaveLength(1)
  any[Symbol.dispose]()
  expect(getEventListeners(long.signal, 'abort')).toEqual([])
  long.abort()
  expect(any.signal.aborted).toBe(false)
})
