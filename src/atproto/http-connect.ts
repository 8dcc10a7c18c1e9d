import type { LookupAddress } from 'node:dns'
import { isIP, type LookupFunction } from 'node:net'
import { buildConnector } from 'undici'
import { isPublicAddress } from './address.js'
import { HttpFailure } from './http-failure.js'

export interface ConnectOptions {
  readonly lookup: LookupFunction
  readonly allowPrivateNetwork: boolean
  /** Name resolution, TCP and TLS together, ms. */
  readonly connectTimeoutMs: number
  /** Where a checked address is really reached: lets a test stand in for the public network. */
  readonly reach?: (address: LookupAddress) => LookupAddress
}

/**
 * How long one of a host's addresses may take before the next is tried, ms. Node's 250 gives up on every
 * address but the last of a host at the other end of the world.
 */
const ADDRESS_ATTEMPT_MS = 1_000

/** TLS sessions remembered for resumption, over all hosts. */
const TLS_SESSIONS_MAX = 1_000

/** Opens connections, to nothing but the addresses that were checked for them. */
export function guardedConnector(options: ConnectOptions): buildConnector.connector {
  return buildConnector({
    lookup: guardedLookup(options),
    timeout: options.connectTimeoutMs,
    // With HTTP/2 one connection carries a hundred exchanges, and its loss fails them all.
    allowH2: false,
    maxCachedSessions: TLS_SESSIONS_MAX,
    autoSelectFamily: true,
    autoSelectFamilyAttemptTimeout: ADDRESS_ATTEMPT_MS,
  })
}

/**
 * A lookup for `net.connect`, which connects to the addresses it is given and resolves nothing by itself. So the
 * addresses checked here are the ones used, however the name resolves a moment later. One bad address refuses
 * the name: a host with nothing to hide has none.
 */
function guardedLookup({ lookup, allowPrivateNetwork, reach }: ConnectOptions): LookupFunction {
  return (hostname, options, callback) => {
    lookup(hostname, { ...options, all: true }, (error, found, family) => {
      if (error) return callback(error, [])
      const addresses =
        typeof found === 'string' ? [{ address: found, family: family ?? isIP(found) }] : found
      const [first] = addresses
      if (first === undefined) {
        return callback(new HttpFailure('dns-failure', `${hostname}: DNS has no address for it`), [])
      }
      const refused = addresses.find(({ address }) => !allowPrivateNetwork && !isPublicAddress(address))
      if (refused !== undefined) {
        const message = `${hostname} resolves to ${refused.address}, which is not a public address`
        return callback(new HttpFailure('host-blocked', message), [])
      }
      const reached = reach ? addresses.map(reach) : addresses
      if (options.all) callback(null, reached)
      else callback(null, reached[0]!.address, reached[0]!.family)
    })
  }
}
