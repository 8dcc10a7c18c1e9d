import { isConfigured, PERMISSIONS, type Permission, permissionsFor } from '../auth/permissions.js'
import { WINDOW_MS } from '../auth/requests.js'
import type { Standing } from '../auth/verifier.js'
import { RequestError } from '../errors.js'
import * as store from '../store/callers.js'
import type { Asker, JobsContext } from './context.js'
import { type Quotas, quotasFor } from './quotas.js'
import type { Page } from './read.js'

/** A caller, and what it may do, whoever said so. */
export interface KnownCaller {
  readonly did: string
  readonly permissions: ReadonlySet<Permission>
  /** Those in force. */
  readonly quotas: Quotas
  readonly jobsOf: readonly string[]
  /** The settings name it. */
  readonly configured: boolean
  /** Null: only the settings name it. */
  readonly createdAt: Date | null
  readonly updatedAt: Date | null
}

/** What `putCaller` takes. */
export interface CallerInput {
  readonly did: string
  readonly permissions: readonly string[]
  readonly quotas?: Partial<Record<keyof Quotas, number>>
  readonly jobsOf?: readonly string[]
}

type Settings = Pick<JobsContext, 'config'>

/**
 * Counts a request of a caller and says what it may do. Asks the database each time: what an admin says holds
 * from the next request on, in every process.
 */
export async function admit(ctx: Pick<JobsContext, 'config' | 'db' | 'now'>, did: string): Promise<Standing> {
  const { minute, count, caller } = await store.countRequest(ctx.db, did, Math.floor(ctx.now() / WINDOW_MS))
  const { permissions, jobsOf, quotas } = knownCaller(ctx, did, caller)
  const limit = quotas.requestsPerMinute
  const requests = limit === null ? null : { limit, count, resetMs: (minute + 1) * WINDOW_MS }
  return { permissions, jobsOf, requests }
}

/** What callers may do, for those who ask again and again: no older than they want it. */
export class Standings {
  readonly #ctx: Pick<JobsContext, 'config' | 'db' | 'now'>
  readonly #maxAgeMs: number
  readonly #known = new Map<string, { readonly at: number; readonly caller: Promise<KnownCaller> }>()

  constructor(ctx: Pick<JobsContext, 'config' | 'db' | 'now'>, maxAgeMs: number) {
    this.#ctx = ctx
    this.#maxAgeMs = maxAgeMs
  }

  /** One question to the database for all who ask at about the same time. */
  of(did: string): Promise<KnownCaller> {
    const now = this.#ctx.now()
    for (const [other, { at }] of this.#known) if (now - at >= this.#maxAgeMs) this.#known.delete(other)
    const known = this.#known.get(did) ?? { at: now, caller: this.#find(did) }
    this.#known.set(did, known)
    return known.caller
  }

  async #find(did: string): Promise<KnownCaller> {
    return knownCaller(this.#ctx, did, await store.findCaller(this.#ctx.db, did))
  }
}

/**
 * Says what a caller may do, in the place of everything that was said of it before.
 * @throws RequestError `InvalidPermission`, `InvalidRequest`
 */
export async function putCaller(ctx: JobsContext, asker: Asker, input: CallerInput): Promise<KnownCaller> {
  const { did, quotas = {}, jobsOf = [] } = input
  const caller = {
    did,
    permissions: checkPermissions(input.permissions),
    jobsOf: [...new Set(jobsOf)],
    runningJobs: checkQuota('runningJobs', quotas.runningJobs),
    reposPerJob: checkQuota('reposPerJob', quotas.reposPerJob),
    requestsPerMinute: checkQuota('requestsPerMinute', quotas.requestsPerMinute),
    streams: checkQuota('streams', quotas.streams),
  }
  const row = await store.putCaller(ctx.db, caller, new Date(ctx.now()))
  const { permissions } = caller
  ctx.tell('caller.put', { caller: did, by: asker.did, permissions, quotas, jobsOf: caller.jobsOf.length })
  return knownCaller(ctx, did, row)
}

/**
 * Forgets what `putCaller` said of a caller.
 * @throws RequestError `CallerNotFound`
 */
export async function deleteCaller(ctx: JobsContext, asker: Asker, did: string): Promise<void> {
  if (!(await store.deleteCaller(ctx.db, did))) {
    const why = isConfigured(did, ctx.config.access) ? ': only the settings of the service name it' : ''
    throw new RequestError('CallerNotFound', `Nothing was said of the caller ${did}${why}`)
  }
  ctx.tell('caller.deleted', { caller: did, by: asker.did })
}

/** The callers that the settings or `putCaller` name, by DID. */
export async function listCallers(
  ctx: JobsContext,
  query: { after: string; limit: number },
): Promise<Page<KnownCaller>> {
  const { after, limit } = query
  const said = await store.listCallers(ctx.db, { after, limit: limit + 1 })
  const rows = new Map(said.map((row) => [row.did, row]))
  const { admins, allowed } = ctx.config.access
  const configured = [...admins, ...allowed].filter((did) => did > after)
  // DIDs are ASCII: this order is the database's.
  const dids = [...new Set([...rows.keys(), ...configured])].sort()
  const page = dids.slice(0, limit).map((did) => knownCaller(ctx, did, rows.get(did) ?? null))
  return { rows: page, more: dids.length > limit }
}

function knownCaller({ config }: Settings, did: string, row: store.CallerRow | null): KnownCaller {
  return {
    did,
    permissions: permissionsFor(did, config.access, row?.permissions ?? null),
    quotas: quotasFor(did, config, row),
    jobsOf: row?.jobs_of ?? [],
    configured: isConfigured(did, config.access),
    createdAt: row?.created_at ?? null,
    updatedAt: row?.updated_at ?? null,
  }
}

/** Each permission once. */
function checkPermissions(given: readonly string[]): Permission[] {
  const isKnown = (name: string): name is Permission => (PERMISSIONS as readonly string[]).includes(name)
  const unknown = given.filter((name) => !isKnown(name))
  if (unknown.length > 0) {
    const names = [...new Set(unknown)].map((name) => JSON.stringify(name)).join(', ')
    throw new RequestError(
      'InvalidPermission',
      `permissions: ${names}: there are only ${PERMISSIONS.join(', ')}`,
    )
  }
  return PERMISSIONS.filter((permission) => given.includes(permission))
}

/** Null: the default. */
function checkQuota(name: keyof Quotas, value: number | undefined): number | null {
  if (value === undefined) return null
  // The lexicon knows no upper bound, and beyond this one numbers are not exact.
  if (value <= Number.MAX_SAFE_INTEGER) return value
  throw new RequestError('InvalidRequest', `quotas: ${name} must be at most ${Number.MAX_SAFE_INTEGER}`)
}
