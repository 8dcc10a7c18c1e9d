import { tidAt } from './tid.js'
import type { Account, World } from './world.js'

export type Standing = 'active' | 'deactivated' | 'takendown' | 'suspended' | 'deleted' | 'vanished'

/** A state of a repo. */
export interface Edition {
  /** How often the repo has changed before. */
  readonly number: number
  readonly rev: string
  /** Since when it is so, ms since epoch. */
  readonly since: number
}

interface Changed {
  host: number
  standing: Standing
  /** How often it has changed its key. */
  version: number
  /** The editions after the first one. */
  editions: readonly Edition[]
}

/** Tells these revs from those of other clocks. */
const CLOCK = 9

/** Where each account is by now, and how it stands: the world, and what has happened to it since. */
export class Census {
  readonly #world: World
  readonly #changed = new Map<number, Changed>()
  readonly #movedHosts = new Set<number>()
  readonly #downHosts = new Set<number>()
  readonly #now: () => number

  /** @param now ms since epoch: a rev is a time */
  constructor(world: World, now: () => number = Date.now) {
    this.#world = world
    this.#now = now
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

  /** How often its repo has changed. */
  editionOf(account: Account): number {
    return this.#changed.get(account.index)?.editions.length ?? 0
  }

  /** Every state that its repo has been in, the first one first. */
  editionsOf(account: Account): readonly Edition[] {
    const first = { number: 0, rev: this.#world.rev(account, this.versionOf(account)), since: 0 }
    return [first, ...(this.#changed.get(account.index)?.editions ?? [])]
  }

  revOf(account: Account): string {
    return this.editionsOf(account).at(-1)!.rev
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

  /** Has a repo change: records come, go, and are others. */
  edit(account: Account): void {
    const changed = this.#change(account)
    const before = this.revOf(account)
    const since = this.#now()
    const now = tidAt(since * 1_000, CLOCK)
    // Several changes in one millisecond.
    const rev = now > before ? now : tidAt((since + changed.editions.length + 1) * 1_000, CLOCK)
    changed.editions = [...changed.editions, { number: changed.editions.length + 1, rev, since }]
  }

  rotateKey(account: Account): void {
    this.#change(account).version += 1
  }

  moveHost(host: number): void {
    this.#movedHosts.add(host)
  }

  /** Whether a host answers nobody. */
  isDown(host: number): boolean {
    return this.#downHosts.has(host)
  }

  setDown(host: number, isDown: boolean): void {
    if (isDown) this.#downHosts.add(host)
    else this.#downHosts.delete(host)
  }

  #of(account: Account): Changed {
    const { host } = account
    return this.#changed.get(account.index) ?? { host, standing: 'active', version: 0, editions: [] }
  }

  #change(account: Account): Changed {
    const changed = this.#of(account)
    this.#changed.set(account.index, changed)
    return changed
  }
}
