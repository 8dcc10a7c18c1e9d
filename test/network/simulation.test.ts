import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { parseCid } from '@atproto/lex-data'
import { MemoryBlockstore, MST, readCarWithRoot, verifyRecords, verifyRepoCar } from '@atproto/repo'
import { afterEach, describe, expect, test } from 'vitest'
import { createHttpClient, type HttpClient } from '../../src/atproto/http.js'
import type { RateLimit } from '../support/simulation/rate-limit.js'
import { type Simulation, type SimulationOptions, startSimulation } from '../support/simulation/simulation.js'
import { textOf } from '../support/simulation/tree.js'
import { type Account, COLLECTIONS, World } from '../support/simulation/world.js'

const LIST = 'com.atproto.repo.listRecords'
const [POST] = COLLECTIONS as [string]

const open: { close(): PromiseLike<void> }[] = []
afterEach(async () => {
  for (const each of open.splice(0).reverse()) await each.close()
})

/** A simulation, and somebody who asks it, until the end of the test. */
async function start(options: SimulationOptions = {}) {
  const simulation = await startSimulation(options)
  open.push({ close: () => simulation[Symbol.asyncDispose]() })
  const http = createHttpClient({
    userAgent: 'test',
    allowPrivateNetwork: true,
    ...(simulation.overrides.lookup && { lookup: simulation.overrides.lookup }),
  })
  open.push(http)
  const ask = (origin: string, method: string, query: Record<string, string>) =>
    get(http, `${origin}/xrpc/${method}?${new URLSearchParams(query)}`)
  return { simulation, http, ask, home: (account: Account) => simulation.addresses.pds(account.host) }
}

async function get(http: HttpClient, url: string) {
  const { status, headers, body } = await http.get({ url, maxBytes: 100_000_000, timeoutMs: 10_000 })
  const isJson = headers['content-type'] === 'application/json'
  return { status, headers, body, json: isJson ? JSON.parse(body.toString()) : null }
}

const recordsIn = ({ world, records }: Simulation, count: number) =>
  [...world.accounts()].find((account) => records(account, [POST]).length > count)!

describe('the world', () => {
  const web = (index: number) => `did:web:localhost%3A${index + 1}`
  const all = (world: World) =>
    Array.from(world.accounts(), (account) => ({
      ...account,
      records: world.collections.map((name) => [...world.records(account, name)]),
    }))

  test('is a function of its seed', () => {
    const options = { seed: 7, hosts: 9, repos: 200, webRepos: 3 }
    expect(all(new World(options, web))).toEqual(all(new World(options, web)))
    expect(all(new World({ ...options, seed: 8 }, web))).not.toEqual(all(new World(options, web)))
  })

  test('has every account once, on a host of a few large ones and many small', () => {
    const world = new World({ hosts: 50, repos: 2_000, webRepos: 5 }, web)
    const accounts = [...world.accounts()]
    expect(new Set(accounts.map(({ did }) => did)).size).toBe(2_000)
    for (const account of accounts) {
      expect(world.find(account.did)).toEqual(account)
      expect(world.findHandle(account.handle)).toEqual(account)
    }
    const slots = world.hosts.map((host) => host.slots)
    for (const host of world.hosts) {
      const here = accounts.filter((account) => account.host === host.index).map(({ did }) => did)
      const bySlot = Array.from(
        { length: host.slots },
        (_, at) => world.accountOfSlot(host.firstSlot + at).did,
      )
      expect(bySlot.sort()).toEqual(here.sort())
    }
    expect(slots.slice(0, 5).reduce((sum, each) => sum + each)).toBeGreaterThan(1_000)
    expect(slots.filter((each) => each <= 20).length).toBeGreaterThan(20)
    expect(world.find('did:plc:aaaaaaaaaaaaaaaaaaaaaaaa')).toBeNull()
    expect(world.find('did:web:elsewhere.example')).toBeNull()
  })

  test('of a million repos takes no room, and no time for one of them', async () => {
    const { simulation, ask } = await start({ hosts: 200, repos: 1_000_000, size: 'tiny' })
    const before = process.memoryUsage().heapUsed
    for (let index = 0; index < 1_000_000; index += 50) {
      const account = simulation.world.accountAt(index)
      expect(simulation.world.find(account.did)?.index).toBe(index)
      simulation.repos.listed(account, POST)
    }
    expect(simulation.repos.held).toBeLessThan(60_000)
    expect(process.memoryUsage().heapUsed - before).toBeLessThan(150_000_000)
    const query = { collection: POST, limit: '2000', cursor: '900000' }
    const page = await ask(simulation.addresses.relay(0), 'com.atproto.sync.listReposByCollection', query)
    expect(page.json).toMatchObject({ cursor: '902000' })
    expect(page.json.repos).toHaveLength(2_000)
  })
})

