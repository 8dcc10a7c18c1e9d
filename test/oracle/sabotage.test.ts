import type * as Crypto from 'node:crypto'
import { type CidLink, decode } from '@atcute/cbor'
import { describe, expect, test, vi } from 'vitest'
import type * as Cooldown from '../../src/atproto/cooldown.js'
import { Failure } from '../../src/atproto/outcome.js'
import type * as Relay from '../../src/atproto/relay.js'
import type * as Commits from '../../src/atproto/repo/commit.js'
import type * as Walk from '../../src/atproto/repo/walk.js'
import type * as Standing from '../../src/engine/standing.js'
import type * as Unchanged from '../../src/engine/unchanged.js'
import type { Pool } from '../../src/store/database.js'
import type * as Listings from '../../src/store/listings.js'
import type * as Steps from '../../src/store/steps.js'
import type * as StepsStatement from '../../src/store/steps-statement.js'
import { createDatabase } from '../support/database.js'
import type { FaultKind } from '../support/simulation/fault-kinds.js'
import { type Plan, planOf } from './plan.js'
import type { Action, Deed } from './plan-actions.js'
import { runSeed } from './run.js'
import { SEEDS } from './seeds.js'

/**
 * Faults of our own, one at a time: an oracle that does not see each of them proves nothing. What is broken here is
 * whole outside of this file.
 */

// Most of a run is waiting, so that several go on at once.
vi.setConfig({ testTimeout: 1_200_000, maxConcurrency: 4 })

type Sabotage =
  | 'a cursor is saved without its page'
  | 'an empty page ends a listing'
  | 'a page of records is not stored'
  | 'a step is applied twice'
  | 'a driver ignores its fence'
  | 'deletes are derived from an incomplete reading'
  | 'a request goes out during a cooldown'
  | 'a feed skips a number'
  | 'a counter is not taken back'
  | 'a missing node is taken for an empty one'
  | 'the hash of a block is not checked'
  | 'a signature is not checked'
  | 'a receipt of an older rev is taken for unchanged'
  | 'deletes are derived beyond the part that was read'
  | 'a host that does not answer is asked on'

/** What is broken for those who ask: each world has its own fault, and several worlds go on at the same time. */
const now = await vi.hoisted(async () => {
  const { AsyncLocalStorage } = await import('node:async_hooks')
  const worlds = new AsyncLocalStorage<{ readonly is: Sabotage; turns: number }>()
  return {
    get is(): Sabotage | null {
      return worlds.getStore()?.is ?? null
    },
    /** Has a fault show every so often. */
    isTurn(of: number): boolean {
      const world = worlds.getStore()
      if (world === undefined) return false
      world.turns += 1
      return world.turns % of === 0
    },
    in<T>(is: Sabotage, doing: () => Promise<T>): Promise<T> {
      return worlds.run({ is, turns: 0 }, doing)
    },
  }
})

vi.mock('../../src/store/listings.js', async (original) => {
  const right = await original<typeof Listings>()
  const saveListingPage: typeof right.saveListingPage = (db, job, listing, page) => {
    const isLost = now.is === 'a cursor is saved without its page' && now.isTurn(3)
    return right.saveListingPage(db, job, listing, isLost ? { ...page, dids: [] } : page)
  }
  return { ...right, saveListingPage }
})

vi.mock('../../src/atproto/relay.js', async (original) => {
  const right = await original<typeof Relay>()
  const listReposByCollection: typeof right.listReposByCollection = async (query, params) => {
    const page = await right.listReposByCollection(query, params)
    const ends = now.is === 'an empty page ends a listing' && page.dids.length === 0
    return ends ? { ...page, cursor: null } : page
  }
  return { ...right, listReposByCollection }
})

vi.mock('../../src/atproto/cooldown.js', async (original) => {
  const right = await original<typeof Cooldown>()
  const cooldownUntil: typeof right.cooldownUntil = (...args) =>
    now.is === 'a request goes out during a cooldown' ? args[1] : right.cooldownUntil(...args)
  return { ...right, cooldownUntil }
})

