import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { cidOfJson } from '../../src/atproto/content.js'
import { createHttpClient, type HttpClient, HttpFailure } from '../../src/atproto/http.js'
import { Identities } from '../../src/atproto/identity.js'
import { Failure, Unavailable } from '../../src/atproto/outcome.js'
import { FAILURE_CLASSES } from '../../src/verdict.js'
import { chooseFaults } from '../support/simulation/choose-faults.js'
import {
  ALL_KINDS,
  FAULT_KINDS,
  type FaultKind,
  type FaultSpec,
  type Lasts,
} from '../support/simulation/fault-kinds.js'
import { Faults } from '../support/simulation/faults.js'
import { type Simulation, startSimulation } from '../support/simulation/simulation.js'
import { type Account, COLLECTIONS, World } from '../support/simulation/world.js'
import { eventually } from '../support/wait.js'

const [POST] = COLLECTIONS as [string]

/** Every guard of a service is on, so that faults which lead to private addresses can be planned too. */
let simulation: Simulation
let http: HttpClient
let identities: Identities

beforeAll(async () => {
  simulation = await startSimulation({
    addressing: 'guarded',
    repos: 600,
    hosts: 60,
    webRepos: 20,
    relayPageSize: 40,
  })
  const { lookup, http: tuning } = simulation.overrides
  http = createHttpClient(
    { userAgent: 'test', allowPrivateNetwork: false, ...(lookup && { lookup }) },
    { ...tuning, headersTimeoutMs: 700, slowWindowMs: 700, slowBytesMin: 500 },
  )
  identities = new Identities({
    http,
    cache: {
      cacheDid: async () => {},
      checkCache: async () => null,
      refreshCache: async () => {},
      clearEntry: async () => {},
      clear: async () => {},
    },
    directoryUrl: simulation.addresses.directory,
    handleResolverUrl: null,
    allowPrivateNetwork: false,
    now: Date.now,
    random: Math.random,
  })
})

afterAll(async () => {
  // Nothing that was tried here may have led to where nobody may go.
  expect(simulation.stats.forbidden).toBe(0)
  await http?.close()
  await simulation?.[Symbol.asyncDispose]()
})

const pages = new World({ repos: 600, hosts: 60, webRepos: 20 }, String)
let next = 20

/** An account that has met nothing yet, with so many records of the first collection. */
function fresh(records = 3): Account {
  for (; next < simulation.world.repos; next++) {
    const account = simulation.world.accountAt(next)
    if (pages.count(account, POST) < records || simulation.census.hasMoved(account.host)) continue
    next += 1
    return account
  }
  throw new Error('no account left')
}

function planned(kind: FaultKind, lasts: Lasts = 'once', account = fresh()): Account {
  simulation.faults.plan(kind, account, lasts)
  return account
}

const at = (account: Account, method: string, query: Record<string, string>) =>
  `${simulation.addresses.pds(account.host)}/xrpc/${method}?${new URLSearchParams(query)}`
const listing = (account: Account, cursor?: string) =>
  at(account, 'com.atproto.repo.listRecords', {
    repo: account.did,
    collection: POST,
    limit: '100',
    ...(cursor && { cursor }),
  })

/** What an answer looks like to whoever asks. */
async function look(account: Account, url = listing(account)): Promise<string> {
  try {
    const { status, headers, body } = await http.get({ url, maxBytes: 2 ** 20, timeoutMs: 5_000 })
    const retry = headers['retry-after'] ? ' retry-after' : ''
    const reset = headers['ratelimit-reset'] ? ' ratelimit-reset' : ''
    if (status !== 200) return `${status} ${headers['content-type'] ?? ''}${retry}${reset}`.trim()
    if (headers['content-type'] === 'application/vnd.ipld.car') {
      return body.equals(await simulation.repos.car(account))
        ? 'right'
        : `another CAR of ${body.length} bytes`
    }
    return readListing(account, body.toString())
  } catch (error) {
    if (error instanceof HttpFailure) return error.failure
    throw error
  }
}

