import { expect, test } from 'vitest'
import { FeedError } from '../../src/jobs/feed-error.js'
import { FeedQueue } from '../../src/jobs/feed-queue.js'

const message = (name: string, byteLength = 1) => ({ name, byteLength })
const forever = new AbortController().signal

const queueOf = (messages = 3, bytes = 100) => new FeedQueue<ReturnType<typeof message>>({ messages, bytes })

async function namesOf(queue: ReturnType<typeof queueOf>, signal = forever): Promise<string[]> {
  const names: string[] = []
  for await (const { name } of queue.take(signal)) names.push(name)
  return names
}

test('gives what was put in, before it is waited for and after, up to the end', async () => {
  const queue = queueOf()
  queue.push(message('a'))
  const taken = namesOf(queue)
  await Promise.resolve()
  queue.push(message('b'))
  queue.push(message('c'))
  queue.end()
  queue.push(message('d'))
  expect(await taken).toEqual(['a', 'b', 'c'])
})

test.each([
  ['by number', 3, 1],
  ['by size', 100, 34],
])('one that is not emptied in time fails %s, and drops what it holds', async (_, messages, byteLength) => {
  const queue = queueOf(messages)
  for (const name of ['a', 'b']) queue.push(message(name, byteLength))
  expect(queue.isOpen).toBe(true)
  for (const name of ['c', 'd']) queue.push(message(name, byteLength))
  expect(queue.isOpen).toBe(false)
  expect(queue.length).toBe(0)
  const failure = await namesOf(queue).catch((error: unknown) => error)
  expect(failure).toBeInstanceOf(FeedError)
  expect(failure).toMatchObject({ code: 'ConsumerTooSlow' })
})

test('what is taken makes room', async () => {
  const queue = queueOf(2, 4)
  const taking = queue.take(forever)
  for (let round = 0; round < 50; round++) {
    queue.push(message('a', 2))
    queue.push(message('b', 2))
    expect((await taking.next()).value).toMatchObject({ name: 'a' })
    expect((await taking.next()).value).toMatchObject({ name: 'b' })
  }
  expect(queue.isOpen).toBe(true)
})

test('one message alone fits, whatever its size', async () => {
  const queue = queueOf(3, 10)
  queue.push(message('large', 1_000))
  queue.end()
  expect(await namesOf(queue)).toEqual(['large'])
})

test('the first failure stays', async () => {
  const queue = queueOf()
  queue.fail(new Error('first'))
  queue.fail(new Error('second'))
  queue.end()
  await expect(namesOf(queue)).rejects.toThrow('first')
})

test('an abort ends the taking, waiting or not', async () => {
  const queue = queueOf()
  const stop = new AbortController()
  const waiting = namesOf(queue, stop.signal)
  stop.abort()
  expect(await waiting).toEqual([])
  queue.push(message('a'))
  expect(await namesOf(queue, stop.signal)).toEqual([])
})
