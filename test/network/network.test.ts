import { once } from 'node:events'
import { existsSync, readdirSync, readlinkSync } from 'node:fs'
import { connect } from 'node:net'
import { networkInterfaces } from 'node:os'
import type { AtpAgent } from '@atproto/api'
import { getPdsEndpoint } from '@atproto/common-web'
import { IdResolver } from '@atproto/identity'
import { verifyJwt } from '@atproto/xrpc-server'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  type Account,
  activate,
  createAccount,
  createAccounts,
  createDidWebAccount,
  deactivate,
  deleteAccount,
  deleteRecord,
  putRecord,
  putRecords,
  type StoredRecord,
  takeDown,
  tombstone,
  updatePlcEndpoint,
} from '../support/network/accounts.js'
import { type Caller, createPlcCaller, createWebCaller } from '../support/network/caller.js'
import { type Network, startNetwork } from '../support/network/network.js'
import { type WrongJwt, wrongJwts } from '../support/network/wrong-jwts.js'

const THING = 'network.example.thing'
const OTHER = 'network.example.other'
const LIST = 'com.atproto.sync.listReposByCollection'

let network: Network

beforeAll(async () => {
  network = await startNetwork()
})

afterAll(async () => {
  await network[Symbol.asyncDispose]()
})

const resolver = () => new IdResolver({ plcUrl: network.plc.url, fetch: globalThis.fetch })

/** Every record of a collection, without a session, page by page. */
async function readAll(agent: AtpAgent, repo: string, collection = THING) {
  const records: StoredRecord[] = []
  const pages: number[] = []
  let cursor: string | undefined
  do {
    const { data } = await agent.com.atproto.repo.listRecords({
      repo,
      collection,
      limit: 100,
      cursor,
      reverse: true,
    })
    pages.push(data.records.length)
    records.push(...(data.records as StoredRecord[]))
    cursor = data.cursor
  } while (cursor !== undefined)
  return { records, pages }
}

/** What a repo answers to the three questions that tell its state. */
async function stateOf({ pds: { agent }, did }: Account) {
  const answer = <T>(call: Promise<T>, read: (value: T) => unknown) =>
    call.then(read, (error) => `${error.status} ${error.error}: ${error.message}`)
  return {
    getRepo: await answer(agent.com.atproto.sync.getRepo({ did }), () => 'a repo'),
    listRecords: await answer(
      agent.com.atproto.repo.listRecords({ repo: did, collection: THING }),
      ({ data }) => data.records.length,
    ),
    getRepoStatus: await answer(agent.com.atproto.sync.getRepoStatus({ did }), ({ data }) => data.status),
  }
}

/** By a connection of its own: one kept alive from before may still have to notice its end. */
async function isReachable(url: string, host = '127.0.0.1'): Promise<boolean> {
  const socket = connect({ host, port: Number(new URL(url).port) })
  try {
    await once(socket, 'connect')
    return true
  } catch (error) {
    expect(error).toMatchObject({ code: 'ECONNREFUSED' })
    return false
  } finally {
    socket.destroy()
  }
}

