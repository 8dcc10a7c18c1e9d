import { isIP } from 'node:net'
import { bareHostname, isLocalHost, urlRefusal } from './address.js'

export interface HostOptions {
  /** Lets http and local addresses through, for tests and demos. */
  readonly allowPrivateNetwork: boolean
}

/** A scheme and an authority, nothing else: no credentials, path, query, fragment or white space. */
const ORIGIN = /^https?:\/\/[^/\\?#@\s]+\/?$/i
const AUTHORITY = /^[^/\\?#@\s]+$/

/** A DNS label; the underscore is no letter of a hostname, but there are hosts with one. */
const LABEL = /^[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?$/
const HOSTNAME_LENGTH_MAX = 253
/** Room for a name whose characters all take four bytes in a URL. */
const ENDPOINT_LENGTH_MAX = 4 * HOSTNAME_LENGTH_MAX

const NOTHING_BLOCKED: ReadonlySet<string> = new Set()

/**
 * A PDS origin as one spelling: lower case, international names in punycode, no default port, no trailing dot
 * or slash. A custom port is part of it.
 * @param endpoint what a DID document gives as its `serviceEndpoint`
 * @returns `https://pds.example.com` or `https://pds.example.com:8443`; null when it is not a usable origin: it
 *   has a path, query, fragment or credentials, is not https, or names a host of the local network
 */
export function normalizeHost(endpoint: string, options: HostOptions): string | null {
  if (endpoint.length > ENDPOINT_LENGTH_MAX || !ORIGIN.test(endpoint) || !URL.canParse(endpoint)) return null
  const url = new URL(endpoint)
  const { allowPrivateNetwork } = options
  if (urlRefusal(url, { allowPrivateNetwork, blockedHosts: NOTHING_BLOCKED }) !== null) return null
  const hostname = bareHostname(url)
  if (isIP(hostname) === 0 && !isDomainName(hostname)) return null
  const authority = isIP(hostname) === 6 ? `[${hostname}]` : hostname
  return `${url.protocol}//${authority}${url.port === '' ? '' : `:${url.port}`}`
}

/**
 * The origin of a host that was named without a scheme, as relays list them: `pds.example.com`, perhaps with a
 * port. The scheme is https, except that a local name or address (`localhost:2583`), where one is allowed at
 * all, speaks http, as relays assume too.
 * @returns null when it is not a bare hostname or not a usable one
 */
export function hostnameToOrigin(hostname: string, options: HostOptions): string | null {
  const endpoint = `https://${hostname}`
  if (!AUTHORITY.test(hostname) || !URL.canParse(endpoint)) return null
  const local = isLocalHost(new URL(endpoint))
  return normalizeHost(local ? `http://${hostname}` : endpoint, options)
}

function isDomainName(hostname: string): boolean {
  return hostname.length <= HOSTNAME_LENGTH_MAX && hostname.split('.').every((label) => LABEL.test(label))
}