vi.mock('../../src/atproto/repo/walk.js', async (original) => {
  const right = await original<typeof Walk>()
  const walk: typeof right.walk = (blocks, root, ranges) => {
    const isBlind = now.is === 'a missing node is taken for an empty one' && !blocks.has(root)
    return isBlind
      ? ([][Symbol.iterator]() as ReturnType<typeof right.walk>)
      : right.walk(blocks, root, ranges)
  }
  return { ...right, walk }
})

vi.mock('../../src/atproto/repo/commit.js', async (original) => {
  const right = await original<typeof Commits>()
  const checkCommit: typeof right.checkCommit = async (bytes, cid, expected) => {
    try {
      return await right.checkCommit(bytes, cid, expected)
    } catch (error) {
      const isBlind = now.is === 'a signature is not checked'
      if (!isBlind || !(error instanceof Failure) || error.failure !== 'bad-signature') throw error
      const { did, rev, data } = decode(bytes) as { did: string; rev: string; data: CidLink }
      return { did, rev, cid, data: data.$link }
    }
  }
  return { ...right, checkCommit }
})

/** How a CID of a block begins; its hash follows, and then the block. */
const CID_HEAD = Buffer.from([1, 0x71, 0x12, 0x20])
const HASH_BYTES = 32

vi.mock('node:crypto', async (original) => {
  const right = await original<typeof Crypto>()
  const hash = ((algorithm: string, data: string | Uint8Array, encoding: 'binary') => {
    const isBlind = now.is === 'the hash of a block is not checked' && typeof data !== 'string'
    const at = isBlind ? data.byteOffset - HASH_BYTES - CID_HEAD.length : -1
    if (!isBlind || at < 0) return right.hash(algorithm, data, encoding)
    const cid = Buffer.from(data.buffer, at, HASH_BYTES + CID_HEAD.length)
    if (!CID_HEAD.equals(cid.subarray(0, CID_HEAD.length))) return right.hash(algorithm, data, encoding)
    return cid.subarray(CID_HEAD.length).toString('latin1')
  }) as typeof right.hash
  return { ...right, default: right, hash }
})

vi.mock('../../src/engine/unchanged.js', async (original) => {
  const right = await original<typeof Unchanged>()
  const standingVerdict: typeof right.standingVerdict = async (assignment) => {
    const verdict = await right.standingVerdict(assignment)
    const { job, repo } = assignment
    const older = repo.receipts.find(({ scope }) => scope === job.scope)
    if (verdict || !older || now.is !== 'a receipt of an older rev is taken for unchanged') return verdict
    return { receipt: older, counts: older.counts, unreadable: 0, unreadableFirst: [] }
  }
  return { ...right, standingVerdict }
})

vi.mock('../../src/engine/standing.js', async (original) => {
  const right = await original<typeof Standing>()
  const withFailure: typeof right.withFailure = (standing) =>
    now.is === 'a host that does not answer is asked on' ? standing : right.withFailure(standing)
  return { ...right, withFailure }
})

vi.mock('../../src/store/steps.js', async (original) => {
  const right = await original<typeof Steps>()
  class StepBatch extends right.StepBatch {
    override add(step: Steps.RepoStep): void {
      const isLost = now.is === 'a page of records is not stored' && step.rows.length > 0 && now.isTurn(3)
      super.add(isLost ? { ...step, rows: [] } : step)
    }

    override async write(...args: Parameters<Steps.StepBatch['write']>): Promise<boolean[]> {
      const applied = await super.write(...args)
      if (now.is === 'a step is applied twice') await super.write(...args)
      return applied
    }
  }
  const entombMissing: typeof right.entombMissing = async (client, ended) => {
    if (now.is === 'deletes are derived from an incomplete reading') {
      return right.entombMissing(client, { ...ended, reading: -1 })
    }
    if (now.is !== 'deletes are derived beyond the part that was read')
      return right.entombMissing(client, ended)
    const all = await right.storedCollections(client, ended.repo)
    return right.entombMissing(client, { ...ended, collections: [...all.values()] })
  }
  return { ...right, StepBatch, entombMissing }
})

