import type { Account, World } from './world.js'

export type Standing = 'active' | 'deactivated' | 'takendown' | 'suspended' | 'deleted' | 'vanished'

interface Changed {
  host: number
  standing: Standing
  /** How often it has changed its key. */
  version: number
}

/** Where each account is by now, and how it stands: the world, and what has happened to it since. */
export class Census {
  readonly #world: World
  readonly #changed = new Map<number, Changed>()
  readonly #movedHosts = new Set<number>()

  constructor(world: World) {
    this.#world = world
  }

  hostOf(account: Account): number {
    return this.#changed.get(account.index)?.host ?? account.host
  }

  /** How an account stands on a host. */
  standingOn(host: number, account: Account): Standing {
    const { host: home, standing } = this.#of(account)
    if (home === host) return standing
    return account.host === host ? 'deactivated' : 'vanished'
  }

  versionOf(account: Account): number {
    return this.#changed.get(account.index)?.version ?? 0
  }

  hasMoved(host: number): boolean {
    return this.#movedHosts.has(host)
  }

  /** Accounts that have come to a host. */
  arrivedAt(host: number): Account[] {
    const indexes = [...this.#changed].filter(([, changed]) => changed.host === host).map(([index]) => index)
    return indexes.map((index) => this.#world.accountAt(index)).filter((account) => account.host !== host)
  }

  setStanding(account: Account, standing: Standing): void {
    this.#change(account).standing = standing
  }

  /** Has an account move to the next host. */
  migrate(account: Account): void {
    const changed = this.#change(account)
    changed.host = (changed.host + 1) % this.#world.hosts.length
  }

  rotateKey(account: Account): void {
    this.#change(account).version += 1
  }

  moveHost(host: number): void {
    this.#movedHosts.add(host)
  }

  #of(account: Account): Changed {
    return this.#changed.get(account.index) ?? { host: account.host, standing: 'active', version: 0 }
  }

  #change(account: Account): Changed {
    const changed = this.#of(account)
    this.#changed.set(account.index, changed)
    return changed
  }
}