function readListing(account: Account, text: string): string {
  let body: { records: { uri: string; cid: string; value: object }[]; cursor?: string }
  try {
    body = JSON.parse(text)
  } catch {
    return 'not JSON'
  }
  const { records } = body
  if (records.length === 0) return `empty, cursor ${body.cursor}`
  if (!records.every(({ uri }) => uri.startsWith(`at://${account.did}/${POST}/`))) return 'foreign URI'
  if (!records.every(({ cid, value }) => cidOfJson(value) === cid)) return 'wrong CID'
  if (records.some(({ uri }, index) => index > 0 && uri >= records[index - 1]!.uri)) return 'unsorted'
  return body.cursor === 'again' ? 'right, cursor again' : 'right'
}

describe('an answer of a PDS', () => {
  const LOOKS: Partial<Record<FaultKind, string | RegExp>> = {
    reset: 'connection-failed',
    silence: 'timeout',
    'slow-body': 'too-slow',
    'server-burst': /^50[023] (text\/html|application\/json)$/,
    'server-error': /^50[023] (text\/html|application\/json)$/,
    truncated: 'connection-failed',
    'short-body': 'not JSON',
    'wrong-content-type': 'not JSON',
    oversized: 'body-too-large',
    'wrong-cid': 'wrong CID',
    'foreign-uri': 'foreign URI',
    'repeated-cursor': 'right, cursor again',
    'endless-cursor': 'empty, cursor 1',
    'unsorted-rkeys': 'unsorted',
    'short-car': /^another CAR/,
    'flipped-car': /^another CAR/,
    'missing-block': /^another CAR/,
    'bad-signature': /^another CAR/,
    'foreign-repo': /^another CAR/,
    'private-redirect': 'bad-response',
    'limited-seconds': '429 application/json retry-after',
    'limited-date': '429 application/json retry-after',
    'limited-reset': '429 application/json ratelimit-reset',
    'limited-html': '429 text/html retry-after',
    'limited-bare': '429 text/html',
  }
  const kinds = ALL_KINDS.filter((kind) => FAULT_KINDS[kind].where === 'request')

  test.each(kinds)('goes wrong once or always: %s', async (kind) => {
    const looks = LOOKS[kind]!
    const { methods, always } = FAULT_KINDS[kind] as FaultSpec
    const url = (account: Account) =>
      methods?.[0] === 'com.atproto.sync.getRepo' ? at(account, methods[0], { did: account.did }) : undefined
    const lasting = planned(kind, 'always')
    expect(simulation.outcome(lasting)).toEqual({ status: 'completed' })
    expect(await look(lasting, url(lasting))).toMatch(looks)
    expect(await look(lasting, url(lasting))).toMatch(looks)
    expect(simulation.faults.of(lasting)?.fired).toBe(2)
    expect(simulation.outcome(lasting)).toEqual(FAULT_KINDS[kind].ends)
    const { ends } = FAULT_KINDS[kind]
    // What the client says of it, and what is said to come of it.
    const isClass = (FAILURE_CLASSES as readonly unknown[]).includes(looks)
    if (isClass) expect(ends).toEqual({ status: 'failed', class: looks })
    if (always) return
    const once = planned(kind, 'once')
    expect(await look(once, url(once))).toMatch(looks)
    expect(await look(once, url(once))).toBe('right')
    expect(simulation.faults.of(once)?.fired).toBe(1)
    expect(simulation.faults.fired.get(kind)).toBe(3)
  })

  test('of a host is wrong for a while, but once for an account', async () => {
    const first = planned('server-burst')
    const { firstSlot, slots } = simulation.world.hosts[first.host]!
    const others = Array.from({ length: slots }, (_, at) => simulation.world.accountOfSlot(firstSlot + at))
    const whole = others.filter((account) => simulation.faults.of(account) === null).slice(0, 3)
    expect(whole.length).toBeGreaterThan(0)
    expect(await look(first)).toMatch(/^50/)
    for (const account of whole) {
      expect(await look(account)).toMatch(/^50/)
      expect(await look(account)).not.toMatch(/^50/)
      expect(simulation.outcome(account)).toEqual({ status: 'completed' })
    }
  })

  test('leads in circles by its cursor', async () => {
    const [repeated, endless] = [planned('repeated-cursor', 'always'), planned('endless-cursor', 'always')]
    await look(repeated)
    expect(await look(repeated, listing(repeated, 'again'))).toBe('empty, cursor again')
    expect(await look(endless, listing(endless, '7'))).toBe('empty, cursor 8')
  })

  test('may lead to where nobody may go', async () => {
    for (let variant = 0; variant < 6; variant++) {
      const request = { url: listing(planned('private-redirect')), maxBytes: 2 ** 20, timeoutMs: 5_000 }
      const followed = http.get({ ...request, maxRedirects: 2 })
      await expect(followed).rejects.toMatchObject({ failure: 'host-blocked' })
    }
  })

  test('is too large, announced or not', async () => {
    for (const rest of [0, 1]) {
      let account = fresh()
      while (account.index % 2 !== rest) account = fresh()
      expect(await look(planned('oversized', 'always', account))).toBe('body-too-large')
    }
  })

  test('of a host that told its client to wait notices one that does not', async () => {
    // Too late for that, where the machine is busy: then once more.
    const tryOnce = async () => {
      const account = planned('limited-seconds')
      const stats = simulation.stats.hosts[account.host]!
      const before = stats.tooEarly
      await look(account)
      await new Promise((resolve) => setTimeout(resolve, 350))
      await look(account)
      return stats.tooEarly - before
    }
    await eventually(tryOnce, (more) => more === 1)
  })
})

