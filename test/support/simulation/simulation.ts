import { Closers } from '../../../src/closers.js'
import type { Overrides } from '../../../src/service.js'
import type { Caller } from '../network/caller.js'
import { Addresses, type Addressing } from './addresses.js'
import { createCaller } from './caller.js'
import { Census } from './census.js'
import { trustCertificate } from './certificate.js'
import { chooseFaults, type FaultWish } from './choose-faults.js'
import { Documents } from './documents.js'
import type { Outcome } from './fault-kinds.js'
import { Faults } from './faults.js'
import { Front } from './front.js'
import { Listeners } from './listeners.js'
import { PdsAnswers } from './pds.js'
import type { RateLimit } from './rate-limit.js'
import { Relays } from './relay.js'
import { Repos } from './repos.js'
import { Stats, type StatsReport } from './stats.js'
import { type Account, World, type WorldOptions } from './world.js'

export interface SimulationOptions extends WorldOptions {
  readonly addressing?: Addressing
  readonly faults?: FaultWish
  /** Chooses whom the faults meet; the world's seed when absent. */
  readonly faultSeed?: number
  readonly relays?: number
  /** Entries on a page of a relay; as many as are asked for when absent. */
  readonly relayPageSize?: number
  readonly directoryLimit?: RateLimit | null
  /** The most records and blocks in memory; others are made whenever they are asked for. */
  readonly heldRecords?: number
  /** ms since epoch; what windows are measured by. */
  readonly now?: () => number
  /** ms; stands still while the process has no time to send or take anything. */
  readonly awake?: () => number
}

export interface ExpectedRecord {
  readonly uri: string
  readonly cid: string
  readonly value: object
}

export interface Report extends StatsReport {
  /** How often each kind of fault has shown. */
  readonly fired: Readonly<Record<string, number>>
}

/** A network on loopback that goes wrong as it was told to, and knows what is right. */
export interface Simulation extends AsyncDisposable {
  readonly world: World
  readonly faults: Faults
  readonly stats: Stats
  readonly census: Census
  readonly repos: Repos
  readonly addresses: Addresses
  /** What tells a service to use this network and no other. */
  readonly environment: Readonly<Record<string, string>>
  /** What a service in this process takes with it; nothing that a process of its own needs in mode `addresses`. */
  readonly overrides: Pick<Overrides, 'lookup' | 'http'>
  /** Somebody with an identity in the simulated directory, who calls services. */
  readonly caller: Caller
  /** What all have seen, and which faults have shown, as JSON has it. */
  report(): Report
  /** What must become of an account's repo, after what it has met so far. */
  outcome(account: Account): Outcome
  /**
   * The records an account has of these collections, by ascending URI.
   * @param edition how often its repo has changed
   */
  records(account: Account, collections: readonly string[], edition?: number): ExpectedRecord[]
}

/** Starts the network. It is the same for the same seeds, but for its ports. */
export async function startSimulation(options: SimulationOptions = {}): Promise<Simulation> {
  const { addressing = 'names', relays = 1, webRepos = 0, hosts = 12, now = Date.now } = options
  const guarded = addressing === 'guarded'
  if (guarded) trustCertificate()
  const closers = new Closers()
  let front: Front | undefined
  let report = (): Report => {
    throw new Error('not started')
  }
  const listeners = closers.use(new Listeners((...exchange) => front?.listen(...exchange), guarded))
  try {
    const listened = addressing === 'addresses' ? Addresses.all(hosts, relays) : []
    const { main, more } = await listeners.start(listened, guarded ? 0 : webRepos)
    const addresses = new Addresses(addressing, { main, webs: more, trap: await listeners.trap() })
    const world = new World(options, (index) => addresses.webDid(index))
    const census = new Census(world, now)
    const repos = new Repos(world, options.heldRecords)
    const faults = new Faults(guarded)
    chooseFaults(faults, world, options.faults ?? {}, options.faultSeed ?? world.seed)
    const hostname = (host: number) => new URL(addresses.pds(host, census.hasMoved(host))).host
    const published = new Map<string, object>()
    const caller = closers.use(await createCaller((did, document) => published.set(did, document)))
    front = new Front({
      world,
      census,
      faults,
      addresses,
      answers: new PdsAnswers(world, census, repos),
      relays: new Relays(
        { world, census, faults, hostname },
        { relays, pageSize: options.relayPageSize ?? Number.POSITIVE_INFINITY },
      ),
      documents: new Documents({ addresses, census, faults, repos }),
      published,
      report: () => report(),
      relayCount: relays,
      directoryLimit: options.directoryLimit ?? null,
      now,
      awake: options.awake,
    })
    const { hosts: stands, moved, directory, relays: relayed } = front
    const forbidden = () => addresses.forbidden + listeners.trapped
    const stats = new Stats({ hosts: stands, moved, directory, relays: relayed, forbidden })
    report = () => ({ ...stats.report(), fired: Object.fromEntries(faults.fired) })
    return {
      world,
      faults,
      stats,
      report,
      census,
      repos,
      addresses,
      environment: environmentOf(addresses, relays),
      overrides: { lookup: addresses.lookup, ...(guarded && { http: { reach: addresses.reach } }) },
      caller,
      outcome: (account) => faults.outcome(account),
      records: (account, collections, edition = 0) =>
        collections
          .toSorted()
          .flatMap((collection) => repos.listed(account, collection, edition))
          .map(({ uri, cid, value }) => ({ uri, cid, value: JSON.parse(value) })),
      [Symbol.asyncDispose]: () => closers.close(),
    }
  } catch (error) {
    await closers.close()
    throw error
  }
}

function environmentOf(addresses: Addresses, relays: number): Record<string, string> {
  return {
    RELAYS: Array.from({ length: relays }, (_, index) => addresses.relay(index)).join(','),
    PLC_URL: addresses.directory,
    HANDLE_RESOLVER_URL: addresses.directory,
    ALLOW_PRIVATE_NETWORK: String(addresses.mode !== 'guarded'),
  }
}
