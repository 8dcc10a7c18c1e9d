import { type LookupAddress, lookup as systemLookup } from 'node:dns'
import { isIP, type LookupFunction } from 'node:net'

/** How a service reaches the simulated hosts. */
export type Addressing =
  /** By names that only the simulation's `lookup` knows, over http. Takes one port. */
  | 'names'
  /** By addresses of the loopback network: for processes that a lookup cannot be handed to. Linux only. */
  | 'addresses'
  /**
   * By public names and addresses over https, which `lookup` and `reach` make up: every guard of the service is
   * on, and where it would have dialled is seen.
   */
  | 'guarded'

/** Who is behind a name. */
export type Party =
  | { readonly kind: 'pds'; readonly index: number; readonly moved: boolean }
  | { readonly kind: 'relay'; readonly index: number }
  | { readonly kind: 'directory' }
  | { readonly kind: 'web'; readonly index: number }

export interface Ports {
  readonly main: number
  /** One for each did:web, where those are on localhost. */
  readonly webs: readonly number[]
  /** Where nobody may ever connect. */
  readonly trap: number
}

/** Stands for every simulated host where addresses must be public. Nothing is sent there: see `reach`. */
const PUBLIC = '93.184.216.34'
const LOOPBACK: LookupAddress = { address: '127.0.0.1', family: 4 }

/** Names in public DNS that lead where nobody may go, and to what. */
const PRIVATE_NAMES: Readonly<Record<string, readonly string[]>> = {
  'inside0.example.net': ['127.0.0.1'],
  'inside1.example.net': ['10.1.2.3'],
  'inside2.example.net': [PUBLIC, '192.168.0.1'],
  'inside3.example.net': ['169.254.169.254'],
  'inside4.example.net': ['::1'],
  'inside5.example.net': ['::ffff:127.0.0.1'],
}

/** Names and addresses of a simulation's hosts, both ways. */
export class Addresses {
  readonly mode: Addressing
  readonly #ports: Ports
  #forbidden = 0

  constructor(mode: Addressing, ports: Ports) {
    this.mode = mode
    this.#ports = ports
  }

  /** How often the service would have connected to an address that is not public. */
  get forbidden(): number {
    return this.#forbidden
  }

  /** Addresses of loopback to listen on, in mode `addresses`. */
  static all(hosts: number, relays: number): string[] {
    const pdses = Array.from({ length: hosts }, (_, index) => [address(1, index), address(4, index)])
    return [
      ...pdses.flat(),
      ...Array.from({ length: relays }, (_, index) => address(2, index)),
      address(3, 0),
    ]
  }

  /** @param moved the name it has after moving */
  pds(index: number, moved = false): string {
    return this.#origin(`${moved ? 'new-' : ''}pds${index}`, address(moved ? 4 : 1, index))
  }

  relay(index: number): string {
    return this.#origin(`relay${index}`, address(2, index))
  }

  get directory(): string {
    return this.#origin('plc', address(3, 0))
  }

  webDid(index: number): string {
    if (this.mode === 'guarded') return `did:web:web${index}.example.net%3A${this.#ports.main}`
    return `did:web:localhost%3A${this.#ports.webs[index]}`
  }

  /** Where a simulation says what it has seen. */
  get report(): string {
    return `${this.#scheme}://127.0.0.1:${this.#ports.main}/_simulation`
  }

  /** An origin that nobody has. */
  nowhere(index: number): string {
    return `${this.#scheme}://nowhere${index}.${this.#domain}:${this.#ports.main}`
  }

  /** Origins that name an address of a private network. */
  get privateOrigins(): string[] {
    const hosts = ['127.0.0.1', 'localhost', '[::1]', '10.0.0.1', '2130706433', '169.254.169.254']
    return hosts.map((host) => `https://${host}:${this.#ports.trap}`)
  }

  /** Origins whose names resolve to one. */
  get privateNames(): string[] {
    return Object.keys(PRIVATE_NAMES).map((name) => `https://${name}:${this.#ports.trap}`)
  }

  /** Whom a `Host` header means. */
  party(host: string): Party | null {
    const [, name = '', port = ''] = /^(.*?)\.?(?::(\d+))?$/.exec(host.toLowerCase()) ?? []
    const web = name === 'localhost' ? this.#ports.webs.indexOf(Number(port)) : -1
    if (web !== -1) return { kind: 'web', index: web }
    const bytes = /^127\.([1-4])\.(\d+)\.(\d+)$/.exec(name)
    if (bytes) {
      const [network, high, low] = bytes.slice(1).map(Number) as [number, number, number]
      return partyOf(['new-pds', 'pds', 'relay', 'plc'][network % 4]!, high * 250 + low - 1)
    }
    const [, label, index] = /^(new-pds|pds|relay|plc|web)(\d*)\./.exec(name) ?? []
    return label === undefined || !name.endsWith(`.${this.#domain}`) ? null : partyOf(label, Number(index))
  }

  readonly lookup: LookupFunction = (hostname, options, callback) => {
    const name = hostname.toLowerCase().replace(/\.$/, '')
    const addresses = this.#resolve(name)
    if (addresses === 'elsewhere') return systemLookup(hostname, { ...options, all: true }, callback)
    if (addresses.length === 0) {
      return callback(Object.assign(new Error(`getaddrinfo ENOTFOUND ${name}`), { code: 'ENOTFOUND' }), [])
    }
    callback(
      null,
      addresses.map((found) => ({ address: found, family: isIP(found) })),
    )
  }

  /** Leads every connection to loopback, and counts those that the service should have refused. */
  readonly reach = ({ address: dialled }: LookupAddress): LookupAddress => {
    if (dialled !== PUBLIC) this.#forbidden += 1
    return LOOPBACK
  }

  #resolve(name: string): readonly string[] | 'elsewhere' {
    if (!name.endsWith(`.${this.#domain}`)) return 'elsewhere'
    if (this.mode === 'guarded' && PRIVATE_NAMES[name]) return PRIVATE_NAMES[name]
    if (this.party(name) === null) return []
    return [this.mode === 'guarded' ? PUBLIC : LOOPBACK.address]
  }

  get #domain(): string {
    return this.mode === 'guarded' ? 'example.net' : 'sim.test'
  }

  get #scheme(): string {
    return this.mode === 'guarded' ? 'https' : 'http'
  }

  #origin(label: string, ofLoopback: string): string {
    const host = this.mode === 'addresses' ? ofLoopback : `${label}.${this.#domain}`
    return `${this.#scheme}://${host}:${this.#ports.main}`
  }
}

function partyOf(label: string, index: number): Party {
  if (label === 'relay') return { kind: 'relay', index }
  if (label === 'plc') return { kind: 'directory' }
  if (label === 'web') return { kind: 'web', index }
  return { kind: 'pds', index, moved: label === 'new-pds' }
}

function address(network: number, index: number): string {
  return `127.${network}.${Math.floor(index / 250)}.${(index % 250) + 1}`
}