describe('its repos', () => {
  test('verify, by their CAR and by the proof of a record', async () => {
    const { simulation, ask, home } = await start({ repos: 60, hosts: 4 })
    const { world, repos } = simulation
    for (const account of world.accounts()) {
      const key = await repos.keyOf(account)
      const { body, headers } = await ask(home(account), 'com.atproto.sync.getRepo', { did: account.did })
      expect(headers['content-type']).toBe('application/vnd.ipld.car')
      const { creates } = await verifyRepoCar(body, account.did, key)
      const read = creates.map(({ collection, rkey, cid }) => [
        `at://${account.did}/${collection}/${rkey}`,
        cid.toString(),
      ])
      const expected = simulation.records(account, COLLECTIONS).map(({ uri, cid }) => [uri, cid])
      expect(read.sort()).toEqual(expected.sort())
      const { root } = await readCarWithRoot(body)
      const latest = await ask(home(account), 'com.atproto.sync.getLatestCommit', { did: account.did })
      expect(latest.json).toEqual({ cid: root.toString(), rev: world.rev(account) })
      const [first] = creates
      if (!first) continue
      const { collection, rkey } = first
      const where = { did: account.did, collection, rkey }
      const proof = await ask(home(account), 'com.atproto.sync.getRecord', where)
      expect(await verifyRecords(proof.body, account.did, key)).toContainEqual(
        expect.objectContaining({ collection, rkey }),
      )
    }
  })

  test('have the tree that the reference implementation makes of their records', async () => {
    const { simulation } = await start({ repos: 2, hosts: 1, size: 700 })
    const account = simulation.world.accountAt(0)
    let tree = await MST.create(new MemoryBlockstore())
    for (const { uri, cid } of simulation.records(account, [POST])) {
      tree = await tree.add(uri.slice(`at://${account.did}/`.length), parseCid(cid))
    }
    const { root } = await simulation.repos.build(account)
    expect(textOf(root.cid)).toBe((await tree.getPointer()).toString())
  })

  test('are listed as they are, page by page, either way', async () => {
    const { simulation, ask, home } = await start({
      repos: 40,
      hosts: 4,
      size: (random) => random.below(260),
    })
    for (const account of simulation.world.accounts()) {
      for (const reverse of ['false', 'true']) {
        const listed: unknown[] = []
        let cursor = ''
        do {
          const query = { repo: account.did, collection: POST, limit: '100', reverse }
          const { json } = await ask(home(account), LIST, { ...query, ...(cursor && { cursor }) })
          listed.push(...json.records)
          cursor = json.cursor ?? ''
        } while (cursor)
        const expected = simulation.records(account, [POST])
        expect(listed).toEqual(reverse === 'true' ? expected : expected.reverse())
      }
    }
  })

  test('answer by blocks, by status and by description, and refuse as the reference PDS does', async () => {
    const { simulation, ask, home } = await start({ repos: 30, hosts: 3 })
    const account = recordsIn(simulation, 3)
    const of = { did: account.did }
    const { commit } = await simulation.repos.build(account)
    const pds = home(account)
    const { json: latest } = await ask(pds, 'com.atproto.sync.getLatestCommit', of)
    const blocks = await ask(pds, 'com.atproto.sync.getBlocks', { ...of, cids: latest.cid })
    expect(blocks.body.includes(Buffer.from(commit.bytes))).toBe(true)
    const missing = simulation.records(simulation.world.accountAt(account.index === 0 ? 1 : 0), COLLECTIONS)
    const refused = { status: 400, json: { error: 'InvalidRequest' } }
    expect(await ask(pds, 'com.atproto.sync.getBlocks', { ...of, cids: missing[0]!.cid })).toMatchObject(
      refused,
    )
    expect(await ask(pds, LIST, { repo: account.did, collection: POST, limit: '101' })).toMatchObject(refused)
    const nobody = 'did:plc:aaaaaaaaaaaaaaaaaaaaaaaa'
    expect(await ask(pds, LIST, { repo: nobody, collection: POST })).toMatchObject({
      ...refused,
      json: { error: 'InvalidRequest', message: `Could not find repo: ${nobody}` },
    })
    expect((await ask(pds, 'com.atproto.sync.getRepoStatus', of)).json).toEqual({
      ...of,
      active: true,
      rev: latest.rev,
    })
    expect(await ask(pds, 'com.atproto.sync.getRepoStatus', { did: nobody })).toMatchObject({
      status: 400,
      json: { error: 'RepoNotFound' },
    })
    const described = await ask(pds, 'com.atproto.repo.describeRepo', { repo: account.handle })
    expect(described.json).toMatchObject(of)
    expect(described.json.collections).toContain(POST)
    simulation.census.setStanding(account, 'takendown')
    expect((await ask(pds, 'com.atproto.sync.getRepo', of)).json).toMatchObject({ error: 'RepoTakendown' })
    expect((await ask(pds, 'com.atproto.sync.getRepoStatus', of)).json).toEqual({
      ...of,
      active: false,
      status: 'takendown',
    })
  })
})

