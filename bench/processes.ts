import { Closers } from '../src/closers.js'
import type { Store } from '../src/store/database.js'
import { AquiferProcess } from '../test/support/process.js'
import { COLLECTIONS } from '../test/support/simulation/world.js'
import type { Benchmark } from './main.js'
import { type SimulatedNetwork, startSimulatedNetwork } from './support/simulated-network.js'
import { endOf, keepDocuments, makeJob } from './support/timed-job.js'

const LATENCY_MS = 200

/** Many hosts with few repos each: with few large ones the last of them would be driven alone. */
const LONG = { hosts: 150, repos: 1_800 }
const SHORT = { hosts: 60, repos: 600 }

/**
 * Few hosts at once, so that what a process has in flight bounds it and not what it computes; no limit of a host
 * or of the directory stands in the way.
 */
const SETTINGS = {
  ENGINE_HOSTS: '4',
  HOST_CONCURRENCY: '2',
  HOST_MAX_RPM: '1000000',
  HOST_START_RPM: '1000000',
  PLC_RPM: '1000000',
  LOG_LEVEL: 'info',
}

/** The time of one `aquifer worker` against that of two on one database; hosts are alike, and slow to answer. */
export const processes: Benchmark = {
  about: 'two processes on one database against one, where answers take long; --short: fewer repos',
  async run(store, say, url, short) {
    const wish = { ...(short ? SHORT : LONG), seed: 1, skew: 0, latencyMs: LATENCY_MS }
    await using network = await startSimulatedNetwork(wish)
    const one = await measure(store, url, network, 1)
    say(`one process: ${decimal(one)} s, ${decimal(wish.repos / one)} repos/s`)
    const two = await measure(store, url, network, 2)
    say(`two processes: ${decimal(two)} s, ${decimal(wish.repos / two)} repos/s`)
    return { twoVsOne: Math.round((one / two) * 100) / 100 }
  },
}

/** Has so many processes do the same job on empty tables. @returns seconds */
async function measure(store: Store, url: string, network: SimulatedNetwork, count: number): Promise<number> {
  await store.pool.query('truncate record, receipt, job, repo, identity, host cascade')
  await keepDocuments(store, network.accounts)
  const database = { url, async [Symbol.asyncDispose]() {} }
  const environment = { ...network.environment, ...SETTINGS }
  const workers = new Closers()
  try {
    for (let started = 0; started < count; started += 1) {
      workers.use(await AquiferProcess.start('worker', { database, environment }))
    }
    // Not before all are there: what is measured is their work.
    const job = await makeJob(store, {
      collections: [COLLECTIONS[0]!],
      from: { repos: network.accounts.map(([did]) => did) },
    })
    const { seconds, completed } = await endOf(store, job)
    if (completed !== network.accounts.length) throw new Error(`${completed} repos are completed`)
    return seconds
  } finally {
    await workers.close()
  }
}

function decimal(value: number): number {
  return Math.round(value * 10) / 10
}
