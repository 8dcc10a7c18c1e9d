import type { Random } from '../support/simulation/random.js'
import type { Crew } from './plan.js'
import type { PlannedJob } from './plan-jobs.js'

/** Something that is done to a run. */
export type Deed =
  | { readonly kind: 'create'; readonly job: number }
  /** Asks for a pause, waits until the job is paused and for so long, and has it go on. */
  | { readonly kind: 'pause'; readonly job: number; readonly forMs: number }
  | { readonly kind: 'cancel'; readonly job: number }
  /** Takes a host over, as a driver does that takes the present one for dead. */
  | { readonly kind: 'rival'; readonly host: number }
  /** A good part of the repos that may change do; which ones, the number decides. */
  | { readonly kind: 'change'; readonly number: number }
  /** A host answers nobody for so long. */
  | { readonly kind: 'outage'; readonly host: number; readonly forMs: number }
  /** Stops an engine and starts another one in its place. */
  | { readonly kind: 'restart'; readonly engine: number }
  /** Cuts all of an engine's database connections. */
  | { readonly kind: 'cut'; readonly engine: number }
  /** SIGKILL, and another process in its place. */
  | { readonly kind: 'kill'; readonly process: number }

export interface Action {
  /** The share of the work after which it is done; sooner when nothing goes on any more. */
  readonly at: number
  readonly deed: Deed
}

export function planActions(
  random: Random,
  jobs: readonly PlannedJob[],
  crew: Crew,
  hosts: number,
): Action[] {
  const deeds: Action[] = jobs.map(({ index, repeats }) => ({
    at: index === 0 || random.chance(0.5) ? 0 : random.next() * 0.6,
    ...(repeats !== null && { at: 1 }),
    deed: { kind: 'create', job: index },
  }))
  const during = (job: number) => {
    const { at } = deeds[job]!
    return at + (1 - at) * random.next() * 0.9
  }
  for (const { index, cancelled } of jobs) {
    if (cancelled) deeds.push({ at: during(index), deed: { kind: 'cancel', job: index } })
    if (random.chance(0.5)) deeds.push({ at: during(index), deed: pause(random, index) })
  }
  const disturbances = 1 + random.below(3)
  for (let count = 0; count < disturbances; count++) {
    deeds.push({ at: random.next() * 0.9, deed: disturbance(random, crew) })
  }
  for (let count = random.below(4); count > 0; count--) {
    deeds.push({ at: random.next() * 0.9, deed: { kind: 'rival', host: random.below(hosts) } })
  }
  for (let number = 0; number < 3; number++) {
    if (random.chance(0.6)) deeds.push({ at: random.next(), deed: { kind: 'change', number } })
  }
  // A host that comes back while its driver has lost count is asked more often than its repos are tried.
  const losesCount = deeds.some(({ deed }) => deed.kind === 'cut' || deed.kind === 'rival')
  if (crew.kind === 'engines' && !losesCount) {
    deeds.push({ at: random.next() * 0.15, deed: outage(random, hosts) })
  }
  // A stable sort: a job is created before anything else is done to it.
  return deeds.sort((one, other) => one.at - other.at)
}

function outage(random: Random, hosts: number): Deed {
  // The first hosts have the most accounts.
  const host = Math.min(random.below(hosts), random.below(hosts))
  return { kind: 'outage', host, forMs: 800 + random.below(1_200) }
}

function pause(random: Random, job: number): Deed {
  return { kind: 'pause', job, forMs: random.below(200) }
}

function disturbance(random: Random, crew: Crew): Deed {
  if (crew.kind === 'processes') return { kind: 'kill', process: random.below(1 + crew.workers) }
  const engine = random.below(crew.count)
  return random.chance(0.6) ? { kind: 'restart', engine } : { kind: 'cut', engine }
}
