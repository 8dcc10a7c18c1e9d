import { execFile } from 'node:child_process'
import { readdir, readFile } from 'node:fs/promises'
import { stripTypeScriptTypes } from 'node:module'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
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
import {
  AppView,
  EXAMPLE,
  eventuallyIn,
  eventuallyShows,
  PROJECT,
  ROOT,
  STATUS,
  startRelayOf,
} from './appview-support.js'

// What waits gives up late: two cores may be busy with other tests.
vi.setConfig({ testTimeout: 300_000 })

const TSC = join(ROOT, 'node_modules/typescript/bin/tsc')

const SEED = 20
/** So few that a backfill is not over before somebody sees it. */
const REQUESTS_PER_MINUTE = '400'

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
class Writers implements AsyncDisposable {
  readonly #random = new Random(SEED, 1)
  readonly #stop = new AbortController()
  readonly #done: Promise<void>
  /** Writes as much as all others together. */
  favourite: Account
  #writes = 0

  constructor(readonly accounts: Account[]) {
    this.favourite = accounts[0]!
    this.#done = this.#write()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort()
    await this.#done
  }

  async #write(): Promise<void> {
    const random = this.#random
    while (!this.#stop.signal.aborted) {
      const account = random.chance(0.5) ? this.favourite : random.pick(this.accounts)
      const key = rkey(random.below(40))
      this.#writes += 1
      if (random.chance(0.3)) await deleteRecord(account, STATUS, key)
      else await putRecord(account, STATUS, key, status(this.#writes))
      await sleep(random.below(40))
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
    const numbers = Array.from({ length: count }, (_, n) => n)
    await putRecords(account, STATUS, numbers.map(status), numbers.map(rkey))
  }
  const [away, back, gone] = accounts.slice(-3) as [Account, Account, Account]
  await using relay = await startRelayOf(pds, network.relay)
  await using service = await startTestService({
    network,
    environment: {
      RELAYS: relay.url,
      HOST_CONCURRENCY: '1',
      HOST_MAX_RPM: REQUESTS_PER_MINUTE,
      HOST_START_RPM: REQUESTS_PER_MINUTE,
    },
    overrides: { sweepEveryMs: 300, quietMs: 500 },
  })
  await using appView = await AppView.create(service.url)
  const progress = () => appView.progress()
  appView.start()
  const writing = accounts.slice(0, -3)
  await using writers = new Writers(writing)

  // While it reads what there is: each time it has come further, and not to the end.
  let known = 0
  for (const during of [
    () => deactivate(back),
    () => deleteAccount(gone),
    async () => void writers.accounts.push(await createAccount(pds, 'late-1')),
  ]) {
    const { cursor } = await eventuallyIn(appView, progress, (now) => (now.cursor ?? 0) > known)
    known = cursor!
    await sleep(random.below(150))
    await appView.kill()
    // The job must not be over before the AppView is there again.
    await appView.pauseJob()
    expect(progress()).toMatchObject({ cursor: expect.any(Number), position: null })
    await during()
    // In a repo that has been read already, if there is one: only its event can tell of this.
    const isRead = ({ did }: Account) => appView.rows().some(({ uri }) => uri.includes(did))
    await putRecord(writing.find(isRead) ?? writing[0]!, STATUS, `after-${known}`, status(known))
    appView.start()
    await eventuallyIn(
      appView,
      () => appView.output.join(''),
      (output) => output.endsWith(` from ${progress().cursor}\n`),
    )
    await appView.resumeJob()
  }
  await eventuallyIn(appView, progress, ({ position }) => position !== null)

  // While it follows what comes, and reads the repo again that was away.
  await deactivate(away)
  await activate(back)
  writers.favourite = back
  for (const during of [
    async () => void writers.accounts.push(await createAccount(pds, 'late-2')),
    async () => relay.cut(),
    async () => {},
  ]) {
    const { position } = progress()
    await eventuallyIn(appView, progress, (now) => (now.position ?? 0) > position!)
    await sleep(random.below(150))
    await during()
    await appView.kill()
    appView.start()
  }
  // Not before the repo has been read again, so that its writes are in three places: read, to come, and both.
  await eventuallyIn(appView, progress, ({ due }) => due === 0)
  await writers[Symbol.asyncDispose]()
  const left = [...writers.accounts, back]
  await eventuallyShows(appView, left)
  // Nor does anything of it come back: this is the last of all events.
  await putRecord(back, STATUS, 'last', status(0))
  await eventuallyShows(appView, left)
})

test('it has no type errors, and Node runs it as it is', async () => {
  const { stdout } = await promisify(execFile)(process.execPath, [TSC, '-p', PROJECT]).catch(
    (error: { stdout: string }) => error,
  )
  expect(stdout).toBe('')
  const files = (await readdir(EXAMPLE)).filter((name) => name.endsWith('.ts'))
  expect(files).toContain('main.ts')
  // Throws where removing the types is not enough.
  for (const name of files) stripTypeScriptTypes(await readFile(join(EXAMPLE, name), 'utf8'))
})
