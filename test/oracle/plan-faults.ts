import { isRetryable } from '../../src/verdict.js'
import { ALL_KINDS, FAULT_KINDS, type FaultKind } from '../support/simulation/fault-kinds.js'
import { Random } from '../support/simulation/random.js'
import type { Simulation } from '../support/simulation/simulation.js'
import type { Account } from '../support/simulation/world.js'
import type { Plan } from './plan.js'
import type { PlannedJob } from './plan-jobs.js'
import type { Scope } from './scope.js'

/** Records of a collection that no listing gives in one page. */
const MORE_THAN_A_PAGE = 101

/** An account is looked for so often before a kind is given up: not every world has one for each. */
const TRIES = 200

/** A host that fails so again and again is left alone for a minute: each of these is met once. */
const TROUBLE = new Set<FaultKind>(['reset', 'truncated', 'server-error', 'silence', 'slow-body'])

/** A host that is not there is parked for good. */
const PARKS = new Set<FaultKind>(['unknown-host'])

/** These park a host for as long as it takes. */
const BURSTS = new Set<FaultKind>(['server-burst'])

/** Of those that not every job meets, the ones that some do. */
const SIGNED = new Set<FaultKind>([
  'short-car',
  'flipped-car',
  'missing-block',
  'bad-signature',
  'foreign-repo',
  'edited',
])

/** Nobody can shorten the patience of a process. */
const SLOW = new Set<FaultKind>(['silence', 'slow-body', 'oversized'])

/**
 * Plans faults for accounts that some job takes to its end, so that each has to show. One that is met once must do
 * no lasting harm, because of several jobs only one meets it.
 */
export function planFaults(plan: Plan, simulation: Simulation, scopes: readonly Scope[]): void {
  const random = new Random(plan.seed, 2)
  const lasting = scopes.filter(({ job }) => !job.cancelled)
  const kinds = plan.faults.ofAccounts ?? ALL_KINDS.filter((kind) => suitsPlan(kind, plan))
  for (let planned = 0; planned < plan.faults.accounts; planned++) {
    const kind = random.pick(kinds)
    const account = pick(kind, { plan, simulation, scopes, lasting, random })
    if (account) planOne(kind, account, { simulation, lasting, random })
  }
  planSigned({ plan, simulation, scopes, lasting, random: new Random(plan.seed, 10) })
  planPages(plan, simulation, lasting, random)
}

/** Of all kinds these are few, and there are many ways to meet them. */
function planSigned(context: Picking): void {
  for (const kind of SIGNED) {
    const account = context.random.chance(0.5) ? pick(kind, context) : null
    if (account) planOne(kind, account, context)
  }
}

/** What a host lists depends then on when it is asked. */
const MOVES = new Set<FaultKind>(['migrated', 'host-moved'])

function suitsPlan(kind: FaultKind, plan: Plan): boolean {
  const { crew, world, jobs } = plan
  const { onDemand, guarded, where } = FAULT_KINDS[kind]
  const isPlain = Array.from({ length: world.hosts }, (_, host) => host).every((host) =>
    isPlainHost(host, plan),
  )
  if (MOVES.has(kind) && (jobs.some(({ hosts }) => hosts !== null) || !isPlain)) return false
  if (BURSTS.has(kind) && crew.kind === 'processes') return false
  if ((onDemand && !SIGNED.has(kind)) || where === 'relay' || PARKS.has(kind)) return false
  if (guarded && world.addressing !== 'guarded') return false
  return crew.kind === 'engines' || !SLOW.has(kind)
}

/** Whether a host offers everything, and is always there. */
function isPlainHost(host: number, { world, actions }: Plan): boolean {
  const isDown = actions.some(({ deed }) => deed.kind === 'outage' && deed.host === host)
  return !isDown && (world.lacks?.(host) ?? []).length === 0
}

/** What all jobs want of an account. */
export function wishesFor(account: Account, scopes: readonly Scope[]): PlannedJob[] {
  return scopes.filter(({ accounts }) => accounts.has(account.did)).map(({ job }) => job)
}

/** What half a reading leaves of a repo that goes on changing is nobody's picture of it. */
function isReadToTheEnd(account: Account, scopes: readonly Scope[]): boolean {
  return wishesFor(account, scopes).every(({ cancelled }) => !cancelled)
}

/** Accounts whose repos may change. */
export function changeableAccounts(
  plan: Plan,
  { world, faults }: Simulation,
  scopes: readonly Scope[],
): Account[] {
  return [...world.accounts()].filter(
    (account) =>
      faults.of(account) === null && isPlainHost(account.host, plan) && isReadToTheEnd(account, scopes),
  )
}

interface Context {
  readonly simulation: Simulation
  readonly lasting: readonly Scope[]
  readonly random: Random
}

interface Picking extends Context {
  readonly plan: Plan
  readonly scopes: readonly Scope[]
}

function planOne(kind: FaultKind, account: Account, { simulation, lasting, random }: Context): void {
  const spec = FAULT_KINDS[kind]
  const { ends } = spec
  const isFinal = ends.status === 'failed' && !isRetryable(ends.class)
  const isOften = ends.status === 'failed' && random.chance(0.5)
  const always = !TROUBLE.has(kind) && !SLOW.has(kind) && (spec.always || isFinal || isOften)
  const isLong = most(account, lasting) >= MORE_THAN_A_PAGE
  const after = spec.where === 'account' && isLong ? random.below(3) : 0
  simulation.faults.plan(kind, account, always ? 'always' : 'once', after)
}

function pick(kind: FaultKind, { plan, simulation, scopes, lasting, random }: Picking): Account | null {
  const { where } = FAULT_KINDS[kind]
  const { only, records = 0 } = FAULT_KINDS[kind]
  for (let tries = 0; tries < TRIES; tries++) {
    const account = simulation.world.accountAt(random.below(simulation.world.repos))
    if (simulation.faults.of(account) !== null) continue
    if (where !== 'document' && !isPlainHost(account.host, plan)) continue
    if (kind === 'edited' && !isReadToTheEnd(account, scopes)) continue
    if (only && only !== (account.web === null ? 'plc' : 'web')) continue
    const wanted = lasting.filter((scope) => scope.accounts.has(account.did))
    // Naming an account by its handle looks at its document before there is a job.
    const isNamed = lasting.some(({ job }) => job.byHandle.has(account.index))
    if (wanted.length === 0 || isNamed || most(account, wanted) < Math.max(1, records)) continue
    return account
  }
  return null
}

/** The most records of one collection that a job asks an account for. */
function most(account: Account, scopes: readonly Scope[]): number {
  return Math.max(
    0,
    ...scopes
      .filter(({ accounts }) => accounts.has(account.did))
      .flatMap(({ counts }) => Object.values(counts(account))),
  )
}

function planPages(
  { faults: { pages, ofPages }, world }: Plan,
  { faults }: Simulation,
  lasting: readonly Scope[],
  random: Random,
): void {
  const listed = lasting.filter(({ job }) => job.accounts === null && job.hosts === null)
  const found = Math.min(...listed.map(({ accounts }) => accounts.size))
  // There must be a page for each.
  if (listed.length === 0 || found < pages * world.relayPageSize!) return
  const kinds = ofPages ?? ALL_KINDS.filter((kind) => FAULT_KINDS[kind].where === 'relay')
  for (let planned = 0; planned < pages; planned++) faults.planRelay(random.pick(kinds))
}
