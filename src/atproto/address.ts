import { BlockList, isIP } from 'node:net'
import { isUnicastIpHostname } from '@atproto-labs/fetch-node'

/** What an outbound request may be sent to. */
export interface AddressPolicy {
  /** Lifts the rules on schemes and addresses, for tests and demos; what the operator blocked stays blocked. */
  readonly allowPrivateNetwork: boolean
  /** Hostnames in lower case; `*.example.com` stands for every subdomain of example.com. */
  readonly blockedHosts: ReadonlySet<string>
}

/** Names that never lead to the public network (RFC 6761, RFC 6762, RFC 7686, RFC 8375, RFC 9476, `.internal`). */
const LOCAL_SUFFIXES: ReadonlySet<string> = new Set([
  'alt',
  'example',
  'home.arpa',
  'internal',
  'invalid',
  'local',
  'localhost',
  'onion',
  'test',
])

/** The only IPv6 block that holds public unicast addresses (RFC 4291 §2.4, the IANA allocation). */
const GLOBAL_UNICAST = new BlockList()
GLOBAL_UNICAST.addSubnet('2000::', 3, 'ipv6')

/**
 * Whether an IP address (without brackets, as a resolver gives it) is public unicast. Everything else is not:
 * private, shared, link-local, loopback, multicast and reserved ranges, and the IPv6 forms that carry an IPv4
 * address (mapped, compatible, NAT64, 6to4, Teredo), whatever they carry.
 */
export function isPublicAddress(address: string): boolean {
  const family = isIP(address)
  if (family === 4) return isUnicastIpHostname(address) === true
  // The library takes unallocated blocks and `::a.b.c.d` for unicast, and cannot read a zone (`fe80::1%eth0`).
  if (family !== 6 || address.includes('%') || !GLOBAL_UNICAST.check(address, 'ipv6')) return false
  return isUnicastIpHostname(`[${address}]`) === true
}

/** Whether a name (in lower case, without a trailing dot) can only mean something on the local network. */
export function isLocalName(hostname: string): boolean {
  const labels = hostname.split('.')
  if (labels.length < 2) return true
  return LOCAL_SUFFIXES.has(labels.at(-1)!) || LOCAL_SUFFIXES.has(labels.slice(-2).join('.'))
}

/**
 * Whether a URL's host is a local name or an address that is not public. A name that DNS leads to a private
 * address is not seen here: that is known only when connecting.
 */
export function isLocalHost(url: URL): boolean {
  const hostname = bareHostname(url)
  return isIP(hostname) === 0 ? isLocalName(hostname) : !isPublicAddress(hostname)
}

/**
 * Why no request may go to this URL, in words that follow the URL's host; null when it may. The URL parser has
 * already turned every odd spelling of an IPv4 address (decimal, octal, hexadecimal, full-width) into the usual.
 */
export function urlRefusal(url: URL, policy: AddressPolicy): string | null {
  if (url.protocol !== 'https:' && !(policy.allowPrivateNetwork && url.protocol === 'http:')) {
    return `is not to be asked by ${url.protocol.slice(0, 32)} (only https is)`
  }
  if (url.username !== '' || url.password !== '') return 'is not to be asked with credentials in the URL'
  if (url.port === '0') return 'has no port 0'
  if (isBlocked(bareHostname(url), policy.blockedHosts)) return 'is blocked by the operator of this service'
  if (!policy.allowPrivateNetwork && isLocalHost(url)) return 'is not on the public network'
  return null
}

/** A URL's host without the brackets of IPv6 and without the trailing dot of an absolute name. */
export function bareHostname(url: URL): string {
  return url.hostname.replace(/^\[|\]$|\.$/g, '')
}

function isBlocked(hostname: string, blockedHosts: ReadonlySet<string>): boolean {
  if (blockedHosts.size === 0) return false
  if (blockedHosts.has(hostname)) return true
  for (let dot = hostname.indexOf('.'); dot !== -1; dot = hostname.indexOf('.', dot + 1)) {
    if (blockedHosts.has(`*${hostname.slice(dot)}`)) return true
  }
  return false
}
