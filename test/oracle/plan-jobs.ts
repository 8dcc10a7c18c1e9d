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
}

/** The first job is never cancelled, so that there is something to compare in every run. */
export function planJobs(
  random: Random,
  repos: number,
  collections: readonly string[],
): Omit<PlannedJob, 'index'>[] {
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
export function planHostJob(
  random: Random,
  hosts: number,
  collections: readonly string[],
): Omit<PlannedJob, 'index'> {
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
