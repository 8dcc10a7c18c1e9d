import type { Level, RequestedMethod } from '../../src/verdict.js'
import type { Random } from '../support/simulation/random.js'

/** What a job asks for. Accounts are numbers in the world. */
export interface PlannedJob {
  readonly index: number
  /** Which of the two callers asks. */
  readonly caller: 0 | 1
  /** NSIDs and prefixes; null: every collection. */
  readonly collections: readonly string[] | null
  /** Null: those that the relays list, or the hosts. */
  readonly accounts: readonly number[] | null
  /** Whose repos it wants: those of some hosts, or the whole network's. Null: it names no host. */
  readonly hosts: readonly number[] | 'all' | null
  /** Of the accounts, those that are named by their handles. */
  readonly byHandle: ReadonlySet<number>
  /** DIDs that nobody has ever had. */
  readonly strays: readonly string[]
  /** Somebody cancels it. */
  readonly cancelled: boolean
  readonly method: RequestedMethod
  /** The least that its records must be proven. */
  readonly level: Level
  /** An earlier job that asked for the same; this one comes when that is over, as far as anybody can tell. */
  readonly repeats: number | null
}

/** How records are asked for, and how likely. */
const WISHES: readonly (readonly [number, RequestedMethod, Level])[] = [
  [0.3, 'auto', 'content'],
  [0.15, 'auto', 'signed'],
  [0.05, 'auto', 'none'],
  [0.15, 'list-records', 'content'],
  [0.05, 'list-records', 'none'],
  [0.1, 'get-repo', 'signed'],
  [0.05, 'get-repo', 'content'],
  [0.1, 'sparse', 'signed'],
  [0.05, 'sparse', 'none'],
]

export function planWish(random: Random): Pick<PlannedJob, 'method' | 'level'> {
  let left = random.next()
  const found = WISHES.find(([share]) => {
    left -= share
    return left < 0
  })
  const [, method, level] = found ?? WISHES[0]!
  return { method, level }
}

/** Jobs that ask again for what earlier ones have asked for, by whichever method. */
export function planRepeats(random: Random, jobs: readonly PlannedJob[]): PlannedJob[] {
  const lasting = jobs.filter(({ cancelled }) => !cancelled)
  const count = random.below(3)
  return Array.from({ length: count }, (_, at) => {
    const first = random.pick(lasting)
    const wish = random.chance(0.5) ? {} : planWish(random)
    return { ...first, ...wish, index: jobs.length + at, repeats: first.index }
  })
}

/** What is asked for, whichever way. */
type Asked = Omit<PlannedJob, 'index' | 'method' | 'level' | 'repeats'>

/** The first job is never cancelled, so that there is something to compare in every run. */
export function planJobs(random: Random, repos: number, collections: readonly string[]): Asked[] {
  const count = 2 + random.below(3)
  return Array.from({ length: count }, (_, index) => {
    const named = random.chance(0.4)
    const accounts = named ? some(random, repos) : null
    return {
      caller: random.below(2) as 0 | 1,
      collections: named ? wanted(random, collections) : someOf(random, collections),
      accounts,
      hosts: null,
      byHandle: new Set(accounts?.filter(() => random.chance(0.15))),
      strays: named && random.chance(0.3) ? [strayOf(random)] : [],
      cancelled: index > 0 && random.chance(0.25),
    }
  })
}

/** A job that asks hosts for their repos. Only the first caller may have the whole network's. */
export function planHostJob(random: Random, hosts: number, collections: readonly string[]): Asked {
  const some = Array.from({ length: hosts }, (_, host) => host).filter(() => random.chance(0.5))
  const isWhole = random.chance(0.4)
  return {
    caller: isWhole ? 0 : (random.below(2) as 0 | 1),
    collections: isWhole ? null : wanted(random, collections),
    accounts: null,
    hosts: isWhole ? 'all' : some.length > 0 ? some : [0],
    byHandle: new Set(),
    strays: [],
    cancelled: random.chance(0.2),
  }
}

function wanted(random: Random, collections: readonly string[]): readonly string[] | null {
  const kind = random.next()
  if (kind < 0.25) return null
  return kind < 0.5 ? ['network.example.graph.*'] : someOf(random, collections)
}

/** One of them at least. */
function someOf(random: Random, collections: readonly string[]): string[] {
  const first = random.pick(collections)
  return collections.filter((name) => name === first || random.chance(0.4))
}

function some(random: Random, repos: number): number[] {
  const share = 0.3 + random.next() / 2
  const picked = Array.from({ length: repos }, (_, index) => index).filter(() => random.chance(share))
  return picked.length > 0 ? picked : [0]
}

function strayOf(random: Random): string {
  const letters = Array.from({ length: 20 }, () => random.pick([...'abcdefghijklmnopqrstuvwxyz234567']))
  return `did:plc:zzzz${letters.join('')}`
}
