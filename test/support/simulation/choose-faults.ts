import { ALL_KINDS, FAULT_KINDS, type FaultKind } from './fault-kinds.js'
import type { Faults } from './faults.js'
import { Random } from './random.js'
import type { Account, World } from './world.js'

/** So many accounts for each kind; for a relay's kinds, so many pages. */
export type FaultWish =
  | Partial<Record<FaultKind, number>>
  /** So many of each kind that needs nothing special. */
  | number

/** Accounts looked at for each one wanted before the world is taken not to have it. */
const TRIES = 2_000

/** Records of an account that no listing gives in one page. */
const MORE_THAN_A_PAGE = 101

/** Plans faults for accounts of a world, chosen by a seed. */
export function chooseFaults(faults: Faults, world: World, wish: FaultWish, seed: number): void {
  const random = new Random(seed, 8)
  for (const [kind, count] of wanted(faults, world, wish)) {
    if (FAULT_KINDS[kind].where === 'relay') faults.planRelay(kind, count)
    else for (let planned = 0; planned < count; planned++) choose(kind, faults, world, random)
  }
}

function wanted(faults: Faults, world: World, wish: FaultWish): [FaultKind, number][] {
  if (typeof wish !== 'number') return Object.entries(wish) as [FaultKind, number][]
  const possible = ALL_KINDS.filter((kind) => {
    const { onDemand, guarded } = FAULT_KINDS[kind]
    const suits = !needsWeb(kind) || world.accountAt(0).web !== null
    return !onDemand && suits && (faults.guarded || !guarded)
  })
  // Those that few accounts suit choose first.
  const scarceFirst = possible.toSorted((one, other) => Number(needsWeb(other)) - Number(needsWeb(one)))
  return scarceFirst.map((kind) => [kind, wish])
}

function choose(kind: FaultKind, faults: Faults, world: World, random: Random): void {
  const { always, where } = FAULT_KINDS[kind]
  // Half of what happens to accounts does in the middle of a long reading, where there is one.
  const account = pick(kind, faults, world, random, where === 'account' && random.chance(0.5))
  // Half of what can last does.
  const lasting = always || (where === 'request' && !isHarmless(kind) && random.chance(0.5))
  const isLong = recordsOf(world, account) >= MORE_THAN_A_PAGE
  const after = where === 'account' && isLong ? random.below(3) : 0
  faults.plan(kind, account, lasting ? 'always' : 'once', after)
}

/** @param long rather an account that takes several pages */
function pick(kind: FaultKind, faults: Faults, world: World, random: Random, long: boolean): Account {
  for (let tries = 0; tries < TRIES; tries++) {
    // Accounts with a did:web are few, and stand at the beginning.
    const account = world.accountAt(needsWeb(kind) ? tries : random.below(world.repos))
    const records = recordsOf(world, account)
    if (long && tries < TRIES / 2 && records < MORE_THAN_A_PAGE) continue
    if (faults.of(account) === null && suits(kind, account, records)) return account
  }
  throw new RangeError(`the world has no account left for ${kind}`)
}

function suits(kind: FaultKind, { web }: Account, have: number): boolean {
  const { records = 0, only } = FAULT_KINDS[kind]
  if (only && only !== (web === null ? 'plc' : 'web')) return false
  // A job that finds its repos by a relay sees those with records only.
  return have >= Math.max(1, records)
}

const recordsOf = (world: World, account: Account) => world.count(account, world.collections[0]!)

/** A client gets past it however often it meets it, or has to meet it no more than once. */
const isHarmless = (kind: FaultKind) => kind.startsWith('limited-') || kind === 'server-burst'
const needsWeb = (kind: FaultKind) => FAULT_KINDS[kind].only === 'web'