describe('an account', () => {
  const status = (account: Account) =>
    http.get({
      url: at(account, 'com.atproto.sync.getRepoStatus', { did: account.did }),
      maxBytes: 2 ** 20,
      timeoutMs: 5_000,
    })

  test.each(['deactivated', 'takendown', 'suspended', 'deleted'] as const)(
    'may be %s when its PDS is asked about it',
    async (kind) => {
      const account = planned(kind)
      expect(await identities.locate(account.did, true)).toMatchObject({ did: account.did })
      expect(await look(account)).toBe('400 application/json')
      expect(JSON.parse((await status(account)).body.toString())).toMatchObject({
        active: false,
        status: kind,
      })
      expect(simulation.outcome(account)).toEqual({ status: 'unavailable', reason: kind })
    },
  )

  test('may go while it is read', async () => {
    const account = fresh()
    simulation.faults.plan('deleted', account, 'once', 1)
    expect(await look(account)).toBe('right')
    expect(simulation.outcome(account)).toEqual({ status: 'completed' })
    expect(await look(account)).toBe('400 application/json')
    expect(simulation.outcome(account)).toEqual({ status: 'unavailable', reason: 'deleted' })
  })

  test('may be gone', async () => {
    const account = planned('vanished')
    await look(account)
    expect((await status(account)).body.toString()).toContain('RepoNotFound')
    expect(simulation.outcome(account)).toEqual({ status: 'failed', class: 'repo-not-found' })
  })

  test('may be on another host', async () => {
    const account = planned('migrated')
    const before = await identities.locate(account.did, true)
    expect(before.origin).toBe(simulation.addresses.pds(account.host))
    expect(await look(account)).toBe('400 application/json')
    expect((await status(account)).body.toString()).toContain('deactivated')
    const { origin } = await identities.locate(account.did, true)
    expect(origin).not.toBe(before.origin)
    expect(await look(account, listing(account).replace(before.origin, origin))).toBe('right')
  })

  test('may have another key', async () => {
    const account = planned('key-rotated')
    const key = () => identities.signingKey(account.did, true)
    const before = await key()
    await look(account)
    expect(await key()).not.toBe(before)
    expect(await key()).toBe(await simulation.repos.keyOf(account, 1))
  })

  test('may find its host under another name, as all others on it', async () => {
    const account = planned('host-moved')
    const { host } = account
    const before = simulation.addresses.pds(host)
    const { firstSlot, slots } = simulation.world.hosts[host]!
    const others = Array.from({ length: slots }, (_, at) => simulation.world.accountOfSlot(firstSlot + at))
    const other = others.find((each) => simulation.faults.of(each) === null)!
    expect(await look(account)).toBe('400 application/json')
    for (const moved of [account, other]) {
      const { origin } = await identities.locate(moved.did, true)
      expect(origin).toBe(simulation.addresses.pds(host, true))
      const url = at(moved, 'com.atproto.sync.getRepoStatus', { did: moved.did }).replace(before, origin)
      // What others on this host have met before, such as a burst of errors, may not be over.
      const right = await eventually(
        () => http.get({ url, maxBytes: 2 ** 20, timeoutMs: 5_000 }),
        (answer) => answer.status === 200,
      )
      expect(JSON.parse(right.body.toString())).toMatchObject({ did: moved.did })
    }
  })
})

