import { SetupError } from '../../src/errors.js'
import type { TestDatabase } from '../support/database.js'
import { AquiferProcess } from '../support/process.js'
import { startTestService, type TestService, type TestServiceOptions } from '../support/service.js'
import type { Simulation } from '../support/simulation/simulation.js'
import type { Plan } from './plan.js'
import type { Deed } from './plan-actions.js'

/** Where a service answers. */
export interface Door {
  readonly url: string
  readonly did: string
}

/** Those who do the work of a run, and who answers for them. */
export interface CrewAtWork {
  /** Another one after the process that answered has been killed. */
  readonly door: Door
  /** Does one of those deeds that are about it. */
  suffer(deed: Deed): Promise<void>
  /** Has everybody stop as they are asked to. */
  stop(): Promise<void>
}

/** Few are enough for so small a world, and each costs the server as much as hundreds of questions. */
const CONNECTIONS = 5

/** Callers ask as often as they like, and the simulation's own may ask for the whole network. */
const environmentOf = ({ caller }: Simulation) => ({
  DATABASE_CONNECTIONS: String(CONNECTIONS),
  QUOTA_REQUESTS_PER_MINUTE: '0',
  QUOTA_RUNNING_JOBS: '0',
  QUOTA_STREAMS: '0',
  BACKFILL_ADMINS: caller.did,
})

/** Long enough for an honest answer on a busy machine. */
const HTTP = { headersTimeoutMs: 3_000, slowWindowMs: 3_000, slowBytesMin: 100 }

/** As many tries as there really are, but sooner. */
const QUICK = { attempts: 5, firstDelayMs: 20, maxDelayMs: 100 }

const SWEEP_EVERY_MS = 200
const HOUSE_EVERY_MS = 500

/** How long a host is left alone for the first time that it does not answer. */
export const PARK_MS = 300

export function startCrew(plan: Plan, simulation: Simulation, database: TestDatabase): Promise<CrewAtWork> {
  const { crew } = plan
  if (crew.kind === 'processes') return Processes.start(crew.workers, simulation, database)
  return Engines.start(crew.count, simulation, database)
}

type Start = (parts: Pick<TestServiceOptions, 'api' | 'engine'>) => Promise<TestService>

class Engines implements CrewAtWork {
  readonly #start: Start
  readonly #api: TestService
  readonly #engines: Worker[] = []

  private constructor(start: Start, api: TestService) {
    this.#start = start
    this.#api = api
  }

  static async start(count: number, simulation: Simulation, database: TestDatabase): Promise<Engines> {
    const start: Start = (parts) =>
      patiently(() =>
        startTestService({
          ...parts,
          network: simulation,
          database,
          environment: environmentOf(simulation),
          overrides: {
            ...simulation.overrides,
            http: { ...simulation.overrides.http, ...HTTP },
            retry: { repo: QUICK, listing: QUICK },
            sweepEveryMs: SWEEP_EVERY_MS,
            houseEveryMs: HOUSE_EVERY_MS,
            parkMs: PARK_MS,
          },
        }),
      )
    const crew = new Engines(start, await start({ engine: false }))
    for (let index = 0; index < count; index++) crew.#engines.push(await crew.#engine())
    return crew
  }

  get door(): Door {
    return this.#api
  }

  async suffer(deed: Deed): Promise<void> {
    if (deed.kind === 'restart') {
      await this.#engines[deed.engine]!.service[Symbol.asyncDispose]()
      this.#engines[deed.engine] = await this.#engine()
    } else if (deed.kind === 'cut') {
      const pids = [...this.#engines[deed.engine]!.connections]
      await this.#api.service.store.pool.query(
        'select pg_terminate_backend(pid) from unnest($1::int[]) pid',
        [pids],
      )
    }
  }

  async stop(): Promise<void> {
    for (const { service } of this.#engines.splice(0)) await service[Symbol.asyncDispose]()
    await this.#api[Symbol.asyncDispose]()
  }

  async #engine(): Promise<Worker> {
    const service = await this.#start({ api: false })
    const connections = new Set<number>()
    const { pool } = service.service.store
    pool.on('acquire', (client) => connections.add((client as { processID?: number }).processID ?? 0))
    pool.on('remove', (client) => connections.delete((client as { processID?: number }).processID ?? 0))
    return { service, connections }
  }
}

/** How often a start is tried that comes to nothing because the database takes no connection in time. */
const STARTS = 5

/** Starts again what a busy machine kept from starting, as whatever looks after a service does. */
async function patiently(start: () => Promise<TestService>): Promise<TestService> {
  for (let tries = 1; ; tries++) {
    try {
      return await start()
    } catch (error) {
      if (!(error instanceof SetupError) || tries === STARTS) throw error
    }
  }
}

interface Worker {
  readonly service: TestService
  /** The server's processes behind its connections. */
  readonly connections: ReadonlySet<number>
}

type StartProcess = (index: number) => Promise<AquiferProcess>

class Processes implements CrewAtWork {
  /** The first one answers, and works too. */
  readonly #processes: AquiferProcess[] = []
  readonly #start: StartProcess

  private constructor(start: StartProcess) {
    this.#start = start
  }

  static async start(workers: number, simulation: Simulation, database: TestDatabase): Promise<Processes> {
    const environment = { ...simulation.environment, ...environmentOf(simulation) }
    const crew = new Processes((index) =>
      AquiferProcess.start(index === 0 ? 'serve' : 'worker', { database, environment }),
    )
    const started = await Promise.all(Array.from({ length: 1 + workers }, (_, index) => crew.#start(index)))
    crew.#processes.push(...started)
    return crew
  }

  get door(): Door {
    return this.#processes[0]!
  }

  async suffer(deed: Deed): Promise<void> {
    if (deed.kind !== 'kill') return
    await this.#processes[deed.process]!.kill()
    this.#processes[deed.process] = await this.#start(deed.process)
  }

  async stop(): Promise<void> {
    const codes = await Promise.all(this.#processes.splice(0).map((process) => process.stop()))
    if (codes.some((code) => code !== 0)) throw new Error(`processes ended with ${codes}`)
  }
}
