import { readConfig } from '../src/config.js'
import { createLogger } from '../src/events.js'
import { startService } from '../src/service.js'
import type { RateLimit } from '../test/support/simulation/rate-limit.js'
import type { StatsReport } from '../test/support/simulation/stats.js'
import { COLLECTIONS } from '../test/support/simulation/world.js'
import type { Benchmark } from './main.js'
import { startSimulatedNetwork } from './support/simulated-network.js'
import { endOf, keepDocuments, makeJob } from './support/timed-job.js'
import { leastSeconds, windowLimits } from './support/window-limits.js'

const LATENCY_MS = 40

/** As the simulation has it: the largest of 200 hosts has a quarter of the accounts. */
const SKEW = 1.2

const LONG = { seed: 1, hosts: 200, repos: 20_000, skew: SKEW, longestSeconds: 110 }
const SHORT = { seed: 1, hosts: 20, repos: 2_000, skew: SKEW, longestSeconds: 40 }

/**
 * A rate is what each host says of itself, and nothing else stands in the way: no cap of the operator's, every host
 * has a driver from the beginning, nobody waits for the directory, and so many requests are in flight that a latency
 * of 40 ms allows the largest host's rate. The rate before a host's first word is the default.
 */
const SETTINGS = {
  HOST_MAX_RPM: '1000000',
  PLC_RPM: '1000000',
  ENGINE_HOSTS: '250',
  HOST_CONCURRENCY: '32',
  LOG_LEVEL: 'warn',
}

/** The time a job takes, discovery included, beside the least that its hosts' limits allow. */
export const makespan: Benchmark = {
  about: 'a job over many hosts with limits against the least time they allow; --short: 20 hosts',
  async run(store, say, url, short) {
    const wish = short ? SHORT : LONG
    const limits = windowLimits(wish)
    await using network = await startSimulatedNetwork({ ...wish, latencyMs: LATENCY_MS, limits })
    const config = readConfig({
      ...network.environment,
      ...SETTINGS,
      DATABASE_URL: url,
    })
    await keepDocuments(store, network.accounts)
    const job = await makeJob(store, {
      collections: [COLLECTIONS[0]!],
      from: { relays: config.network.relays },
    })
    await using _service = await startService({
      config,
      logger: createLogger(config.logLevel, 'stderr'),
      api: false,
      engine: true,
    })
    const { seconds, completed } = await endOf(store, job)
    if (completed !== wish.repos) throw new Error(`${completed} of ${wish.repos} repos are completed`)
    const seen = await network.seen()
    const bound = boundOf(seen, limits)
    const { requests, refused } = seen.totals
    say(
      `${wish.hosts} hosts, ${wish.repos} repos, ${requests} requests, ${refused} of them refused: ${decimal(seconds)} s`,
    )
    const { points, windowMs } = limits[bound.host]!
    say(
      `at least ${decimal(bound.seconds)} s: host ${bound.host} takes ${points} requests in ${windowMs / 1_000} s and was asked ${bound.requests} times; ` +
        `${bound.near} hosts would have needed more than nine tenths of that`,
    )
    return {
      overBound: round(seconds / bound.seconds, 3),
      limitedShare: round(refused / requests, 5),
      seconds: decimal(seconds),
      boundSeconds: decimal(bound.seconds),
    }
  },
}

/** The least time, and the host that sets it. */
function boundOf(seen: StatsReport, limits: readonly RateLimit[]) {
  const each = seen.hosts.map(({ requests }, host) => {
    return { host, requests, seconds: leastSeconds(limits[host]!, requests) }
  })
  const longest = each.reduce((most, one) => (one.seconds > most.seconds ? one : most))
  return { ...longest, near: each.filter(({ seconds }) => seconds > 0.9 * longest.seconds).length }
}

const decimal = (value: number) => round(value, 1)

function round(value: number, digits: number): number {
  return Math.round(value * 10 ** digits) / 10 ** digits
}