describe('accounts', () => {
  test('1,001 records come back in order, in pages of 100', async () => {
    const account = await createAccount(network.pdses[0]!, 'alice-many')
    const values = Array.from({ length: 1_001 }, (_, n) => ({ n }))
    const stored = await putRecords(account, THING, values)
    const { records, pages } = await readAll(account.pds.agent, account.did)
    expect(records).toEqual(stored)
    expect(pages).toEqual([...Array(10).fill(100), 1, 0])
  })

  test('records can be given keys, be replaced and be deleted', async () => {
    const account = await createAccount(network.pdses[0]!, 'alice-edits')
    const [first, second] = await putRecords(account, THING, [{ n: 1 }, { n: 2 }, { n: 3 }], ['a', 'b', 'c'])
    const changed = await putRecord(account, THING, 'b', { n: 'two' })
    await deleteRecord(account, THING, 'c')
    expect(changed.cid).not.toBe(second!.cid)
    const { records } = await readAll(account.pds.agent, account.did)
    expect(records).toEqual([first, changed])
  })

  test('large records are split over requests, and U+0000 and emoji survive', async () => {
    const account = await createAccount(network.pdses[0]!, 'alice-large')
    const values = [
      ...Array.from({ length: 20 }, (_, n) => ({ text: 'x'.repeat(90_000), n })),
      { text: 'a\u0000b 😀' },
    ]
    const stored = await putRecords(account, THING, values)
    const { records } = await readAll(account.pds.agent, account.did)
    expect(records).toEqual(stored)
    expect(records.at(-1)?.value.text).toBe('a\u0000b 😀')
  })

  test('each state answers as a PDS answers', async () => {
    const [empty, deactivated, takenDown, deleted] = await createAccounts(network.pdses[1]!, [
      'bob-empty',
      'bob-deactivated',
      'bob-taken-down',
      'bob-deleted',
    ])
    const notFound = (did: string) => `400 InvalidRequest: Could not find repo: ${did}`
    await deactivate(deactivated!)
    await takeDown(takenDown!.pds, takenDown!.did)
    await deleteAccount(deleted!)
    expect(await stateOf(empty!)).toEqual({ getRepo: 'a repo', listRecords: 0, getRepoStatus: undefined })
    expect(await stateOf(deactivated!)).toEqual({
      getRepo: `400 RepoDeactivated: Repo has been deactivated: ${deactivated!.did}`,
      listRecords: notFound(deactivated!.did),
      getRepoStatus: 'deactivated',
    })
    expect(await stateOf(takenDown!)).toEqual({
      getRepo: `400 RepoTakendown: Repo has been takendown: ${takenDown!.did}`,
      listRecords: notFound(takenDown!.did),
      getRepoStatus: 'takendown',
    })
    expect(await stateOf(deleted!)).toEqual({
      getRepo: `400 RepoNotFound: Could not find repo for DID: ${deleted!.did}`,
      listRecords: notFound(deleted!.did),
      getRepoStatus: `400 RepoNotFound: Could not find repo for DID: ${deleted!.did}`,
    })
    await activate(deactivated!)
    expect(await stateOf(deactivated!)).toMatchObject({ getRepo: 'a repo' })
  })

  test('an account with a did:web is active, and its document names its key and PDS', async () => {
    const pds = network.pdses[1]!
    await using account = await createDidWebAccount(pds, 'web-user')
    expect(account.did).toMatch(/^did:web:localhost%3A\d+$/)
    const stored = await putRecords(account, THING, [{ n: 1 }])
    expect((await readAll(pds.agent, account.did)).records).toEqual(stored)
    const identity = await resolver().did.resolveAtprotoData(account.did)
    expect(identity).toMatchObject({ did: account.did, pds: pds.url, handle: 'web-user.two.test' })
    const token = await account.agent.com.atproto.server.getServiceAuth({ aud: pds.did, lxm: LIST })
    expect(await verifyJwt(token.data.token, pds.did, LIST, async () => identity.signingKey)).toMatchObject({
      iss: account.did,
    })
  })

  test('a did:plc can name another PDS, and end', async () => {
    const [one, two] = network.pdses
    const account = await createAccount(one!, 'alice-moves')
    await updatePlcEndpoint(account, two!.url)
    expect(getPdsEndpoint((await resolver().did.ensureResolve(account.did, true))!)).toBe(two!.url)
    await tombstone(account)
    expect(await resolver().did.resolve(account.did)).toBeNull()
  })
})

describe('servers', () => {
  test('listen on loopback only', async () => {
    const addresses = Object.values(networkInterfaces())
      .flatMap((addresses) => addresses ?? [])
      .filter(({ internal, family }) => !internal && family === 'IPv4')
      .map(({ address }) => address)
    // On Linux all of 127.0.0.0/8 leads to this machine, to servers that listen on every address.
    if (process.platform === 'linux') addresses.push('127.0.0.2')
    const { plc, relay, handleResolver, pdses } = network
    for (const { url } of [plc, relay, handleResolver, ...pdses]) {
      expect(await isReachable(url)).toBe(true)
      for (const address of addresses) expect(await isReachable(url, address), address).toBe(false)
    }
  })

  test('a PDS that went down comes back with its data, its sessions and its address', async () => {
    const [one, two] = network.pdses
    const account = await createAccount(one!, 'alice-waits')
    const [before] = await putRecords(account, THING, [{ n: 1 }])
    await one!.stop()
    expect(await isReachable(one!.url)).toBe(false)
    expect(await isReachable(two!.url)).toBe(true)
    await one!.restart()
    const [after] = await putRecords(account, THING, [{ n: 2 }])
    const askedBefore = one!.requests.of('com.atproto.repo.listRecords')
    expect((await readAll(one!.agent, account.did)).records).toEqual([before, after])
    expect(one!.requests.of('com.atproto.repo.listRecords') - askedBefore).toBe(2)
  })

  test('the directory that went down comes back with its operations', async () => {
    const { did } = await createAccount(network.pdses[0]!, 'alice-resolves')
    await network.plc.stop()
    expect(await isReachable(network.plc.url)).toBe(false)
    await network.plc.restart()
    expect(await resolver().did.resolve(did)).toMatchObject({ id: did })
    expect(network.plc.requests.of(`/${did}`)).toBeGreaterThan(0)
  })

  test('the handle resolver asks the PDS that has the handle', async () => {
    const { handleResolver, pdses } = network
    const ask = async (handle: string) => {
      const url = `${handleResolver.url}/xrpc/com.atproto.identity.resolveHandle?handle=${handle}`
      const response = await fetch(url)
      return { status: response.status, ...((await response.json()) as object) }
    }
    const one = await createAccount(pdses[0]!, 'alice-handle')
    const two = await createAccount(pdses[1]!, 'alice-handle')
    expect(await ask('alice-handle.one.test')).toEqual({ status: 200, did: one.did })
    expect(await ask('alice-handle.two.test')).toEqual({ status: 200, did: two.did })
    expect(await ask('nobody.two.test')).toMatchObject({ status: 400, error: 'HandleNotFound' })
    expect(await ask('elsewhere.invalid')).toMatchObject({ status: 400, error: 'HandleNotFound' })
    handleResolver.set('Elsewhere.invalid', one.did)
    expect(await ask('elsewhere.invalid')).toEqual({ status: 200, did: one.did })
  })
})

