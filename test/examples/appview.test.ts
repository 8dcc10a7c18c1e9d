import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import {
  type Account,
  activate,
  createAccount,
  createAccounts,
  deactivate,
  deleteAccount,
  deleteRecord,
  putRecord,
  putRecords,
} from '../support/network/accounts.js'
import { type Network, startNetwork } from '../support/network/network.js'
import { startTestService } from '../support/service.js'
import { Random } from '../support/simulation/random.js'
import { AppView, eventuallyIn, eventuallyShows, STATUS, startRelayOf } from './appview-support.js'

const SEED = 20
const KILLS = 3
/** So few that the backfill takes longer than it is killed. */
const REQUESTS_PER_MINUTE = '600'

let network: Network

beforeAll(async () => {
  network = await startNetwork({ pdsCount: 1 })
})

afterAll(async () => {
  await network?.[Symbol.asyncDispose]()
})

const rkey = (n: number) => `r${String(n).padStart(5, '0')}`
const EMOJI = ['🦋', '🌊', '🥳', '🪨']
const status = (n: number) => ({
  status: EMOJI[n % EMOJI.length]!,
  createdAt: new Date(1e12 + n).toISOString(),
})

/** Writes, changes and deletes statuses, now here and now there, until it is told to stop. */
class Writers {
  readonly #random = new Random(SEED, 1)
  readonly #stop = new AbortController()
  readonly #done: Promise<void>
  writes = 0

  constructor(readonly accounts: Account[]) {
    this.#done = this.#write()
  }

  async stop(): Promise<void> {
    this.#stop.abort()
    await this.#done
  }

  async #write(): Promise<void> {
    while (!this.#stop.signal.aborted) {
      const account = this.#random.pick(this.accounts)
      const key = rkey(this.#random.below(40))
      this.writes += 1
      if (this.#random.chance(0.3)) await deleteRecord(account, STATUS, key)
      else await putRecord(account, STATUS, key, status(this.writes))
      await sleep(this.#random.below(40))
    }
  }
}

test('an AppView that is killed again and again has every status, whenever it was written', async () => {
  const random = new Random(SEED)
  const pds = network.pdses[0]!
  const names = Array.from({ length: 20 }, (_, n) => `person-${n}`)
  const accounts = await createAccounts(pds, names)
  for (const [index, account] of accounts.entries()) {
    const count = index === 0 ? 250 : 1 + (index % 7) * 4
    const keys = Array.from({ length: count }, (_, n) => rkey(n))
    await putRecords(
      account,
      STATUS,
      keys.map((_, n) => status(n)),
      keys,
    )
  }
  const [away, briefly, gone] = accounts.slice(-3) as [Account, Account, Account]
  await using relay = await startRelayOf(pds, network.relay)
  await using service = await startTestService({
    network,
    environment: {
      RELAYS: relay.url,
      HOST_CONCURRENCY: '1',
      HOST_MAX_RPM: REQUESTS_PER_MINUTE,
      HOST_START_RPM: REQUESTS_PER_MINUTE,
    },
    overrides: { sweepEveryMs: 300 },
  })
  await using appView = await AppView.create(service.url)
  const t0 = Date.now()
  const lap = (what: string) => console.log(what, Date.now() - t0, JSON.stringify(appView.progress()))
  appView.start()
  const writers = new Writers(accounts.slice(0, -3))

  let known = 0
  for (let kills = 0; kills < KILLS; kills += 1) {
    // It is at work again, and not at its end.
    const { cursor } = await eventuallyIn(
      appView,
      () => appView.progress(),
      (now) => (now.cursor ?? 0) > known,
    )
    known = cursor!
    await sleep(random.below(150))
    await appView.kill()
    lap('killed')
    expect(appView.progress()).toMatchObject({ position: null })
    if (kills === 0) {
      await deactivate(briefly)
      await deleteAccount(gone)
    }
    if (kills === 1) writers.accounts.push(await createAccount(pds, 'late-1'))
    appView.start()
  }
  await eventuallyIn(
    appView,
    () => appView.progress(),
    ({ position }) => position !== null,
  )
  lap('live')

  await deactivate(away)
  await activate(briefly)
  for (let kills = 0; kills < KILLS; kills += 1) {
    const { position } = appView.progress()
    if (kills === 1) relay.cut()
    await eventuallyIn(
      appView,
      () => appView.progress(),
      (now) => (now.position ?? 0) > position!,
    )
    await sleep(random.below(150))
    await appView.kill()
    lap('killed')
    if (kills === 1) writers.accounts.push(await createAccount(pds, 'late-2'))
    appView.start()
  }
  await writers.stop()
  lap('quiet')
  await eventuallyShows(appView, [...writers.accounts, briefly])
  lap('equal')
  console.log(appView.output.join(''), writers.writes)
})
