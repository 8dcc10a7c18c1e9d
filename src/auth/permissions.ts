/** `read`: look at jobs and records. `create`: start and steer jobs. `admin`: all of it, for every caller. */
export type Permission = 'read' | 'create' | 'admin'

const NONE: ReadonlySet<Permission> = new Set()
const CALLER: ReadonlySet<Permission> = new Set<Permission>(['read', 'create'])
const ADMIN: ReadonlySet<Permission> = new Set<Permission>(['read', 'create', 'admin'])

/** Who may call, as configured: DIDs, compared exactly. */
export interface Access {
  /** `open`: everybody who proves their DID may read and create. `allowlist`: only those listed. */
  readonly mode: 'open' | 'allowlist'
  /** `BACKFILL_ADMINS` */
  readonly admins: readonly string[]
  /** `BACKFILL_ALLOW` */
  readonly allowed: readonly string[]
}

/** What `did` may do. An empty set: it is known who calls, and they may do nothing. */
export function permissionsFor(did: string, access: Access): ReadonlySet<Permission> {
  if (access.admins.includes(did)) return ADMIN
  if (access.mode === 'open' || access.allowed.includes(did)) return CALLER
  return NONE
}
