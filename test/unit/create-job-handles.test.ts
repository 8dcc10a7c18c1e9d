import { describe, expect, test } from 'vitest'
import { Failure } from '../../src/atproto/outcome.js'
import type { JobsContext } from '../../src/jobs/context.js'
import { createJob } from '../../src/jobs/create.js'

const HANDLES = Array.from({ length: 100 }, (_, index) => `user${index}.example`)
const LOOKUPS_AT_ONCE = 8

/** Asks for a job with a hundred handles. Whoever gets past the look-ups meets no database. */
function create(resolveHandle: (handle: string) => Promise<string | null>, now: () => number) {
  const config = { network: { allowPrivateNetwork: false, relays: [] } }
  const ctx = { config, identities: { resolveHandle }, now } as unknown as JobsContext
  return createJob(ctx, { did: 'did:web:caller.example', admin: false, jobsOf: [] }, { repos: HANDLES })
}

describe('a job with many handles', () => {
  test('is refused at the first that cannot be looked up, and no further one is', async () => {
    const asked: string[] = []
    const unreachable = async (handle: string) => {
      asked.push(handle)
      await new Promise((resolve) => setImmediate(resolve))
      if (handle === HANDLES[2]) throw new Failure('directory-unavailable', 'down')
      return null
    }
    await expect(create(unreachable, () => 0)).rejects.toMatchObject({
      code: 'DirectoryUnavailable',
      message: expect.stringContaining(HANDLES[2]!),
    })
    // What was under way has ended by then, and would have gone on.
    for (let turn = 0; turn < 20; turn += 1) await new Promise((resolve) => setImmediate(resolve))
    expect(asked.length).toBeLessThan(2 * LOOKUPS_AT_ONCE)
  })

  test('is refused when the look-ups take longer than 45 s, saying how many were made', async () => {
    let now = 1_000
    let asked = 0
    const slow = async () => {
      asked += 1
      await null
      now += 3_000
      return null
    }
    await expect(create(slow, () => now)).rejects.toMatchObject({
      code: 'DirectoryUnavailable',
      message: expect.stringMatching(/^repos: \d+ of 100 handles were looked up within 45 s/),
    })
    expect(asked).toBeLessThanOrEqual(45 / 3 + LOOKUPS_AT_ONCE)
  })
})
