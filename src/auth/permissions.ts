/** `read`: look at jobs and records. `create`: start and steer jobs. `admin`: all of it, for every caller. */
export const PERMISSIONS = ['read', 'create', 'admin'] as const
export type Permission = (typeof PERMISSIONS)[number]

const NONE: ReadonlySet<Permission> = new Set()
const CALLER: ReadonlySet<Permission> = new Set<Permission>(['read', 'create'])
const ADMIN: ReadonlySet<Permission> = new Set(PERMISSIONS)

/** Who may call, as configured: DIDs, compared exactly. */
export interface Access {
  /** `open`: everybody who proves their DID may read and create. `allowlist`: only those listed. */
  readonly mode: 'open' | 'allowlist'
  /** `BACKFILL_ADMINS` */
  readonly admins: readonly string[]
  /** `BACKFILL_ALLOW` */
  readonly allowed: readonly string[]
}

/**
 * What `did` may do. An empty set: it is known who calls, and they may do nothing.
 * @param granted what an admin said of it, which counts for more than the settings do, but for the admins that
 *   these name: nobody can take anything from them. Null: nobody has said anything.
 */
export function permissionsFor(
  did: string,
  access: Access,
  granted: readonly string[] | null,
): ReadonlySet<Permission> {
  if (access.admins.includes(did)) return ADMIN
  if (granted !== null) return permissionsOf(granted)
  if (access.mode === 'open' || access.allowed.includes(did)) return CALLER
  return NONE
}

/** Permissions as they were granted; a word that this version does not know grants nothing. */
function permissionsOf(granted: readonly string[]): ReadonlySet<Permission> {
  if (granted.includes('admin')) return ADMIN
  return new Set(PERMISSIONS.filter((permission) => granted.includes(permission)))
}

/** Whether the settings name `did`, so that it is known whatever an admin says of it. */
export function isConfigured(did: string, access: Access): boolean {
  return access.admins.includes(did) || access.allowed.includes(did)
}
