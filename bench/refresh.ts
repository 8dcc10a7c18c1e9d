import diagnostics from 'node:diagnostics_channel'
import type { IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import { readConfig } from '../src/config.js'
import { createLogger } from '../src/events.js'
import { startService } from '../src/service.js'
import type { Store } from '../src/store/database.js'
import { type Simulation, startSimulation } from '../test/support/simulation/simulation.js'
import { type Account, COLLECTIONS } from '../test/support/simulation/world.js'
import type { Benchmark } from './main.js'
import { endOf, makeJob } from './support/timed-job.js'

const LONG = { seed: 1, hosts: 8, repos: 3_000 }
const SHORT = { seed: 1, hosts: 4, repos: 600 }

/** No budget of a host or of the directory stands in the way. */
const SETTINGS = {
  HOST_MAX_RPM: '1000000',
  HOST_START_RPM: '1000000',
  PLC_RPM: '1000000',
  LOG_LEVEL: 'warn',
}

/** What a job's second run takes of its hosts, over a network where nothing has changed since the first. */
export const refresh: Benchmark = {
  about: 'what a second run of a job asks of hosts beside the first; --short: 600 repos',
  async run(store, say, url, short) {
    const wish = short ? SHORT : LONG
    await using network = await startSimulation({ ...wish, skew: 1, heldRecords: Number.POSITIVE_INFINITY })
    const repos = reposOf(network)
    using traffic = new Traffic(network)
    const config = readConfig({ ...network.environment, ...SETTINGS, DATABASE_URL: url })
    await using _service = await startService({
      config,
      logger: createLogger(config.logLevel, 'stderr'),
      api: false,
      engine: true,
      overrides: network.overrides,
    })
    const runOnce = async (name: string) => {
      const before = traffic.seen
      const from = { relays: config.network.relays }
      const job = await makeJob(store, { collections: COLLECTIONS, method: 'auto', from })
      const { completed } = await endOf(store, job)
      if (completed !== repos) throw new Error(`${completed} of ${repos} repos are completed`)
      const requests = traffic.seen.requests - before.requests
      const bytes = traffic.seen.bytes - before.bytes
      const methods = await methodsOf(store, job)
      say(`${name} run: ${requests} requests, ${bytes} bytes; ${methods}`)
      return { requests, bytes }
    }
    const first = await runOnce('first')
    const second = await runOnce('second')
    return {
      requestShare: round(second.requests / first.requests),
      byteShare: round(second.bytes / first.bytes),
      requestsPerRepo: round(first.requests / repos),
      bytesPerRepo: Math.round(first.bytes / repos),
    }
  },
}

/** Requests to the PDSs of a network in this process, and what they have sent, headers and all. */
class Traffic implements Disposable {
  #requests = 0
  #bytes = 0
  readonly #hosts: ReadonlySet<string>
  readonly #sent = new WeakMap<Socket, number>()

  constructor({ world, addresses }: Simulation) {
    this.#hosts = new Set(world.hosts.map((_, index) => new URL(addresses.pds(index)).host))
    diagnostics.subscribe('http.server.response.finish', this.#finished)
  }

  get seen() {
    return { requests: this.#requests, bytes: this.#bytes }
  }

  [Symbol.dispose](): void {
    diagnostics.unsubscribe('http.server.response.finish', this.#finished)
  }

  readonly #finished = (message: unknown): void => {
    const { request, socket } = message as { request: IncomingMessage; socket: Socket }
    const sent = socket.bytesWritten - (this.#sent.get(socket) ?? 0)
    this.#sent.set(socket, socket.bytesWritten)
    if (!this.#hosts.has(request.headers.host ?? '')) return
    this.#requests += 1
    this.#bytes += sent
  }
}

/** The accounts that a relay knows to have something: a few have nothing at all. */
function reposOf({ world }: Simulation): number {
  const hasAny = (account: Account) => COLLECTIONS.some((name) => world.count(account, name) > 0)
  return world.accounts().reduce((sum, account) => sum + Number(hasAny(account)), 0)
}

async function methodsOf(store: Store, job: number): Promise<string> {
  const { rows } = await store.pool.query<{ method: string; repos: number }>(
    'select method, count(*)::int as repos from job_repo where job = $1 group by method order by repos desc',
    [job],
  )
  return rows.map(({ method, repos }) => `${repos} by ${method}`).join(', ')
}

function round(value: number): number {
  return Math.round(value * 10_000) / 10_000
}
