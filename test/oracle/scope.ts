import type { Simulation } from '../support/simulation/simulation.js'
import type { Account } from '../support/simulation/world.js'
import type { PlannedJob } from './plan-jobs.js'

/** What a job must find: its plan, applied to the world. */
export interface Scope {
  readonly job: PlannedJob
  /** By DID. */
  readonly accounts: ReadonlyMap<string, Account>
  /** Of the world's collections. */
  readonly collections: readonly string[]
  /**
   * How many records of each wanted collection an account has; those without any are left out.
   * @param edition how often its repo has changed
   */
  counts(account: Account, edition?: number): Record<string, number>
  /** Requests to hosts that it takes at least. */
  readonly requests: number
}

const PAGE = 100

export function scopeOf(job: PlannedJob, simulation: Simulation): Scope {
  const { world } = simulation
  const wanted = world.collections.filter((name) => isWanted(job.collections, name))
  const counts = (account: Account, edition = 0) =>
    Object.fromEntries(
      wanted
        .map((name) => [name, world.count(account, name, edition)] as const)
        .filter(([, count]) => count > 0),
    )
  const named = job.accounts?.map((index) => world.accountAt(index))
  const isListed = (account: Account) => {
    // A host lists what it has, whether or not there is anything in it.
    if (job.hosts !== null) return job.hosts === 'all' || job.hosts.includes(account.host)
    return Object.keys(counts(account)).length > 0
  }
  const accounts = named ?? [...world.accounts()].filter(isListed)
  return {
    job,
    accounts: new Map(accounts.map((account) => [account.did, account])),
    collections: wanted,
    counts,
    requests: accounts.reduce((sum, account) => sum + requestsFor(job, Object.values(counts(account))), 0),
  }
}

/** @param counts records of each collection */
function requestsFor({ method, repeats }: PlannedJob, counts: readonly number[]): number {
  if (repeats !== null) return 0
  if (method !== 'list-records') return 1
  return counts.reduce((sum, count) => sum + Math.ceil(count / PAGE), 0)
}

function isWanted(wish: PlannedJob['collections'], name: string): boolean {
  if (wish === null) return true
  return wish.some((each) => (each.endsWith('.*') ? name.startsWith(each.slice(0, -1)) : each === name))
}
