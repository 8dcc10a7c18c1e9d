/** What kind of host a request goes to: there are too many hosts to count each by itself. */
export const HOST_CLASSES = ['pds', 'relay', 'directory', 'did-web', 'handle'] as const
export type HostClass = (typeof HOST_CLASSES)[number]

/** The hosts whose kind the configuration says. Origins. */
export interface NamedHosts {
  readonly relays: readonly string[]
  readonly directoryUrl: string
  readonly handleResolverUrl: string | null
}

/** The path at which a handle names its account. */
const HANDLE_PATH = '/.well-known/atproto-did'

/** What kind of host a request goes to, by where it goes; a host that is nothing else is a PDS. Pure. */
export function hostClassOf(url: URL, { relays, directoryUrl, handleResolverUrl }: NamedHosts): HostClass {
  const { origin } = url
  if (relays.includes(origin)) return 'relay'
  if (origin === directoryUrl) return 'directory'
  if (origin === handleResolverUrl || url.pathname === HANDLE_PATH) return 'handle'
  return url.pathname.endsWith('/did.json') ? 'did-web' : 'pds'
}