describe('a document', () => {
  /** What comes of asking where an account lives; then its PDS is asked, if there is one. */
  async function found(account: Account): Promise<string> {
    try {
      const { origin, handle } = await identities.locate(account.did, true)
      const url = listing(account).replace(simulation.addresses.pds(account.host), origin)
      return `${await look(account, url)}${handle === account.handle ? '' : ', another handle'}`
    } catch (error) {
      if (error instanceof Failure) return error.failure
      if (error instanceof Unavailable) return error.reason
      throw error
    }
  }

  const ENDS: Partial<Record<FaultKind, string>> = {
    tombstoned: 'tombstoned',
    'did-not-found': 'did-not-found',
    'wrong-id': 'did-invalid',
    'no-pds': 'did-invalid',
    'bad-endpoint': 'did-invalid',
    'unknown-host': 'dns-failure',
    'odd-spelling': 'right',
    'private-endpoint': 'did-invalid',
    'private-dns': 'host-blocked',
  }

  test.each(Object.entries(ENDS) as [FaultKind, string][])('may be wrong: %s', async (kind, ends) => {
    // One account of each variant.
    for (let variant = 0; variant < 6; variant++) expect(await found(planned(kind))).toBe(ends)
    expect(simulation.faults.fired.get(kind)).toBeGreaterThanOrEqual(6)
  })

  test('may have an odd handle, and is right all the same', async () => {
    for (let variant = 0; variant < 6; variant++) {
      expect(await found(planned('odd-handle'))).toMatch(/^right/)
    }
  })

  test('may not be had once', async () => {
    const [plc, web, redirected] = [
      planned('directory-error'),
      planned('web-error', 'once', simulation.world.accountAt(0)),
      planned('web-redirect', 'always', simulation.world.accountAt(1)),
    ]
    expect([await found(plc), await found(plc)]).toEqual(['directory-unavailable', 'right'])
    expect([await found(web), await found(web)]).toEqual(['host-error', 'right'])
    expect([await found(redirected), await found(redirected)]).toEqual(['bad-response', 'bad-response'])
    expect(await identities.locate(simulation.world.accountAt(2).did, true)).toMatchObject({
      did: simulation.world.accountAt(2).did,
    })
  })
})

