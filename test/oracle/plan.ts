import type { FaultKind } from '../support/simulation/fault-kinds.js'
import { Random } from '../support/simulation/random.js'
import type { Announcement, RateLimit, Refusal } from '../support/simulation/rate-limit.js'
import type { SimulationOptions } from '../support/simulation/simulation.js'
import { type Action, planActions } from './plan-actions.js'
import { type PlannedJob, planHostJob, planJobs, planRepeats, planWish } from './plan-jobs.js'

/** What does the work of a run. */
export type Crew =
  /** Engines in this process, which are stopped and started and lose their database connections: quick. */
  | { readonly kind: 'engines'; readonly count: number }
  /** `aquifer serve` and so many `aquifer worker`, which are killed. */
  | { readonly kind: 'processes'; readonly workers: number }

/** All of a run that is decided beforehand: a function of the seed. */
export interface Plan {
  readonly seed: number
  readonly crew: Crew
  readonly world: SimulationOptions & { readonly hosts: number; readonly repos: number }
  readonly jobs: readonly PlannedJob[]
  readonly actions: readonly Action[]
  readonly faults: {
    /** How many meet one. */
    readonly accounts: number
    /** What those meet; whatever suits the plan where absent. */
    readonly ofAccounts?: readonly FaultKind[]
    /** How many pages of relays do, and what happens to them; whatever can where absent. */
    readonly pages: number
    readonly ofPages?: readonly FaultKind[]
  }
  /** Whether failures are healed in the end, and taken up again. */
  readonly heals: boolean
}

/** Of so many seeds, one is run by processes. */
const PROCESSES_EVERY = 10

const GET_REPO = 'com.atproto.sync.getRepo'
const GET_RECORD = 'com.atproto.sync.getRecord'
const GET_BLOCKS = 'com.atproto.sync.getBlocks'

/** What a host may not offer: whole repos, parts of them, or both. */
const LACKING = [[GET_REPO], [GET_RECORD, GET_BLOCKS], [GET_RECORD], [GET_REPO, GET_RECORD, GET_BLOCKS]]

const COLLECTIONS = ['network.example.post', 'network.example.graph.follow', 'network.example.graph.block']

/** @returns the plan of a seed: the same for the same seed */
export function planOf(seed: number): Plan {
  const random = new Random(seed, 1)
  const processes = seed % PROCESSES_EVERY === 0
  const crew: Crew = processes
    ? { kind: 'processes', workers: random.below(3) }
    : { kind: 'engines', count: 1 + random.below(2) }
  const world = planWorld(seed, processes, random)
  const wishes = new Random(seed, 8)
  const first = [...planJobs(random, world.repos, COLLECTIONS), ...hostJobs(seed, world)].map(
    (job, index) => ({ ...job, ...planWish(wishes), index, repeats: null }),
  )
  const jobs = [...first, ...planRepeats(wishes, first)]
  return {
    seed,
    crew,
    world,
    jobs,
    actions: planActions(random, jobs, crew, world.hosts),
    faults: { accounts: 3 + random.below(5), pages: random.below(4) },
    heals: random.chance(0.5),
  }
}

/** Where a bare host name leads to the simulation. */
function hostJobs(seed: number, { hosts, addressing }: Pick<Plan['world'], 'hosts' | 'addressing'>) {
  const random = new Random(seed, 6)
  if (addressing === 'names' || random.chance(0.4)) return []
  return [planHostJob(random, hosts, COLLECTIONS)]
}

function planWorld(seed: number, processes: boolean, random: Random) {
  const hosts = 2 + random.below(5)
  const repos = 12 + random.below(24)
  const guarded = !processes && random.chance(0.4)
  const limits = Array.from({ length: hosts }, () => (random.chance(0.2) ? limitOf(random) : null))
  const offers = new Random(seed, 9)
  const lacks = Array.from({ length: hosts }, () => (offers.chance(0.12) ? offers.pick(LACKING) : []))
  const latencyMs = 2 + random.below(10)
  return {
    seed,
    hosts,
    repos,
    collections: COLLECTIONS,
    webRepos: random.below(4),
    relays: 1 + random.below(2),
    relayPageSize: 3 + random.below(5),
    addressing: processes ? 'addresses' : guarded ? 'guarded' : 'names',
    latencyMs: (host: Random) => 1 + host.below(latencyMs),
    limit: (index: number) => limits[index] ?? null,
    lacks: (index: number) => lacks[index] ?? [],
    size: sizeOf,
  } as const satisfies SimulationOptions
}

/** None, a few, as many as fill a page or nearly, or several pages. */
function sizeOf(random: Random): number {
  const kind = random.next()
  if (kind < 0.2) return 0
  if (kind < 0.75) return 1 + random.below(25)
  if (kind < 0.9) return 98 + random.below(5)
  return 120 + random.below(150)
}

function limitOf(random: Random): RateLimit {
  return {
    points: 30 + random.below(40),
    windowMs: 1_000,
    ...(random.chance(0.5) && { repoPoints: 15 + random.below(15) }),
    announces: random.pick<Announcement>(['honest', 'early', 'none', 'lying']),
    refuses: random.pick<Refusal>(['seconds', 'date', 'reset', 'html']),
  }
}

/** A plan in one line. */
export function describePlan({ seed, crew, world, jobs, actions }: Plan): string {
  const workers = crew.kind === 'engines' ? `${crew.count} engines` : `${1 + crew.workers} processes`
  const wishes = jobs.map(({ collections, accounts, hosts, method, level, repeats, cancelled }) => {
    const from = accounts ? `${accounts.length} named` : hosts ? `hosts ${hosts}` : 'discovered'
    const again = repeats === null ? null : `as ${repeats}`
    const words = [again ?? from, collections?.length ?? 'all', method, level, cancelled && 'cancelled']
    return words.filter(Boolean).join('/')
  })
  const deeds = actions.map(({ deed }) => deed.kind).filter((kind) => kind !== 'create')
  const { hosts, repos, addressing } = world
  return `seed ${seed}: ${workers}, ${repos} repos on ${hosts} hosts by ${addressing}; jobs ${wishes.join(', ')}; ${deeds.join(', ')}`
}