describe('listings of repos', () => {
  test('of each host and of all relays together name every account', async () => {
    const { simulation, ask } = await start({ repos: 300, hosts: 5, relays: 2, relayPageSize: 37 })
    const { world, addresses } = simulation
    const listed = async (origin: string, method: string, query: Record<string, string> = {}) => {
      const dids: string[] = []
      let cursor = ''
      do {
        const { json } = await ask(origin, method, { ...query, limit: '37', ...(cursor && { cursor }) })
        dids.push(...json.repos.map(({ did }: { did: string }) => did))
        cursor = json.cursor ?? ''
      } while (cursor)
      return dids
    }
    const dids = Array.from(world.accounts(), ({ did }) => did)
    const hosts = await ask(addresses.relay(0), 'com.atproto.sync.listHosts', {})
    const onHosts: string[] = []
    for (const { hostname } of hosts.json.hosts) {
      onHosts.push(...(await listed(`http://${hostname}`, 'com.atproto.sync.listRepos')))
    }
    expect(onHosts.sort()).toEqual(dids.toSorted())
    const relays = await Promise.all(
      [0, 1].map((relay) => listed(addresses.relay(relay), 'com.atproto.sync.listRepos')),
    )
    for (const each of relays) expect(each.length).toBeLessThan(300)
    expect([...new Set(relays.flat())].sort()).toEqual(dids.toSorted())
    const having = [...world.accounts()].filter((account) => world.count(account, COLLECTIONS[2]!) > 0)
    const byCollection = await Promise.all(
      [0, 1].map((relay) =>
        listed(addresses.relay(relay), 'com.atproto.sync.listReposByCollection', {
          collection: COLLECTIONS[2]!,
        }),
      ),
    )
    expect([...new Set(byCollection.flat())].sort()).toEqual(having.map(({ did }) => did).sort())
  })

  test('hosts are reached by addresses too, and every did:web at a port of its own', async () => {
    const { simulation, ask, http } = await start({
      addressing: 'addresses',
      webRepos: 2,
      repos: 50,
      hosts: 3,
    })
    const account = simulation.world.accountAt(1)
    expect(account.did).toMatch(/^did:web:localhost%3A\d+$/)
    const origin = `http://${decodeURIComponent(account.did.slice('did:web:'.length))}`
    const { json } = await get(http, `${origin}/.well-known/did.json`)
    expect(json).toMatchObject({ id: account.did, alsoKnownAs: [`at://${account.handle}`] })
    const [{ serviceEndpoint }] = json.service
    expect(serviceEndpoint).toMatch(/^http:\/\/127\.1\.0\.\d+:\d+$/)
    expect((await ask(serviceEndpoint, LIST, { repo: account.did, collection: POST })).status).toBe(200)
    const handle = { handle: account.handle }
    const { directory } = simulation.addresses
    expect((await ask(directory, 'com.atproto.identity.resolveHandle', handle)).json).toEqual({
      did: account.did,
    })
  })
})