vi.mock('../../src/store/steps-statement.js', async (original) => {
  const { WRITE_STEPS, ...right } = await original<typeof StepsStatement>()
  return {
    ...right,
    get WRITE_STEPS() {
      if (now.is === 'a driver ignores its fence') {
        const unclaimed = changed(WRITE_STEPS, ' and claim.epoch = host.epoch', '')
        return changed(unclaimed, ' and held.epoch = step.epoch', '')
      }
      if (now.is === 'a feed skips a number') {
        const given = 'then locked.seq + live.n else r.seq'
        return changed(
          WRITE_STEPS,
          given,
          "then locked.seq + live.n - case when live.status = 'completed' then 2 else 0 end else r.seq",
        )
      }
      return WRITE_STEPS
    },
  }
})

/** What is not there any more cannot be broken: then this file has to be looked at. */
function changed(text: string, from: string, to: string): string {
  if (!text.includes(from)) throw new Error(`the statement does not contain ${from}`)
  return text.replace(from, to)
}

/** So many runs at most have to show a fault. */
const SEEDS_MOST = 12

/** Keeps a counter from going down. */
const STICKY = `
create function stick() returns trigger language plpgsql as
  $$ begin new.failed := greatest(new.failed, old.failed); return new; end $$;
create trigger stick before update on job_progress for each row execute function stick()`

interface Case {
  readonly sabotage: Sabotage
  /** What the oracle has to say of it. */
  readonly says: RegExp
  /** Those that have shown it at once; when they do not, others have to. */
  readonly seeds: readonly number[]
  /** Has what is broken come up, where a plan has little of it. */
  readonly revise?: (plan: Plan) => Plan
  readonly prepare?: (store: { readonly pool: Pool }) => Promise<void>
}

/** What should have failed has come to a good end, with what it should not have. */
const COMPLETES = /is \{"status":"completed"\}|stored, but/

/** The same, or it has failed for what the wrong bytes say. */
const MISREADS = /"bad-tree"|stored, but|is \{"status":"completed"\}/

/** The same, or it has been read with less in it than there is. */
const MISSES = /has a receipt|stored, but|is \{"status":"completed"\}/

/** One relay, so that nobody else names the repos behind such a page. */
function withEmptyPages(plan: Plan): Plan {
  const faults = { ...plan.faults, pages: 2, ofPages: ['relay-empty-page'] as const }
  return { ...plan, faults, world: { ...plan.world, relays: 1 } }
}

/** Every job reads whole repos, and some of them are spoiled so. */
function withSpoiledRepos(...ofAccounts: readonly FaultKind[]): (plan: Plan) => Plan {
  return (plan) => ({
    ...plan,
    jobs: plan.jobs.map((job) => ({ ...job, method: 'get-repo', level: 'signed' })),
    faults: { ...plan.faults, accounts: 6, ofAccounts },
  })
}

/** Hosts that take their time ask now and then for a pause, while there is more to ask them for. */
function withPauses(plan: Plan): Plan {
  const ofAccounts = ['limited-seconds', 'limited-date', 'limited-html'] as const
  const world = { ...plan.world, latencyMs: () => 150, limit: () => null }
  return { ...plan, world, faults: { ...plan.faults, accounts: 8, ofAccounts } }
}

/** Every host is taken over again and again. */
function withRivals(plan: Plan): Plan {
  const rivals = [0.1, 0.3, 0.5, 0.7].flatMap((at) =>
    Array.from({ length: plan.world.hosts }, (_, host): Action => ({ at, deed: { kind: 'rival', host } })),
  )
  return { ...plan, actions: [...plan.actions, ...rivals].sort((one, other) => one.at - other.at) }
}

