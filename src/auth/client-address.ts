import type { IncomingMessage } from 'node:http'
import { isIPv4, isIPv6 } from 'node:net'

/**
 * The address a request came from, for plain requests and for the upgrade request of a subscription alike
 * (which express, and so its `req.ip`, never sees).
 *
 * Each proxy appends to `X-Forwarded-For` whom it was called by, so only the last `trustedProxies` entries are
 * ours; whatever stands before them is the client's own word and is ignored.
 * @param trustedProxies how many proxies of our own stand in front; 0 = the connection is the client's
 */
export function clientAddress(req: IncomingMessage, trustedProxies: number): string {
  const header = req.headers['x-forwarded-for'] ?? ''
  const forwarded = (Array.isArray(header) ? header.join(',') : header)
    .split(',')
    .map((entry) => entry.trim())
    .filter((entry) => entry !== '')
  const hops = [...forwarded, req.socket.remoteAddress ?? ''].reverse()
  return hops[Math.min(trustedProxies, hops.length - 1)] ?? ''
}

/**
 * What an address counts as: an IPv4 address by itself, an IPv6 address by its /64, which is the least that one
 * customer has to itself. Anything else is one bucket, so that odd input buys nobody a fresh count.
 */
export function addressBucket(address: string): string {
  const bare = withoutPort(address).replace(/%.*$/, '')
  if (isIPv4(bare)) return bare
  if (!isIPv6(bare)) return 'unknown'
  const groups = expandIPv6(bare)
  const mapped = groups.slice(0, 5).every((group) => group === 0) && groups[5] === 0xffff
  if (mapped)
    return groups
      .slice(6)
      .flatMap((group) => [group >> 8, group & 0xff])
      .join('.')
  return `${groups
    .slice(0, 4)
    .map((group) => group.toString(16))
    .join(':')}::/64`
}

/** Some proxies write `203.0.113.7:40312` or `[2001:db8::1]:40312`. */
function withoutPort(address: string): string {
  const match = /^(?:\[([^\]]*)\](?::\d+)?|(\d+\.\d+\.\d+\.\d+):\d+)$/.exec(address)
  return match?.[1] ?? match?.[2] ?? address
}

/** The eight 16-bit groups of a valid IPv6 address. */
function expandIPv6(address: string): number[] {
  // The URL parser brings every spelling, an embedded IPv4 tail included, into the one form split below.
  const compressed = new URL(`http://[${address}]`).hostname.slice(1, -1)
  const [head = '', tail] = compressed.split('::')
  const parse = (part: string) =>
    part === '' ? [] : part.split(':').map((group) => Number.parseInt(group, 16))
  const left = parse(head)
  const right = parse(tail ?? '')
  return [...left, ...new Array<number>(8 - left.length - right.length).fill(0), ...right]
}