test('runs as a process of its own', { timeout: 60_000 }, async () => {
  const main = fileURLToPath(new URL('../support/simulation/main.ts', import.meta.url))
  const options = ['--json', '--seed', '4', '--hosts', '2', '--repos', '20', '--size', '3', '--limit', '9/60']
  const child = spawn(process.execPath, ['--import', 'tsx', main, ...options], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  try {
    const [line] = await once(createInterface({ input: child.stdout }), 'line')
    const { environment, report } = JSON.parse(line)
    const http = createHttpClient({ userAgent: 'test', allowPrivateNetwork: true })
    open.push(http)
    const relayed = `${environment.RELAYS}/xrpc/com.atproto.sync.listReposByCollection?collection=${POST}`
    const { json } = await get(http, relayed)
    const world = new World({ seed: 4, hosts: 2, repos: 20, size: 3 }, String)
    expect(json.repos).toEqual(Array.from(world.accounts(), ({ did }) => ({ did })))
    const document = await get(http, `${environment.PLC_URL}/${json.repos[0].did}`)
    const [{ serviceEndpoint }] = document.json.service
    const query = new URLSearchParams({ repo: json.repos[0].did, collection: POST })
    const listed = await get(http, `${serviceEndpoint}/xrpc/${LIST}?${query}`)
    expect(listed.json.records).toHaveLength(3)
    expect(listed.headers['ratelimit-policy']).toBe('9;w=60')
    expect((await get(http, report)).json).toMatchObject({
      totals: { requests: 1 },
      directory: { requests: 1 },
    })
  } finally {
    child.stdin.end()
    const [code] = await once(child, 'exit')
    expect(code).toBe(0)
  }
})

describe('rate limits', () => {
  const limit: RateLimit = { points: 3, windowMs: 30_000, announces: 'honest', refuses: 'seconds' }
  const T0 = 1_700_000_000_000

  async function limited(change: Partial<RateLimit>) {
    let now = T0
    const started = await start({ repos: 5, hosts: 1, limit: { ...limit, ...change }, now: () => now })
    const account = started.simulation.world.accountAt(0)
    const pds = started.home(account)
    const list = () => started.ask(pds, LIST, { repo: account.did, collection: POST })
    const whole = () => started.ask(pds, 'com.atproto.sync.getRepo', { did: account.did })
    const [stats] = started.simulation.stats.hosts
    return { ...started, list, whole, stats: stats!, pass: (ms: number) => (now += ms) }
  }

  test('a window counts, refuses, and begins anew', async () => {
    const { list, stats, pass } = await limited({})
    expect((await list()).headers).toMatchObject({
      'ratelimit-limit': '3',
      'ratelimit-remaining': '2',
      'ratelimit-reset': String(T0 / 1_000 + 30),
      'ratelimit-policy': '3;w=30',
    })
    pass(10_000)
    expect([await list(), await list()].map(({ status }) => status)).toEqual([200, 200])
    expect(stats).toMatchObject({ exceeded: false, mostInWindow: 3, refused: 0 })
    expect(await list()).toMatchObject({ status: 429, headers: { 'retry-after': '20' } })
    expect(stats).toMatchObject({ exceeded: true, mostInWindow: 4, refused: 1, tooEarly: 0 })
    pass(5_000)
    expect((await list()).status).toBe(429)
    expect(stats.tooEarly).toBe(1)
    pass(15_000)
    expect(await list()).toMatchObject({ status: 200, headers: { 'ratelimit-remaining': '2' } })
    expect(stats).toMatchObject({ tooEarly: 1, requests: 6, inFlight: 0, mostInFlight: 1 })
  })

  test('getRepo may have a window of its own', async () => {
    const { list, whole } = await limited({ repoPoints: 1 })
    expect([(await whole()).status, (await whole()).status, (await list()).status]).toEqual([200, 429, 200])
  })

  test.each([
    [{ announces: 'none' }, {}],
    [{ announces: 'lying' }, { 'ratelimit-limit': '6', 'ratelimit-remaining': '6' }],
    [{ announces: 'early' }, { 'ratelimit-reset': String(T0 / 1_000 + 30) }],
  ] as const)('a host may announce otherwise: %o', async (change, headers) => {
    const { list } = await limited({ ...change, windowMs: 30_900 })
    const answer = await list()
    expect(answer.headers).toMatchObject(headers)
    if (change.announces === 'none') expect(Object.keys(answer.headers).join()).not.toContain('ratelimit')
  })

  test.each([
    ['date', { 'retry-after': new Date(T0 + 30_000).toUTCString() }],
    ['reset', { 'ratelimit-reset': String(T0 / 1_000 + 30) }],
    ['html', { 'retry-after': '30', 'content-type': 'text/html' }],
    ['bare', { 'content-type': 'text/html' }],
  ] as const)('a refusal may look otherwise: %s', async (refuses, headers) => {
    const { list } = await limited({ points: 1, announces: 'none', refuses })
    await list()
    const answer = await list()
    expect(answer).toMatchObject({ status: 429, headers })
    expect('retry-after' in answer.headers).toBe('retry-after' in headers)
  })

  test('the directory has one of its own', async () => {
    const { simulation, http } = await start({ directoryLimit: { ...limit, points: 1 } })
    const url = `${simulation.addresses.directory}/${simulation.world.accountAt(0).did}`
    expect([(await get(http, url)).status, (await get(http, url)).status]).toEqual([200, 429])
    expect(simulation.stats.directory.exceeded).toBe(true)
  })

  test('latency passes before each answer', async () => {
    const { simulation, ask, home } = await start({ latencyMs: 250 })
    const account = simulation.world.accountAt(0)
    const from = performance.now()
    await Promise.all([1, 2].map(() => ask(home(account), LIST, { repo: account.did, collection: POST })))
    expect(performance.now() - from).toBeGreaterThanOrEqual(249)
    const stats = simulation.stats.hosts[account.host]!
    await expect.poll(() => stats.inFlight).toBe(0)
    expect(stats.mostInFlight).toBe(2)
  })
})
