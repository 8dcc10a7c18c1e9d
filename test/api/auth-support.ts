import { expect } from 'vitest'
import type { Caller } from '../support/network/caller.js'
import type { JwtParts } from '../support/network/service-jwt.js'
import { startTestService, type TestService, type TestServiceOptions } from '../support/service.js'
import { type Answer, exchange, nsid } from './support.js'

/** The method that these tests call; any other would do. */
export const METHOD = nsid('listJobs')

/** A service behind a proxy, so that requests can come from as many addresses as a test needs. */
export function startBehindProxy(options: TestServiceOptions): Promise<TestService> {
  return startTestService({
    engine: false,
    ...options,
    environment: { TRUST_PROXY: '1', ...options.environment },
  })
}

let addresses = 0

export function newAddress(): string {
  addresses += 1
  return `198.51.${100 + Math.floor(addresses / 256)}.${addresses % 256}`
}

/** Asks for the caller's jobs, from an address of its own unless one is given. */
export function ask(
  on: TestService,
  authorization: string | null,
  address: string = newAddress(),
): Promise<Answer> {
  const headers = { 'x-forwarded-for': address, ...(authorization !== null && { authorization }) }
  return exchange(`${on.url}/xrpc/${METHOD}`, { headers })
}

export function askWith(on: TestService, token: string, address?: string): Promise<Answer> {
  return ask(on, `Bearer ${token}`, address)
}

export async function askAs(on: TestService, caller: Caller, parts: Partial<JwtParts> = {}): Promise<Answer> {
  return askWith(on, await caller.serviceJwt({ aud: on.did, lxm: METHOD, ...parts }))
}

/** A refusal in full: its name, a message, and for a 401 the challenge that says the same. */
export function expectRefused(answer: Answer, status: number, error: string): void {
  expect({ status: answer.status, json: answer.json }).toEqual({
    status,
    json: { error, message: expect.any(String) },
  })
  const challenge = answer.headers.get('www-authenticate')
  if (status !== 401) expect(challenge).toBeNull()
  else expect(challenge).toMatch(new RegExp(`^Bearer realm="did:web:localhost%3A\\d+", error="${error}"$`))
}
