import { Closers } from '../../src/closers.js'
import { openStore, type Store } from '../../src/store/database.js'
import type { TestDatabase } from '../support/database.js'
import type { Caller } from '../support/network/caller.js'
import { type Backfill, clientOf } from '../support/service.js'
import { Random } from '../support/simulation/random.js'
import { type Simulation, startSimulation } from '../support/simulation/simulation.js'
import type { Account } from '../support/simulation/world.js'
import { AwakeClock } from './awake-clock.js'
import { knownCaller } from './callers.js'
import { check, checkStopped } from './check.js'
import { checkDeletion } from './check-deletion.js'
import { Consumer } from './consumer.js'
import { type CrewAtWork, startCrew } from './crew.js'
import { Director } from './director.js'
import { Moments } from './moments.js'
import { Pace } from './pace.js'
import { describePlan, type Plan, planOf } from './plan.js'
import { changeableAccounts, planFaults, wishesFor } from './plan-faults.js'
import type { PlannedJob } from './plan-jobs.js'
import { type Scope, scopeOf } from './scope.js'
import { mustShow } from './ways.js'

/** A job of a run, once it has been created. */
export interface RunJob {
  readonly id: string
  /** By the service, ms since epoch. */
  readonly createdAt: number
  readonly scope: Scope
  readonly consumer: Consumer
  /** As its owner, wherever the service answers by now. */
  backfill(): Backfill
}

export interface Outage {
  readonly host: number
  readonly lastedMs: number
}

/** All that a run consists of. */
export interface Run {
  readonly plan: Plan
  readonly simulation: Simulation
  readonly moments: Moments
  readonly pace: Pace
  /** Accounts whose repos may change at any time: nothing else happens to them, and every job reads them. */
  readonly changeable: readonly Account[]
  /** Times in which a host has answered nobody. */
  readonly outages: Outage[]
  /** The oracle's own look at the database. */
  readonly store: Store
  readonly crew: CrewAtWork
  readonly scopes: readonly Scope[]
  readonly jobs: Map<number, RunJob>
  /** What was not as it should be, noted when it was seen. */
  readonly differences: string[]
  client(job: PlannedJob): Backfill
  consumer(job: PlannedJob, id: string): Consumer
}

export interface RunOptions {
  create(): Promise<TestDatabase>
  /** Makes another plan of that of the seed. */
  revise?(plan: Plan): Plan
  /** Done to the database before anything is done in it. */
  prepare?(store: Store): Promise<void>
  /** Says that enough has been found: nothing more is done or looked at then. */
  isEnough?(differences: readonly string[]): boolean
}

export interface Verdict {
  readonly seed: number
  /** Empty: everything was as the world has it. */
  readonly differences: readonly string[]
  /** What happened, for people. */
  readonly summary: string
}

/** The longest that jobs may take to end, ms: what takes ten seconds takes minutes where others want both cores, too. */
const PATIENCE_MS = 600_000

/** Carries out the plan of a seed, and says what did not come out as the world has it. */
export async function runSeed(seed: number, options: RunOptions): Promise<Verdict> {
  const plan = options.revise?.(planOf(seed)) ?? planOf(seed)
  const beganAt = Date.now()
  const closers = new Closers()
  let differences: string[] = []
  let shown = 'no faults'
  try {
    const run = await prepare(plan, options, closers)
    differences = run.differences
    const isEnough = () => options.isEnough?.(differences) ?? false
    const director = new Director(run, { patienceMs: PATIENCE_MS, isEnough })
    try {
      const ended = await director.direct()
      // What is still under way would differ from everything.
      if (ended) await check(run)
      if (ended && !isEnough()) await checkDeletion(run)
    } finally {
      await director.close()
    }
    await run.crew.stop()
    if (!isEnough()) await checkStopped(run)
    const { fired } = run.simulation.faults
    if (fired.size > 0) shown = [...fired].map(([kind, count]) => `${count} ${kind}`).join(', ')
  } catch (error) {
    differences.push(`the run broke off: ${error instanceof Error ? error.stack : error}`)
  } finally {
    await closers.close().catch((error: unknown) => differences.push(`the run did not end well: ${error}`))
  }
  const seconds = ((Date.now() - beganAt) / 1_000).toFixed(1)
  return { seed, differences, summary: `${describePlan(plan)}; ${shown}; ${seconds} s` }
}

async function prepare(plan: Plan, options: RunOptions, closers: Closers): Promise<Run> {
  const database = closers.use(await options.create())
  const clock = new AwakeClock()
  closers.add(() => clock.stop())
  // Of processes nobody knows when they are late.
  const awake = plan.crew.kind === 'engines' ? { awake: clock.now } : {}
  const simulation = closers.use(await startSimulation({ ...plan.world, ...awake }))
  const store = closers.use(
    openStore({ url: database.url, connections: 3, applicationName: 'aquifer-oracle', onError: () => {} }),
  )
  const scopes = plan.jobs.map((job) => scopeOf(job, simulation))
  planFaults(plan, simulation, scopes)
  const pace = new Pace()
  const moments = new Moments(simulation, pace, (account, { kind, after }) =>
    mustShow(kind, wishesFor(account, scopes), after),
  )
  const crew = await startCrew(plan, simulation, database)
  closers.add(() => crew.stop())
  await options.prepare?.(store)
  const callers = [simulation.caller, await knownCaller(store)] as const
  const clientOfCaller = (caller: Pick<Caller, 'did' | 'serviceJwt'>) => {
    const { url, did } = crew.door
    return clientOf(url, did, caller as Caller)
  }
  return {
    plan,
    simulation,
    moments,
    pace,
    changeable: changeableAccounts(plan, simulation, scopes),
    outages: [],
    store,
    crew,
    scopes,
    jobs: new Map(),
    differences: [],
    client: ({ caller }) => clientOfCaller(callers[caller]),
    consumer: (job, id) =>
      new Consumer(id, () => crew.door, callers[job.caller], new Random(plan.seed, 3, job.index)),
  }
}
