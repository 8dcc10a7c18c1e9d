import { describe, expect, test, vi } from 'vitest'
import { createDatabase } from '../support/database.js'
import { runSeed } from './run.js'
import { SEEDS } from './seeds.js'

// Most of a run is waiting, so that several go on at once.
vi.setConfig({ testTimeout: 1_200_000, maxConcurrency: 6 })

describe.concurrent('everything is as the world has it in the end of', () => {
  test.for(SEEDS)('seed %i', async (seed) => {
    const { differences, summary } = await runSeed(seed, { create: createDatabase })
    expect(differences, summary).toEqual([])
  })
})
