import type { ReadMethod } from '../../src/engine/plan.js'
import { FAULT_KINDS, type FaultKind, type Outcome } from '../support/simulation/fault-kinds.js'
import type { PlannedJob } from './plan-jobs.js'

/** What the ways of reading a repo have to do with what becomes of it. */

type Wish = Pick<PlannedJob, 'method' | 'level'>

const COMPLETED: Outcome = { status: 'completed' }
const UNVERIFIABLE: Outcome = { status: 'failed', class: 'unverifiable' }

/** Which way asks for what. */
const NEEDS: Readonly<Record<ReadMethod, readonly string[]>> = {
  'list-records': ['com.atproto.repo.listRecords'],
  'get-repo': ['com.atproto.sync.getRepo'],
  sparse: ['com.atproto.sync.getRecord', 'com.atproto.sync.getBlocks'],
}

/** The ways that are in a fault's way; null: whichever there are. */
function spoiledBy(kind: FaultKind): readonly ReadMethod[] | null {
  const { methods } = FAULT_KINDS[kind]
  if (!methods) return null
  const ways = Object.entries(NEEDS) as [ReadMethod, readonly string[]][]
  return ways.filter(([, needs]) => needs.some((need) => methods.includes(need))).map(([way]) => way)
}

/** Whether a wish can be fulfilled by what a host offers. */
function canReadBy(way: ReadMethod, { method, level }: Wish, lacks: readonly string[]): boolean {
  if (method !== 'auto' && method !== way) return false
  if (way === 'list-records' && level === 'signed') return false
  return !NEEDS[way].some((need) => lacks.includes(need))
}

/** What a wish comes to by itself. @param ends what comes of asking for what the fault spoils */
function alone(wish: Wish, kind: FaultKind, ends: Outcome): Outcome {
  const spoiled = spoiledBy(kind)
  if (spoiled === null) return ends
  if (wish.method !== 'auto') return spoiled.includes(wish.method) ? ends : COMPLETED
  // Something signed is asked for first, and what it says is not passed over.
  if (kind === 'bad-signature' || kind === 'foreign-repo') return ends
  const left = (['sparse', 'get-repo', 'list-records'] as const).filter((way) => !spoiled.includes(way))
  return left.some((way) => canReadBy(way, wish, [])) ? COMPLETED : ends
}

/**
 * What may become of a repo in a job, by the way it is read.
 * @param others of other jobs that want the repo: what they have read need not be read again, and what they have
 *   proven is not replaced by less
 */
export function outcomesByWay(
  wish: Wish,
  others: readonly Wish[],
  { kind, ends }: { kind: FaultKind; ends: Outcome },
): Outcome[] {
  if (FAULT_KINDS[kind].where !== 'request') return [ends]
  const own = alone(wish, kind, ends)
  if (own.status === 'completed') {
    // A listing that leads in circles is left as it is, where listing is what `auto` takes.
    const leads = wish.method === 'auto' && ends.status === 'failed' && ends.class === 'cursor-loop'
    return leads ? [own, ends] : [own]
  }
  return others.some((other) => alone(other, kind, ends).status === 'completed') ? [own, COMPLETED] : [own]
}

/** What becomes of a repo that nothing else happens to, on a host that does not offer everything. */
export function outcomesByOffer(wish: Wish, others: readonly Wish[], lacks: readonly string[]): Outcome[] {
  const ways = ['sparse', 'get-repo', 'list-records'] as const
  const can = (each: Wish) => ways.some((way) => canReadBy(way, each, lacks))
  if (can(wish)) return [COMPLETED]
  // What another job has proven counts.
  return others.some(can) ? [UNVERIFIABLE, COMPLETED] : [UNVERIFIABLE]
}

/** Whether a fault has to show, whichever of these jobs comes first. */
export function mustShow(kind: FaultKind, wishes: readonly Wish[], after: number): boolean {
  const methods = new Set(wishes.map(({ method }) => method))
  const [only] = methods
  if (FAULT_KINDS[kind].where === 'account')
    return after === 0 || (methods.size === 1 && only === 'list-records')
  const spoiled = spoiledBy(kind)
  return spoiled === null || (methods.size === 1 && spoiled.some((way) => way === only))
}

/**
 * Whether a repo may have been read so, and a receipt may say so.
 * @param read the method by which the job itself has read it
 * @param receipt by which other jobs may have renewed it
 * @returns what is wrong; null: nothing
 */
export function wrongProof(
  wish: Wish,
  others: readonly Wish[],
  read: string,
  { method, level }: { method: string; level: string },
): string | null {
  const isSigned = level === 'signed'
  if (level === 'none' || (wish.level === 'signed' && !isSigned)) return `is proven as ${level} only`
  if (method !== 'unchanged' && isSigned !== (method !== 'list-records')) return `is ${level} by ${method}`
  return canHaveRead(wish, others, read)
    ? null
    : `was read by ${read}, though by ${wish.method} was asked for`
}

function canHaveRead(wish: Wish, others: readonly Wish[], read: string): boolean {
  if (read === 'unchanged' || wish.method === read) return true
  switch (wish.method) {
    case 'auto':
      return read !== 'list-records' || wish.level !== 'signed'
    case 'list-records':
      // What somebody has had signed is not replaced by less.
      return others.some(({ method }) => method !== 'list-records')
    case 'sparse':
      // A repo that does not hold still is read in one answer.
      return read === 'get-repo'
    case 'get-repo':
      return false
  }
}
