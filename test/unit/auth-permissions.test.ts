import { expect, it } from 'vitest'
import { type Permission, permissionsFor } from '../../src/auth/permissions.js'
import {
  ALICE,
  createWorld,
  makeToken,
  newK256,
  SERVICE_B,
  standing,
  UnexpectedError,
} from './auth-support.js'

const access = { admins: ['did:plc:admin'], allowed: ['did:plc:listed'] }

it.each<[string, 'open' | 'allowlist', Permission[]]>([
  ['did:plc:admin', 'open', ['read', 'create', 'admin']],
  ['did:plc:admin', 'allowlist', ['read', 'create', 'admin']],
  ['did:plc:listed', 'open', ['read', 'create']],
  ['did:plc:listed', 'allowlist', ['read', 'create']],
  ['did:plc:nobody', 'open', ['read', 'create']],
  ['did:plc:nobody', 'allowlist', []],
  ['DID:PLC:ADMIN', 'allowlist', []],
])('%s under %s may %j where nothing was said of it', (did, mode, permissions) => {
  expect([...permissionsFor(did, { mode, ...access }, null)]).toEqual(permissions)
})

it.each<[string, granted: string[], Permission[]]>([
  // What was granted counts for more than the list, and than that everybody may come.
  ['did:plc:listed', [], []],
  ['did:plc:listed', ['read'], ['read']],
  ['did:plc:nobody', [], []],
  ['did:plc:nobody', ['create'], ['create']],
  ['did:plc:nobody', ['create', 'read'], ['read', 'create']],
  // One permission holds the others.
  ['did:plc:nobody', ['admin'], ['read', 'create', 'admin']],
  // Nobody can take anything from those whom the settings name.
  ['did:plc:admin', [], ['read', 'create', 'admin']],
  ['did:plc:admin', ['read'], ['read', 'create', 'admin']],
  // Of a newer version that shares the database.
  ['did:plc:nobody', ['read', 'dance'], ['read']],
])('%s that was granted %j may %j', (did, granted, permissions) => {
  for (const mode of ['open', 'allowlist'] as const) {
    expect([...permissionsFor(did, { mode, ...access }, granted)]).toEqual(permissions)
  }
})

it('a caller without the permission is told which one it lacks, with 403', async () => {
  const key = await newK256()
  const admit = async (did: string) =>
    standing(permissionsFor(did, { mode: 'allowlist', admins: [], allowed: [ALICE] }, null))
  const world = createWorld({ [ALICE]: key, [SERVICE_B]: key }, { admit })
  expect(await world.call(await makeToken(key), 'create')).toEqual({ did: ALICE })
  expect(await world.call(await makeToken(key), 'admin')).toMatchObject({
    status: 403,
    error: 'NotPermitted',
    message: expect.stringContaining('"admin"'),
  })
  expect(await world.call(await makeToken(key, { iss: SERVICE_B }), 'read')).toMatchObject({
    status: 403,
    error: 'NotPermitted',
    message: expect.stringContaining('"read"'),
  })
})

it('a forged token of a caller without permissions is a 401 and not a 403', async () => {
  const admit = async () => standing(new Set())
  const world = createWorld({ [ALICE]: await newK256() }, { admit })
  expect(await world.call(await makeToken(await newK256()))).toMatchObject({ error: 'BadJwtSignature' })
})

it('a fault of our own store is not put down to the caller', async () => {
  const key = await newK256()
  const fault = () => Promise.reject(new Error('the database is gone'))
  for (const broken of [{ rememberJti: fault }, { admit: fault }]) {
    const world = createWorld({ [ALICE]: key }, broken)
    await expect(world.call(await makeToken(key))).rejects.toThrow(UnexpectedError)
  }
})
