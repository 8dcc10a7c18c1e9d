import { expect, test } from 'vitest'
import { CommandError, Interrupted } from '../../src/cli/exit.js'
import { patiently } from '../../src/cli/run.js'

const refused = () => Promise.reject(Object.assign(new Error('refused'), { code: 'ECONNREFUSED' }))
const running = new AbortController().signal

test('a database that is away for a moment is asked again', async () => {
  let asked = 0
  const ask = async () => {
    asked += 1
    return asked < 3 ? refused() : 'the answer'
  }
  expect(await patiently(ask, running, { awayMs: 60_000, retryMs: 1 })).toBe('the answer')
  expect(asked).toBe(3)
})

test('one that stays away ends the command, with what to do', async () => {
  const waiting = patiently(refused, running, { awayMs: 20, retryMs: 1 })
  await expect(waiting).rejects.toThrow(CommandError)
  await expect(waiting).rejects.toThrow(/^The database is gone\. .* the same command goes on\.$/)
})

test('whoever has had enough does not wait', async () => {
  const stop = new AbortController()
  const waiting = patiently(refused, stop.signal, { awayMs: 60_000, retryMs: 60_000 })
  stop.abort()
  await expect(waiting).rejects.toThrow(Interrupted)
})

test('what went wrong otherwise is not tried again', async () => {
  let asked = 0
  const ask = async () => {
    asked += 1
    throw new Error('syntax error')
  }
  await expect(patiently(ask, running)).rejects.toThrow('syntax error')
  expect(asked).toBe(1)
})
