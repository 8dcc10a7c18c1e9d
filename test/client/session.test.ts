import { createHmac } from 'node:crypto'
import { AtpAgent } from '@atproto/api'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  BackfillClient,
  LoginFailed,
  type LoginOptions,
  PdsSession,
  type SavedSession,
  ServiceUnreachable,
  SessionExpired,
} from '../../src/client/index.js'
import { findFreePort } from '../support/network/loopback.js'
import { type Network, startNetwork } from '../support/network/network.js'
import type { TestPds } from '../support/network/pds.js'
import { startTestService, type TestService } from '../support/service.js'
import { ok, QUICK_RETRY, refuse, startScripted } from './support.js'

const HANDLE = 'session-1.one.test'
const PASSWORD = 'correct horse battery staple'
const REFRESH = 'com.atproto.server.refreshSession'

describe('calling with an account on a PDS', () => {
  let network: Network
  let pds: TestPds
  let service: TestService
  let did: string
  let session: PdsSession

  const login = (options: Partial<LoginOptions> = {}) =>
    PdsSession.login({
      identifier: HANDLE,
      password: PASSWORD,
      plcUrl: network.plc.url,
      handleResolverUrl: network.handleResolver.url,
      ...options,
    })

  const clientOf = (as: PdsSession) =>
    new BackfillClient({ service: service.url, retry: QUICK_RETRY, session: as })

  beforeAll(async () => {
    network = await startNetwork({ pdsCount: 1 })
    pds = network.pdses[0]!
    const agent = new AtpAgent({ service: pds.url })
    const { data } = await agent.createAccount({ handle: HANDLE, email: 'a@mail.test', password: PASSWORD })
    did = data.did
    service = await startTestService({ network })
    session = await login()
  })

  afterAll(async () => {
    await service?.[Symbol.asyncDispose]()
    await network?.[Symbol.asyncDispose]()
  })

  test('the PDS signs for the account', async () => {
    expect(session).toMatchObject({ did, pds: pds.url })
    const client = clientOf(session)
    const job = await client.createJob({ collections: ['com.example.post'], repos: [HANDLE] })
    expect(job.caller).toBe(did)
    expect((await client.listJobs()).jobs).toHaveLength(1)
  })

  test('logs in by DID, by @handle, and by e-mail address where the PDS is given', async () => {
    expect((await login({ identifier: did })).did).toBe(did)
    expect((await login({ identifier: `@${HANDLE.toUpperCase()}` })).did).toBe(did)
    expect((await login({ identifier: 'a@mail.test', pds: pds.url })).did).toBe(did)
  })

  test.each<[string, Partial<LoginOptions>, RegExp]>([
    ['a wrong password', { password: 'wrong' }, /Invalid identifier or password/],
    ['an unknown handle', { identifier: 'nobody-1.one.test' }, /no account answers to the handle nobody-1/],
    ['an unknown DID', { identifier: `did:plc:${'a'.repeat(24)}` }, /there is no account did:plc:a/],
    ['what is neither', { identifier: 'no one' }, /neither a handle nor a DID/],
    ['an e-mail address alone', { identifier: 'a@mail.test' }, /say on which PDS/],
  ])('%s is a LoginFailed', async (_, options, message) => {
    const error = await login(options).catch((thrown: unknown) => thrown)
    expect(error).toBeInstanceOf(LoginFailed)
    expect((error as Error).message).toMatch(message)
  })

  test('the password goes nowhere for a handle that its account does not name', async () => {
    network.handleResolver.set('liar.test', did)
    const asked = pds.requests.of('com.atproto.server.createSession')
    await expect(login({ identifier: 'liar.test' })).rejects.toThrow(/does not name the handle/)
    expect(pds.requests.of('com.atproto.server.createSession')).toBe(asked)
    await expect(login({ pds: 'http://pds.example.com' })).rejects.toThrow(/only sent by https/)
  })

  test('says what cannot be reached', async () => {
    const nowhere = `http://localhost:${await findFreePort()}`
    for (const options of [{ pds: nowhere }, { plcUrl: nowhere }, { handleResolverUrl: nowhere }]) {
      const error = await login(options).catch((thrown: unknown) => thrown)
      expect(error).toBeInstanceOf(ServiceUnreachable)
      expect((error as Error).message).toContain(nowhere)
    }
  })

  test('a second factor is asked for', async () => {
    await using other = await startScripted(
      refuse(401, 'AuthFactorTokenRequired'),
      ok({ did, accessJwt: 'a', refreshJwt: 'r' }),
    )
    const first = await login({ pds: other.url }).catch((thrown: unknown) => thrown)
    expect(first).toBeInstanceOf(LoginFailed)
    expect(first).toMatchObject({ name: 'AuthFactorTokenRequired' })
    await login({ pds: other.url, authFactorToken: 'abc-def' })
    expect(JSON.parse(other.requests[1]!.body)).toMatchObject({ authFactorToken: 'abc-def' })
  })

  test('an expired access token is renewed, once for calls at the same time', async () => {
    const saved = session.save()
    const changes: SavedSession[] = []
    const onChange = (changed: SavedSession) => void changes.push(changed)
    const resumed = PdsSession.resume({ ...saved, accessJwt: expire(saved.accessJwt) }, { onChange })
    const client = clientOf(resumed)
    await client.describeService()
    const before = pds.requests.of(REFRESH)
    const answers = await Promise.all([client.listJobs(), client.listJobs(), client.listJobs()])
    expect(answers.map(({ jobs }) => jobs.length)).toEqual([1, 1, 1])
    expect(pds.requests.of(REFRESH)).toBe(before + 1)
    expect(changes).toEqual([resumed.save()])
    expect(changes[0]!.refreshJwt).not.toBe(saved.refreshJwt)
    // The new tokens are good for a session of their own.
    await clientOf(PdsSession.resume(changes[0]!)).listJobs()
  })

  test('a session that is over says so', async () => {
    const ended = await login()
    const saved = ended.save()
    await ended.logout()
    await ended.logout()
    const sessions = {
      'a revoked refresh token': { ...saved, accessJwt: expire(saved.accessJwt) },
      'an expired refresh token': {
        ...saved,
        accessJwt: expire(saved.accessJwt),
        refreshJwt: expire(saved.refreshJwt),
      },
      'a token of another PDS': { ...saved, accessJwt: tamper(saved.accessJwt) },
    }
    for (const [what, broken] of Object.entries(sessions)) {
      const error = await clientOf(PdsSession.resume(broken))
        .listJobs()
        .catch((thrown: unknown) => thrown)
      expect(error, what).toBeInstanceOf(SessionExpired)
      expect((error as Error).message).toMatch(/the session of did:plc:\w+ is over .*: log in again/)
    }
  })

  test('a PDS that is down is tried again, and named', async () => {
    const client = clientOf(session)
    await client.listJobs()
    await pds.stop()
    try {
      const error = await client.listJobs().catch((thrown: unknown) => thrown)
      expect(error).toBeInstanceOf(ServiceUnreachable)
      expect((error as Error).message).toContain(`Cannot reach a PDS at ${pds.url}`)
    } finally {
      await pds.restart()
    }
    expect((await client.listJobs()).jobs).toHaveLength(1)
  })

  test('can be aborted while the PDS is asked', async () => {
    const controller = new AbortController()
    const reason = new Error('enough')
    await using slow = await startScripted(() => controller.abort(reason))
    const stuck = PdsSession.resume({ did, pds: slow.url, accessJwt: 'a', refreshJwt: 'r' })
    const call = clientOf(stuck).listJobs({}, { signal: controller.signal })
    await expect(call).rejects.toBe(reason)
    await expect(login({ signal: AbortSignal.abort(reason) })).rejects.toBe(reason)
  })
})

/** The PDS's own token, as it would be had it expired a minute ago. */
function expire(token: string): string {
  const [header, payload] = token.split('.') as [string, string]
  const claims = JSON.parse(Buffer.from(payload, 'base64url').toString())
  const past = { ...claims, exp: Math.floor(Date.now() / 1_000) - 60 }
  const signed = `${header}.${Buffer.from(JSON.stringify(past)).toString('base64url')}`
  const secret = 'a secret that signs the sessions of tests'
  return `${signed}.${createHmac('sha256', secret).update(signed).digest('base64url')}`
}

function tamper(token: string): string {
  const [header, payload] = token.split('.') as [string, string]
  return `${header}.${payload}.${Buffer.alloc(32, 1).toString('base64url')}`
}
