import { Closers } from '../../../src/closers.js'
import { type HandleResolver, startHandleResolver } from './handle-resolver.js'
import { startPds, type TestPds } from './pds.js'
import { startPlc, type TestPlc } from './plc.js'
import { startRelay, type TestRelay } from './relay.js'

export interface NetworkOptions {
  /** 1 to 5; 2 when absent. */
  readonly pdsCount?: number
  /** Entries on a page of the relay; as many as are asked for when absent. */
  readonly relayPageSize?: number
}

/** A small atproto network on loopback: everything is real but the relay and the handle resolver. */
export interface Network extends AsyncDisposable {
  readonly plc: TestPlc
  /** Their handles end in `.one.test`, `.two.test` and so on. */
  readonly pdses: readonly TestPds[]
  readonly relay: TestRelay
  readonly handleResolver: HandleResolver
  /** What tells a service to use this network and no other. */
  readonly environment: Readonly<Record<string, string>>
}

const HANDLE_DOMAINS = ['.one.test', '.two.test', '.three.test', '.four.test', '.five.test']

/** Starts a network without accounts. Disposing of it leaves nothing behind. */
export async function startNetwork({ pdsCount = 2, relayPageSize }: NetworkOptions = {}): Promise<Network> {
  if (pdsCount > HANDLE_DOMAINS.length) throw new RangeError(`at most ${HANDLE_DOMAINS.length} PDSs`)
  const closers = new Closers()
  try {
    const plc = closers.use(await startPlc())
    const pdses: TestPds[] = []
    // All at once: each takes up to a second to notice, between two looks at its event log.
    closers.add(async () => void (await Promise.all(pdses.map((pds) => pds[Symbol.asyncDispose]()))))
    for (const handleDomain of HANDLE_DOMAINS.slice(0, pdsCount)) {
      pdses.push(await startPds({ plcUrl: plc.url, handleDomain }))
    }
    const relay = closers.use(await startRelay({ hosts: pdses, pageSize: relayPageSize }))
    const handleResolver = closers.use(await startHandleResolver(pdses))
    const environment = {
      RELAYS: relay.url,
      PLC_URL: plc.url,
      HANDLE_RESOLVER_URL: handleResolver.url,
      ALLOW_PRIVATE_NETWORK: 'true',
    }
    return { plc, pdses, relay, handleResolver, environment, [Symbol.asyncDispose]: () => closers.close() }
  } catch (error) {
    await closers.close()
    throw error
  }
}