describe('the relay', () => {
  let collection = ''
  let dids: string[] = []

  /** One listing as a client makes it; stops at a repeated cursor. */
  async function list(limit = 2_000) {
    const seen: string[] = []
    const pages: number[] = []
    let cursor: string | undefined
    for (;;) {
      const query = new URLSearchParams({ collection, limit: String(limit), ...(cursor ? { cursor } : {}) })
      const response = await fetch(`${network.relay.url}/xrpc/${LIST}?${query}`)
      if (!response.ok) return { error: response.status, retryAfter: response.headers.get('retry-after') }
      const page = (await response.json()) as { repos: { did: string }[]; cursor?: string }
      pages.push(page.repos.length)
      seen.push(...page.repos.map(({ did }) => did))
      if (page.cursor !== undefined && page.cursor === cursor) return { looped: true, pages }
      cursor = page.cursor
      if (cursor === undefined) return { dids: seen, pages }
    }
  }

  beforeAll(async () => {
    const [one, two] = network.pdses
    const accounts = [
      ...(await createAccounts(one!, ['relay-1', 'relay-2', 'relay-3'])),
      ...(await createAccounts(two!, ['relay-4', 'relay-5'])),
    ]
    collection = `${OTHER}.relay`
    await Promise.all(accounts.map((account) => putRecords(account, collection, [{ n: 1 }])))
    await deactivate(accounts[1]!)
    dids = accounts.map(({ did }) => did).sort()
  })

  test('lists the repos that have the collection, deactivated ones too, and those a test adds', async () => {
    const asked = network.relay.requests.of(LIST)
    expect(await list()).toEqual({ dids, pages: [5] })
    expect(await list(2)).toEqual({ dids, pages: [2, 2, 1] })
    expect(network.relay.requests.of(LIST) - asked).toBe(4)
    const absent = 'did:plc:zzzzzzzzzzzzzzzzzzzzzzzz'
    network.relay.add(absent, [collection])
    dids.push(absent)
    expect(await list(3)).toEqual({ dids, pages: [3, 3, 0] })
  })

  test('remembers what it saw while a PDS is down', async () => {
    await network.pdses[1]!.stop()
    expect(await list()).toMatchObject({ dids })
    await network.pdses[1]!.restart()
  })

  test('misbehaves on demand, and then recovers', async () => {
    const { faults } = network.relay
    faults.add({ kind: 'status', status: 429, headers: { 'retry-after': '7' } })
    expect(await list()).toEqual({ error: 429, retryAfter: '7' })
    faults.add({ kind: 'reset' })
    await expect(list()).rejects.toMatchObject({ cause: { code: 'ECONNRESET' } })
    faults.add({ kind: 'empty-page' }, 2)
    expect(await list(3)).toEqual({ dids, pages: [0, 0, 3, 3, 0] })
    faults.add({ kind: 'repeated-cursor' })
    expect(await list(3)).toEqual({ looped: true, pages: [3, 3] })
    expect(await list(3)).toMatchObject({ dids })
    const kinds = ['status', 'reset', 'empty-page', 'repeated-cursor'] as const
    expect(kinds.map((kind) => faults.fired(kind))).toEqual([1, 1, 2, 1])
    await network.relay.stop()
    expect(await isReachable(network.relay.url)).toBe(false)
    await network.relay.restart()
    expect(await list()).toMatchObject({ dids })
  })

  test('lists hosts and repos, and refuses what the lexicon refuses', async () => {
    const ask = async (path: string) => {
      const response = await fetch(`${network.relay.url}/xrpc/${path}`)
      return { status: response.status, body: (await response.json()) as Record<string, unknown> }
    }
    const hosts = network.pdses.map(({ url }) => expect.objectContaining({ hostname: new URL(url).host }))
    const { body } = await ask('com.atproto.sync.listHosts')
    expect(body.hosts).toEqual(expect.arrayContaining(hosts))
    const repos = (await ask('com.atproto.sync.listRepos?limit=1000')).body.repos as { did: string }[]
    expect(repos.filter(({ did }) => dids.includes(did))).toHaveLength(dids.length)
    expect(await ask(`${LIST}?collection=${collection}&limit=2001`)).toMatchObject({ status: 400 })
    expect(await ask(LIST)).toMatchObject({ status: 400, body: { error: 'InvalidRequest' } })
    expect(await ask('com.atproto.sync.getRepo')).toMatchObject({ status: 501 })
  })
})