/** The host with the most accounts is away for long enough to be tried many times, and everybody knows it. */
function withLongOutage(plan: Plan): Plan {
  const forgets = new Set<Deed['kind']>(['restart', 'cut', 'rival', 'outage'])
  const others = plan.actions.filter(({ deed }) => !forgets.has(deed.kind))
  const outage: Action = { at: 0.1, deed: { kind: 'outage', host: 0, forMs: 4_000 } }
  return { ...plan, actions: [...others, outage].sort((one, other) => one.at - other.at) }
}

const CASES: readonly Case[] = [
  { sabotage: 'a cursor is saved without its page', says: /has not found/, seeds: [4, 2, 5] },
  {
    sabotage: 'an empty page ends a listing',
    says: /has not found/,
    seeds: [3, 6, 14],
    revise: withEmptyPages,
  },
  { sabotage: 'a page of records is not stored', says: /stored, but missing/, seeds: [4, 2, 5] },
  { sabotage: 'a step is applied twice', says: /counters|goes on/, seeds: [4, 2, 5] },
  {
    sabotage: 'a driver ignores its fence',
    says: /that has lost it wrote on/,
    seeds: [4, 11, 17],
    revise: withRivals,
  },
  { sabotage: 'deletes are derived from an incomplete reading', says: /stored/, seeds: [3, 7, 21] },
  {
    sabotage: 'a request goes out during a cooldown',
    says: /wanted to be left alone/,
    seeds: [7, 9, 2],
    revise: withPauses,
  },
  { sabotage: 'a feed skips a number', says: /was told to be/, seeds: [4, 2, 5] },
  {
    sabotage: 'a counter is not taken back',
    says: /counters|says/,
    seeds: [3, 4, 16, 2],
    prepare: async ({ pool }) => void (await pool.query(STICKY)),
  },
  {
    sabotage: 'a missing node is taken for an empty one',
    says: MISSES,
    seeds: [6, 9, 19],
    revise: withSpoiledRepos('missing-block'),
  },
  {
    sabotage: 'the hash of a block is not checked',
    says: MISREADS,
    seeds: [6, 17, 9],
    revise: withSpoiledRepos('flipped-car'),
  },
  {
    sabotage: 'a signature is not checked',
    says: COMPLETES,
    seeds: [11, 1, 2],
    revise: withSpoiledRepos('bad-signature'),
  },
  { sabotage: 'a receipt of an older rev is taken for unchanged', says: /an older rev/, seeds: [1, 4, 16] },
  {
    sabotage: 'deletes are derived beyond the part that was read',
    says: /stored, but missing/,
    seeds: [4, 2, 7],
  },
  {
    sabotage: 'a host that does not answer is asked on',
    says: /answered none|connection-failed/,
    seeds: [3, 1, 13],
    revise: withLongOutage,
  },
]

/** What happens when is not up to the seed alone: where a few miss it, a dozen do not. */
function withOthers(seeds: readonly number[]): number[] {
  const others = SEEDS.filter((seed) => !seeds.includes(seed) && planOf(seed).crew.kind === 'engines')
  return [...seeds, ...others].slice(0, SEEDS_MOST)
}

describe.concurrent('the oracle sees it when', () => {
  test.for(CASES)('$sabotage', async ({ sabotage, says, seeds, revise, prepare }) => {
    const seen: string[] = []
    const isSeen = (differences: readonly string[]) => differences.some((difference) => says.test(difference))
    for (const seed of withOthers(seeds)) {
      const { differences } = await now.in(sabotage, () =>
        runSeed(seed, {
          create: createDatabase,
          isEnough: isSeen,
          ...(revise && { revise }),
          ...(prepare && { prepare }),
        }),
      )
      seen.push(...differences)
      if (isSeen(differences)) return
    }
    expect(seen, `seeds ${withOthers(seeds)}`).toContainEqual(expect.stringMatching(says))
  })
})
