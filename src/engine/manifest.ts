import { createHash } from 'node:crypto'
import {
  EMPTY_TALLY,
  headText,
  lineText,
  type ManifestTally,
  manifestClaim,
  manifestLine,
  tallyWith,
} from '../jobs/manifest.js'
import { pause } from '../pause.js'
import type { ServiceKey } from '../service-key.js'
import type { Trx } from '../store/database.js'
import { findJob } from '../store/jobs.js'
import {
  addManifestPart,
  dueManifests,
  finishManifest,
  type ManifestDue,
  type ManifestMark,
  manifestLines,
  manifestMark,
  manifestRepos,
  withManifest,
} from '../store/manifest.js'
import { isDatabaseTrouble } from '../store/trouble.js'
import type { EngineContext } from './context.js'
import { repeatUntil } from './repeat.js'

/** Lines of one part: some hundred kilobytes, so that others of this process hardly wait for them. */
const PART_REPOS = 1_000

/** Where lines are long, because accounts have very many collections, there are fewer. One takes two megabytes at most. */
const PART_BYTES = 4 * 1024 * 1024

/** Jobs that get their manifests side by side: the large ones do not hold up the small ones. */
const JOBS_AT_ONCE = 50

/** Between two rounds of parts, ms: others want the database too. */
const PAUSE_MS = 20

/** How long a manifest that could not be made is left alone, ms. */
const REST_MS = 60_000

export type ManifestContext = Pick<
  EngineContext,
  'config' | 'db' | 'standstill' | 'tell' | 'now' | 'sweepEveryMs'
> & {
  readonly serviceKey: ServiceKey
  /** Lines of one part; many when absent. */
  readonly partRepos?: number
}

/**
 * Makes the manifests of jobs that have ended. All that is known of one that is being made is in rows: whoever comes
 * next, in whatever process, goes on there.
 */
export async function makeManifestsUntil(ctx: ManifestContext, signal: AbortSignal): Promise<void> {
  const resting = new Map<number, number>()
  const rest = (goesOn: boolean | null) => pause(goesOn ? PAUSE_MS : ctx.sweepEveryMs, signal)
  await repeatUntil(ctx, signal, () => makeParts(ctx, resting, signal), rest)
}

/**
 * One part for each job that has ended and has no manifest.
 * @param resting until when the jobs are left alone whose manifests could not be made
 * @returns whether there is more to be done at once
 */
async function makeParts(
  ctx: ManifestContext,
  resting: Map<number, number>,
  signal: AbortSignal,
): Promise<boolean> {
  let goesOn = false
  for (const due of await dueManifests(ctx.db, JOBS_AT_ONCE + resting.size)) {
    if (signal.aborted) return false
    if (ctx.now() < (resting.get(due.job) ?? 0)) continue
    resting.delete(due.job)
    try {
      goesOn = (await makePart(ctx, due, signal)) || goesOn
    } catch (error) {
      if (signal.aborted || isDatabaseTrouble(error)) throw error
      ctx.tell('engine.sweep-failed', { job: due.id, err: error })
      resting.set(due.job, ctx.now() + REST_MS)
    }
  }
  return goesOn
}

/**
 * Adds the next part to a manifest, or its end.
 * @returns whether there is more to be done, and not by somebody else
 */
export async function makePart(
  ctx: Omit<ManifestContext, 'standstill' | 'sweepEveryMs'>,
  due: ManifestDue,
  signal: AbortSignal,
): Promise<boolean> {
  const { partRepos = PART_REPOS } = ctx
  const made = await withManifest(ctx.db, due, async (trx) => {
    const mark = await manifestMark<ManifestTally>(trx, due)
    const repos = await manifestRepos(trx, due, mark.lastDid, { repos: partRepos, bytes: PART_BYTES })
    const last = repos.at(-1)
    if (last === undefined) return finish(ctx, trx, due, mark, signal)
    const lines = repos.map(manifestLine)
    const part = {
      number: mark.parts,
      lastDid: last.did,
      tally: lines.reduce(tallyWith, mark.tally ?? EMPTY_TALLY),
      lines: lines.map(lineText).join(''),
    }
    return (await addManifestPart(trx, due, part)) ? ('goes on' as const) : null
  })
  if (made === 'goes on') return true
  if (made !== null) ctx.tell('job.manifest-made', { job: due.id, ...made })
  return false
}

async function finish(
  { config, serviceKey, now }: Pick<ManifestContext, 'config' | 'serviceKey' | 'now'>,
  trx: Trx,
  due: ManifestDue,
  { parts, tally }: ManifestMark<ManifestTally>,
  signal: AbortSignal,
): Promise<{ hash: string; repos: number } | null> {
  const job = await findJob(trx, due.id)
  if (!job) return null
  const hash = createHash('sha256')
  for await (const lines of manifestLines(trx, due, parts)) {
    signal.throwIfAborted()
    hash.update(lines)
  }
  const builtAt = new Date(now())
  const sums = tally ?? EMPTY_TALLY
  const made = { service: config.identity.did, tally: sums, sha256: hash.copy().digest('hex'), builtAt }
  const head = await headText(manifestClaim(job, made), serviceKey)
  const whole = hash.update(head).digest('hex')
  const written = { hash: whole, head, receipts: sums.receipts, parts, builtAt }
  return (await finishManifest(trx, due, written)) ? { hash: whole, repos: sums.repos.total } : null
}
