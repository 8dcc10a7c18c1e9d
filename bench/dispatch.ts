import { setTimeout as sleep } from 'node:timers/promises'
import { PgBoss } from 'pg-boss'
import type { Store } from '../src/store/database.js'
import type { Benchmark } from './main.js'

/** Tasks sent, taken and completed one after the other. */
const TASKS = 500
const ROUNDS = 3

/** How often the engine polls. */
const POLL_MS = 500
const GIVE_UP_MS = 20_000

/**
 * What pg-boss costs for one task, beside one plain UPDATE of a row; and how long a task of one key waits while
 * another key both runs and was asked for again, under the two queue policies that would do.
 */
export const dispatch: Benchmark = {
  about: 'pg-boss: the cost of a task, and what the queue policy does to its neighbours',
  async run(store, say) {
    const boss = new PgBoss({
      db: { executeSql: (text, values) => store.pool.query(text, values as unknown[]) },
      schedule: false,
      superviseIntervalSeconds: 5,
      monitorIntervalSeconds: 5,
    })
    await boss.start()
    try {
      await boss.createQueue('cost', { policy: 'exclusive', retryLimit: 0 })
      const task = await secondsPer(TASKS, async (index) => {
        await boss.insert('cost', [{ data: { key: index }, singletonKey: String(index) }])
        const [job] = await boss.fetch('cost', { batchSize: 1 })
        await boss.complete('cost', job!.id)
      })
      const update = await oneUpdate(store)
      const exclusive = await neighbourWaits(boss, 'exclusive')
      const stately = await neighbourWaits(boss, 'stately')
      say(
        `a task from sent to done: ${(task * 1000).toFixed(2)} ms; one UPDATE: ${(update * 1000).toFixed(2)} ms`,
      )
      say(
        `a neighbour of a key that runs and is wanted again waits: exclusive ${exclusive} ms, stately ${stately} ms`,
      )
      return { taskVsUpdate: round(task / update), exclusiveWaitMs: exclusive, statelyWaitMs: stately }
    } finally {
      await boss.stop({ graceful: false, close: false })
    }
  },
}

async function oneUpdate(store: Store): Promise<number> {
  await store.pool.query("insert into host (origin) values ('https://bench.example')")
  return secondsPer(TASKS, async () => {
    await store.pool.query("update host set epoch = epoch + 1 where origin = 'https://bench.example'")
  })
}

/** Polls as the engine does until the other key's task comes; the median of some rounds, in ms. */
async function neighbourWaits(boss: PgBoss, policy: 'exclusive' | 'stately'): Promise<number> {
  const waits: number[] = []
  for (let roundNumber = 0; roundNumber < ROUNDS; roundNumber += 1) {
    const queue = `neighbour-${policy}-${roundNumber}`
    await boss.createQueue(queue, { policy, retryLimit: 0 })
    await boss.insert(queue, [{ data: { key: 'busy' }, singletonKey: 'busy' }])
    await boss.fetch(queue, { batchSize: 1 })
    await boss.insert(queue, [{ data: { key: 'busy' }, singletonKey: 'busy' }])
    await boss.insert(queue, [{ data: { key: 'other' }, singletonKey: 'other' }])
    const began = performance.now()
    while (performance.now() - began < GIVE_UP_MS) {
      const jobs = await boss.fetch<{ key: string }>(queue, { batchSize: 64 })
      if (jobs.some((job) => job.data.key === 'other')) break
      await sleep(POLL_MS)
    }
    waits.push(performance.now() - began)
  }
  return Math.round(waits.sort((a, b) => a - b)[waits.length >> 1]!)
}

async function secondsPer(times: number, run: (index: number) => Promise<void>): Promise<number> {
  const began = performance.now()
  for (let index = 0; index < times; index += 1) await run(index)
  return (performance.now() - began) / 1000 / times
}

function round(value: number): number {
  return Math.round(value * 100) / 100
}