describe('callers', () => {
  const right = { aud: 'did:web:aquifer.example', lxm: 'network.example.backfill.createJob' }
  const verify = (token: string) =>
    verifyJwt(token, right.aud, right.lxm, (did, fresh) => resolver().did.resolveAtprotoKey(did, fresh))

  test.each(['did:plc', 'did:web'])(
    'a service with a %s signs as itself, with a new key too',
    async (kind) => {
      await using caller: Caller =
        kind === 'did:plc' ? await createPlcCaller(network.plc) : await createWebCaller()
      expect(caller.did).toContain(`${kind}:`)
      const before = await caller.serviceJwt(right)
      expect(await verify(before)).toMatchObject({ iss: caller.did, ...right })
      await caller.rotateKey()
      expect(await verify(await caller.serviceJwt(right))).toMatchObject({ iss: caller.did })
      await expect(verify(before)).rejects.toMatchObject({ error: 'BadJwtSignature' })
    },
  )

  test('wrong tokens are wrong in the way they say', async () => {
    await using caller = await createWebCaller()
    const refusals: Partial<Record<WrongJwt, string>> = {
      'another audience': 'BadJwtAudience',
      'another method': 'BadJwtLexiconMethod',
      expired: 'JwtExpired',
      'a session token': 'BadJwtType',
      'signed by another key': 'BadJwtSignature',
      'signed on another curve': 'BadJwtSignature',
      'changed after signing': 'BadJwtSignature',
      'not signed': 'BadJwtSignature',
      'one part': 'BadJwt',
    }
    for (const [name, error] of Object.entries(refusals)) {
      const token = await wrongJwts[name as WrongJwt](caller, right)
      await expect(verify(token), name).rejects.toMatchObject({ error })
    }
    // Signed as they should be: a service has to look at what they say.
    for (const name of ['issued by a did:key', 'valid for two hours', 'no jti'] as const) {
      expect(await verify(await wrongJwts[name](caller, right)), name).toMatchObject(right)
    }
  })
})

test('a network that was closed leaves nothing behind', async () => {
  const { plc, relay, handleResolver, pdses } = network
  const serversBefore = [plc, relay, handleResolver, ...pdses].length
  // Node lets go of a closed server a moment after it says so.
  await expect.poll(openServers).toBe(serversBefore)
  const closed = await startNetwork({ pdsCount: 2 })
  const directories = closed.pdses.map(({ dataDirectory }) => dataDirectory)
  const openDatabases = () => openFiles().filter((file) => directories.some((path) => file.startsWith(path)))
  const account = await createAccount(closed.pdses[0]!, 'alice-brief')
  await putRecords(account, THING, [{ n: 1 }])
  const urls = [closed.plc, closed.relay, closed.handleResolver, ...closed.pdses].map(({ url }) => url)
  expect(openServers()).toBe(serversBefore + urls.length)
  if (process.platform === 'linux') expect(openDatabases()).not.toEqual([])

  await closed[Symbol.asyncDispose]()
  for (const url of urls) expect(await isReachable(url)).toBe(false)
  expect(directories.filter((path) => existsSync(path))).toEqual([])
  expect(openDatabases()).toEqual([])
  await expect.poll(openServers).toBe(serversBefore)
})

/** Listening sockets, which keep the process alive. */
function openServers(): number {
  return process.getActiveResourcesInfo().filter((name) => name === 'TCPServerWrap').length
}

/** The files this process has open, where the system tells. */
function openFiles(): string[] {
  if (process.platform !== 'linux') return []
  return readdirSync('/proc/self/fd').flatMap((descriptor) => {
    try {
      return [readlinkSync(`/proc/self/fd/${descriptor}`)]
    } catch {
      return []
    }
  })
}