test("a relay's page may be spoiled, and the listing is whole all the same", async () => {
  const kinds = ALL_KINDS.filter((kind) => FAULT_KINDS[kind].where === 'relay')
  for (const kind of kinds) simulation.faults.planRelay(kind, 2)
  const dids: unknown[] = []
  const went: string[] = []
  for (let cursor: string | undefined = ''; cursor !== undefined; ) {
    const query = new URLSearchParams({ collection: POST, limit: '2000', ...(cursor && { cursor }) })
    const url = `${simulation.addresses.relay(0)}/xrpc/com.atproto.sync.listReposByCollection?${query}`
    try {
      const { status, body } = await http.get({ url, maxBytes: 2 ** 20, timeoutMs: 5_000 })
      went.push(String(status))
      if (status !== 200) continue
      const page = JSON.parse(body.toString())
      dids.push(...page.repos.map((repo: { did?: unknown }) => repo.did))
      cursor = page.cursor
    } catch (error) {
      if (!(error instanceof HttpFailure)) throw error
      went.push(error.failure)
    }
  }
  for (const kind of kinds) expect(simulation.faults.fired.get(kind), kind).toBe(2)
  expect(went.filter((way) => way === '500')).toHaveLength(2)
  expect(went.filter((way) => way === 'connection-failed')).toHaveLength(2)
  const having = [...simulation.world.accounts()].filter((account) => pages.count(account, POST) > 0)
  const listed = new Set(dids.filter((did) => typeof did === 'string' && did.split(':').length === 3))
  for (const { did } of having) expect(did.startsWith('did:web') || listed.has(did)).toBe(true)
  expect(dids.length).toBeGreaterThan(having.length)
  expect(dids).toContain('did:plc')
})

test('a client without guards is seen where nobody may go', async () => {
  await using other = await startSimulation({ addressing: 'guarded' })
  const { lookup, http: tuning } = other.overrides
  const unguarded = createHttpClient(
    { userAgent: 'test', allowPrivateNetwork: true, ...(lookup && { lookup }) },
    tuning,
  )
  for (const url of [other.addresses.privateNames[1]!, other.addresses.privateOrigins[0]!]) {
    const before = other.stats.forbidden
    await expect(unguarded.get({ url, maxBytes: 100, timeoutMs: 2_000 })).rejects.toThrow()
    expect(other.stats.forbidden).toBeGreaterThan(before)
  }
  await unguarded.close()
})

describe('a plan', () => {
  const world = new World(
    { repos: 400, hosts: 8, webRepos: 10 },
    (index) => `did:web:localhost%3A${index + 1}`,
  )
  const planOf = (seed: number) => {
    const faults = new Faults(true)
    chooseFaults(faults, world, 2, seed)
    return faults
  }
  const accountsOf = (faults: Faults) => [...faults.accounts].map(([index, { kind }]) => `${index} ${kind}`)

  test('is a function of its seed, and holds every kind that it can', () => {
    expect(accountsOf(planOf(1))).toEqual(accountsOf(planOf(1)))
    expect(accountsOf(planOf(1))).not.toEqual(accountsOf(planOf(2)))
    const kinds = new Set([...planOf(1).accounts.values()].map(({ kind }) => kind))
    const expected = ALL_KINDS.filter((kind) => {
      const { where, onDemand } = FAULT_KINDS[kind] as FaultSpec
      return where !== 'relay' && !onDemand
    })
    expect([...kinds].sort()).toEqual(expected.sort())
  })

  test('names the kinds that never fired', () => {
    const faults = new Faults(false)
    const account = world.accountAt(50)
    faults.plan('deleted', account)
    faults.planRelay('relay-error')
    expect(() => faults.assertEveryFaultFired()).toThrow('planned, but never fired: deleted, relay-error')
    faults.takeAccount(account)
    expect(() => faults.assertEveryFaultFired()).toThrow('never fired: relay-error')
    faults.takeRelay({ filled: true, more: true })
    faults.assertEveryFaultFired()
  })

  test('refuses what it cannot do', () => {
    const faults = new Faults(false)
    expect(() => faults.plan('private-dns', world.accountAt(0))).toThrow('guards')
    expect(() => faults.plan('relay-error', world.accountAt(0))).toThrow('relay')
    faults.plan('reset', world.accountAt(0))
    expect(() => faults.plan('silence', world.accountAt(0))).toThrow('already')
  })
})
