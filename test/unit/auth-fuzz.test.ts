import type { Keypair } from '@atproto/crypto'
import { beforeAll, expect, it } from 'vitest'
import {
  ALICE,
  base64Url,
  createWorld,
  goodClaims,
  jsonPart,
  makeToken,
  newK256,
  type Outcome,
  signParts,
  type World,
} from './auth-support.js'

const NAMES = [
  'AuthMissing',
  'BadJwt',
  'BadJwtType',
  'BadJwtAudience',
  'BadJwtLexiconMethod',
  'BadJwtIss',
  'BadJwtSignature',
  'JwtExpired',
  'BadJwtLifetime',
  'JwtNotYetValid',
  'BadJwtKey',
  'BadJwtId',
  'JwtReplayed',
  'UnknownIssuer',
]

let key: Keypair
let world: World

beforeAll(async () => {
  key = await newK256()
  world = createWorld({ [ALICE]: key })
})

/** Small and seeded (mulberry32), so that a failure can be had again. */
function createRandom(seed: number): (below: number) => number {
  let state = seed
  return (below) => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below
  }
}

function expectRefused(outcome: Outcome, token: string): void {
  expect(outcome, token).toMatchObject({ status: 401 })
  expect(NAMES, token).toContain('error' in outcome && outcome.error)
}

const ALPHABET = [...'ABCXYZabcxyz019-_.=+/ {}"\\\u0000\u00ff\ud83d\u20ac']

/** Up to three edits of a text: replace, insert, delete, swap, cut, double. */
function mutate(text: string, random: (below: number) => number): string {
  let mutant = text
  for (let edits = random(3) + 1; edits > 0; edits--) {
    const at = random(mutant.length + 1)
    const other = at + random(8)
    const letter = ALPHABET[random(ALPHABET.length)] ?? ''
    const before = mutant.slice(0, at)
    const edited = [
      before + letter + mutant.slice(at + 1),
      before + letter + mutant.slice(at),
      before + mutant.slice(other),
      before + mutant.slice(at, other).split('').reverse().join('') + mutant.slice(other),
      before,
      mutant + mutant.slice(at),
    ]
    mutant = edited[random(edited.length)] ?? mutant
  }
  return mutant
}

it('3,000 tokens broken as texts are all refused with 401 and a known name', async () => {
  const random = createRandom(1)
  const token = await makeToken(key)
  for (let i = 0; i < 3_000; i++) {
    const mutant = mutate(token, random)
    if (mutant !== token) expectRefused(await world.call(mutant), mutant)
  }
  expect(await world.call(token)).toEqual({ did: ALICE })
})

it('2,000 tokens with broken JSON, well signed, are refused or harmless', async () => {
  const random = createRandom(2)
  const header = JSON.stringify({ typ: 'JWT', alg: 'ES256K' })
  let refused = 0
  for (let i = 0; i < 2_000; i++) {
    const claims = JSON.stringify(goodClaims())
    const [first, second] =
      random(4) === 0 ? [mutate(header, random), claims] : [header, mutate(claims, random)]
    const token = await signParts(key, base64Url(first), base64Url(second))
    const outcome = await world.call(token)
    // An edit within `jti` or of a time leaves a good token; it can never become somebody else's.
    if ('did' in outcome) expect(outcome.did).toBe(ALICE)
    else {
      expectRefused(outcome, token)
      refused += 1
    }
  }
  expect(refused).toBeGreaterThan(1_000)
})

const ODD_VALUES: unknown[] = [
  undefined,
  null,
  true,
  false,
  0,
  -0,
  -1,
  1.5,
  1e21,
  1e308,
  -1e308,
  '',
  ' ',
  '0',
  'NaN',
  '\u0000',
  '\ud800',
  '\u{1f600}',
  'constructor',
  '__proto__',
  'did:plc:',
  'did:web:',
  'did:key:z',
  `${ALICE}#`,
  `${ALICE}\n`,
  ` ${ALICE}`,
  [],
  [ALICE],
  [[[]]],
  {},
  { toString: 'x' },
  { valueOf: null },
  { length: 3 },
  'x'.repeat(2_000),
]

it('every field with every odd value, well signed, is refused or harmless', async () => {
  for (const field of [
    'iss',
    'aud',
    'lxm',
    'exp',
    'iat',
    'nbf',
    'jti',
    'typ',
    'alg',
    'kid',
    'crit',
    '__proto__',
  ]) {
    for (const value of ODD_VALUES) {
      const broken = Object.fromEntries([[field, value]])
      const inHeader = ['typ', 'alg', 'kid', 'crit'].includes(field)
      const token = inHeader ? await makeToken(key, {}, broken) : await makeToken(key, broken)
      const outcome = await world.call(token)
      if ('did' in outcome) expect(outcome.did, token).toBe(ALICE)
      else expectRefused(outcome, token)
    }
  }
})

it.each(['constructor', '__proto__', 'toString'])('claims of a prototype are no claims: %s', async (name) => {
  const payload = base64Url(
    JSON.stringify({ [name]: goodClaims() }).replace('{', `{"${name}":{"iss":"${ALICE}"},`),
  )
  const token = await signParts(key, jsonPart({ typ: 'JWT', alg: 'ES256K' }), payload)
  expect(await world.call(token)).toMatchObject({ status: 401, error: 'BadJwt' })
})
