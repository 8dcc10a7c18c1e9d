import { existsSync } from 'node:fs'
import { chmod, mkdir, readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Secp256k1Keypair } from '@atproto/crypto'
import { IdResolver } from '@atproto/identity'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { formatPrivateKey, generateKey, parsePrivateKey } from '../../src/client/index.js'
import { Closers } from '../../src/closers.js'
import { createPlcCaller } from '../support/network/caller.js'
import { findFreePort } from '../support/network/loopback.js'
import { type Network, startNetwork } from '../support/network/network.js'
import { startTestService } from '../support/service.js'
import { aquifer, type Ended, startOnTerminal, temporaryFolder } from './support.js'

/** `aquifer identity` with a real directory, and what others then find. */

const URL_BEFORE = 'http://localhost:4001'
const URL_AFTER = 'http://localhost:4002'
const SERVICE_KEY = '7a'.repeat(32)
const OTHER_KEY = '7b'.repeat(32)

const closers = new Closers()
const folder = temporaryFolder()
let network: Network

beforeAll(async () => {
  network = closers.use(await startNetwork({ pdsCount: 1 }))
})
afterAll(() => closers.close())

let files = 0
/** The name of a file that is not there. */
function newFile(): string {
  files += 1
  return join(folder, `${files}.key`)
}

const environment = (more: Record<string, string> = {}) => ({
  PLC_URL: network.plc.url,
  ALLOW_PRIVATE_NETWORK: 'true',
  PUBLIC_URL: URL_BEFORE,
  SERVICE_KEY,
  ...more,
})

const identity = (args: readonly string[], more: Record<string, string> = {}) =>
  aquifer(['identity', ...args], { env: environment(more), cwd: folder })

const create = (file: string, more?: Record<string, string>, ...args: string[]) =>
  identity(['create', '--plc', '--rotation-key', file, '--yes', ...args], more)

const didKeyOf = async (file: string) => parsePrivateKey(await readFile(file, 'utf8')).did()
const serviceKey = async (hex: string) => (await Secp256k1Keypair.import(hex)).did()

const outputs: string[] = []
const secrets = new Set<string>([SERVICE_KEY, OTHER_KEY])
async function remember(ended: Ended, ...keyFiles: string[]): Promise<Ended> {
  outputs.push(ended.stdout, ended.stderr)
  for (const file of keyFiles) secrets.add((await readFile(file, 'utf8')).trim())
  return ended
}

describe('creating', () => {
  test('registers a did:plc with the address and the key of the service, and keeps its key safe', async () => {
    const file = newFile()
    const { code, stdout, stderr } = await remember(await create(file), file)
    expect(code).toBe(0)
    const did = stdout.trim()
    expect(did).toMatch(/^did:plc:[a-z2-7]{24}$/)
    expect(stderr).toContain(`SERVICE_DID=${did}`)
    expect((await stat(file)).mode & 0o777).toBe(0o600)
    expect(await network.plc.client.getDocumentData(did)).toEqual({
      did,
      rotationKeys: [await didKeyOf(file)],
      verificationMethods: { atproto: await serviceKey(SERVICE_KEY) },
      alsoKnownAs: [],
      services: { atproto_backfill: { type: 'AtprotoBackfillService', endpoint: URL_BEFORE } },
    })
  })

  test('gives the same one to whoever asks again with the same keys', async () => {
    const file = newFile()
    const first = await create(file)
    const again = await create(file, {}, '--json')
    expect(again).toMatchObject({ code: 0, stderr: expect.stringContaining('registered already') })
    expect(JSON.parse(again.stdout)).toEqual({
      did: first.stdout.trim(),
      directory: network.plc.url,
      endpoint: URL_BEFORE,
      signingKey: await serviceKey(SERVICE_KEY),
      rotationKeys: [await didKeyOf(file)],
    })
    expect(await network.plc.client.getOperationLog(first.stdout.trim())).toHaveLength(1)
  })

  test('puts recovery keys first, and takes the key from the environment', async () => {
    const key = await generateKey()
    const recovery = await generateKey()
    const text = await formatPrivateKey(key)
    secrets.add(text)
    const { code, stdout } = await remember(
      await identity(['create', '--plc', '--yes', '--recovery-key', recovery.did()], {
        AQUIFER_ROTATION_KEY: text,
      }),
    )
    expect(code).toBe(0)
    const data = await network.plc.client.getDocumentData(stdout.trim())
    expect(data.rotationKeys).toEqual([recovery.did(), key.did()])
  })

  test('signs with the key in the data directory, which the service makes or finds there', async () => {
    const data = join(folder, 'data')
    await mkdir(data)
    const { stdout } = await create(newFile(), { SERVICE_KEY: '', DATA_DIR: data })
    const kept = (await readFile(join(data, 'service.key'), 'utf8')).trim()
    secrets.add(kept)
    const { verificationMethods } = await network.plc.client.getDocumentData(stdout.trim())
    expect(verificationMethods).toEqual({ atproto: await serviceKey(kept) })
  })

  test('asks first, and leaves no key of a DID that was not wanted', async () => {
    const file = newFile()
    const args = ['identity', 'create', '--plc', '--rotation-key', file]
    const asked = startOnTerminal(args, { env: environment() })
    await asked.until('in public and for ever? [y/N]')
    asked.type('\r')
    expect(await asked.ended).toMatchObject({
      code: 1,
      stdout: expect.stringContaining('Nothing was registered'),
    })
    expect(existsSync(file)).toBe(false)
    // The one that the service itself signs with is of use without the DID.
    const data = join(folder, 'declined')
    const declined = startOnTerminal(args, { env: environment({ SERVICE_KEY: '', DATA_DIR: data }) })
    await declined.until('in public and for ever? [y/N]')
    declined.type('\r')
    expect((await declined.ended).stdout).toContain(`A new key is in ${join(data, 'service.key')}. The same`)
    expect(existsSync(file)).toBe(false)
    expect(await identity(args.slice(1))).toMatchObject({ code: 2, stderr: expect.stringContaining('--yes') })
  })

  test.each([
    ['without --plc', ['create'], {}, 'A did:web needs no making'],
    ['without a key', ['create', '--plc', '--yes'], {}, 'AQUIFER_ROTATION_KEY'],
    [
      'for an address of no use to others',
      ['create', '--plc', '--yes', '--rotation-key', 'never.key'],
      { ALLOW_PRIVATE_NETWORK: 'false', PLC_URL: '' },
      `PUBLIC_URL is ${URL_BEFORE}`,
    ],
    [
      'of a service that has one',
      ['create', '--plc', '--yes', '--rotation-key', 'never.key'],
      { SERVICE_DID: 'did:plc:aaaaaaaaaaaaaaaaaaaaaaaa' },
      'has a DID already',
    ],
    [
      'with a recovery key that is none',
      ['create', '--plc', '--yes', '--rotation-key', 'never.key', '--recovery-key', 'zSecret'],
      {},
      'must be the public part of a key',
    ],
  ])('%s is refused, and says what would be right', async (_, args, more, said) => {
    const { code, stdout, stderr } = await identity(args, more)
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
    expect(stderr).toContain(said)
    expect(stderr).not.toContain('zSecret')
    expect(existsSync(join(folder, 'never.key'))).toBe(false)
  })

  test('refuses a key file that others can read, or that holds something else', async () => {
    const file = newFile()
    const text = await formatPrivateKey(await generateKey())
    await writeFile(file, `${text}\n`)
    await chmod(file, 0o644)
    const open = await create(file)
    expect(open).toMatchObject({ code: 1, stdout: '', stderr: expect.stringContaining(`chmod 600 ${file}`) })
    expect(open.stderr).not.toContain(text)

    const broken = newFile()
    await writeFile(broken, 'not a key at all', { mode: 0o600 })
    const refused = await create(broken)
    expect(refused).toMatchObject({ code: 2, stderr: expect.stringContaining('holds no private key') })
    expect(refused.stderr).not.toContain('not a key at all')
  })

  test('takes a key with a mistake in it for no file, and does not repeat it', async () => {
    const text = await formatPrivateKey(await generateKey())
    for (const wrong of [text.slice(0, -1), text.slice(0, 20), OTHER_KEY, `0x${OTHER_KEY}`]) {
      const { code, stdout, stderr } = await identity(['create', '--plc', '--yes'], {
        AQUIFER_ROTATION_KEY: wrong,
      })
      expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
      expect(stderr).toContain('neither a private key')
      expect(stderr).not.toContain(wrong)
      expect(existsSync(join(folder, wrong))).toBe(false)
    }
  })

  test('says which directory does not answer, and keeps the key for the next time', async () => {
    const file = newFile()
    const settings = { SERVICE_KEY: '', DATA_DIR: join(folder, 'unregistered') }
    const url = `http://localhost:${await findFreePort()}`
    const { code, stderr } = await create(file, { ...settings, PLC_URL: url })
    expect({ code, stderr }).toMatchObject({ code: 1, stderr: expect.stringContaining(url) })
    const serviceFile = join(folder, 'unregistered', 'service.key')
    expect(stderr).toContain(
      `New keys are in ${serviceFile} and ${file}. The same command goes on with them.`,
    )
    const kept = [await didKeyOf(file), await serviceKey((await readFile(serviceFile, 'utf8')).trim())]
    const again = await create(file, settings)
    expect(again.code).toBe(0)
    const { rotationKeys, verificationMethods } = await network.plc.client.getDocumentData(
      again.stdout.trim(),
    )
    expect([...rotationKeys, verificationMethods.atproto]).toEqual(kept)
  })
})

describe('updating', () => {
  let file: string
  let did: string
  beforeAll(async () => {
    file = newFile()
    did = (await create(file)).stdout.trim()
  })
  const update = (args: readonly string[], more: Record<string, string> = {}) =>
    identity(['update', '--rotation-key', file, ...args], { SERVICE_DID: did, ...more })

  test('does nothing when all is as in the settings', async () => {
    const { code, stdout } = await update(['--yes'])
    expect({ code, stdout }).toEqual({ code: 0, stdout: `${did} is as in the settings.\n` })
    expect(await network.plc.client.getOperationLog(did)).toHaveLength(1)
  })

  test('shows what a move changes, and writes it', async () => {
    // Whatever else the DID is for stays.
    const key = parsePrivateKey(await readFile(file, 'utf8'))
    await network.plc.client.updateData(did, key, (last) => ({
      ...last,
      alsoKnownAs: ['at://backfill.example.com'],
      services: { ...last.services, other: { type: 'Other', endpoint: 'https://other.example' } },
    }))
    const moved = { PUBLIC_URL: URL_AFTER, SERVICE_KEY: OTHER_KEY }
    const shown = [
      `did            ${did}`,
      `service        ${URL_BEFORE}`,
      `           to  ${URL_AFTER}`,
      `signing key    ${await serviceKey(SERVICE_KEY)}`,
      `           to  ${await serviceKey(OTHER_KEY)}`,
      '',
    ].join('\n')
    expect(await remember(await update(['--dry-run'], moved))).toEqual({ code: 0, stdout: shown, stderr: '' })
    expect(await network.plc.client.getOperationLog(did)).toHaveLength(2)

    expect(await remember(await update(['--yes'], moved))).toMatchObject({ code: 0, stdout: shown })
    expect(await network.plc.client.getDocumentData(did)).toEqual({
      did,
      rotationKeys: [key.did()],
      verificationMethods: { atproto: await serviceKey(OTHER_KEY) },
      alsoKnownAs: ['at://backfill.example.com'],
      services: {
        atproto_backfill: { type: 'AtprotoBackfillService', endpoint: URL_AFTER },
        other: { type: 'Other', endpoint: 'https://other.example' },
      },
    })
  })

  test('hands over to another rotation key, after which the old one may nothing', async () => {
    const next = newFile()
    const { code } = await remember(await update(['--new-rotation-key', next, '--yes', '--json']), next)
    expect(code).toBe(0)
    expect((await stat(next)).mode & 0o777).toBe(0o600)
    const { rotationKeys } = await network.plc.client.getDocumentData(did)
    expect(rotationKeys).toEqual([await didKeyOf(next)])

    const old = await update(['--yes'], { PUBLIC_URL: URL_AFTER })
    expect(old).toMatchObject({ code: 1, stderr: expect.stringContaining(`may not change ${did}`) })
  })

  test('takes no new key for the one that the service signs with', async () => {
    const data = join(folder, 'elsewhere')
    const { code, stderr } = await update(['--yes'], { SERVICE_KEY: '', DATA_DIR: data })
    expect({ code, stderr }).toMatchObject({ code: 1, stderr: expect.stringContaining('no service key') })
    expect(existsSync(data)).toBe(false)
  })

  test('is for a did:plc that the directory has', async () => {
    expect(await update(['--yes'], { SERVICE_DID: '' })).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('whose document it serves itself'),
    })
    expect(await update(['--yes'], { SERVICE_DID: 'did:plc:aaaaaaaaaaaaaaaaaaaaaaaa' })).toMatchObject({
      code: 1,
      stderr: expect.stringContaining(`${network.plc.url} knows no did:plc:aaaaaaaaaaaaaaaaaaaaaaaa`),
    })
  })
})

describe('showing', () => {
  test('says what others find, and where the settings differ', async () => {
    const file = newFile()
    const did = (await create(file)).stdout.trim()
    const rows = [
      `did            ${did}`,
      `service        ${URL_BEFORE}`,
      `signing key    ${await serviceKey(SERVICE_KEY)}`,
      `rotation keys  ${await didKeyOf(file)}`,
      '',
    ].join('\n')
    expect(await remember(await identity(['show'], { SERVICE_DID: did }))).toEqual({
      code: 0,
      stdout: rows,
      stderr: 'That is as in the settings.\n',
    })
    const moved = await identity(['show'], { SERVICE_DID: did, PUBLIC_URL: URL_AFTER })
    expect(moved.stdout).toBe(rows)
    expect(moved.stderr).toContain(`service: ${URL_AFTER}\n"aquifer identity update"`)
  })

  test('makes no key', async () => {
    const data = join(folder, 'untouched')
    const did = (await create(newFile())).stdout.trim()
    const { code } = await identity(['show'], { SERVICE_DID: did, SERVICE_KEY: '', DATA_DIR: data })
    expect(code).toBe(0)
    expect(existsSync(data)).toBe(false)
  })

  test('reads the document of a did:web from the running service', async () => {
    const service = await startTestService({ network, engine: false, environment: { SERVICE_KEY } })
    try {
      const shown = await identity(['show', '--json'], { PUBLIC_URL: service.url })
      expect(JSON.parse(shown.stdout)).toEqual({
        did: service.did,
        endpoint: service.url,
        signingKey: await serviceKey(SERVICE_KEY),
        differences: [],
      })
    } finally {
      await service[Symbol.asyncDispose]()
    }
    const gone = await identity(['show'], { PUBLIC_URL: service.url })
    expect(gone).toMatchObject({ code: 1, stderr: expect.stringContaining('while it runs') })
  })
})

describe('a service with the DID that was made', () => {
  test('is found by it, also after a move, and serves callers', async () => {
    const file = newFile()
    const did = (await create(file)).stdout.trim()
    const caller = closers.use(await createPlcCaller(network.plc))
    const resolver = new IdResolver({ plcUrl: network.plc.url, fetch: globalThis.fetch })
    for (const _ of ['first', 'moved']) {
      await using service = await startTestService({
        network,
        engine: false,
        environment: { SERVICE_DID: did, SERVICE_KEY },
      })
      const { code } = await identity(['update', '--rotation-key', file, '--yes'], {
        SERVICE_DID: did,
        PUBLIC_URL: service.url,
      })
      expect(code).toBe(0)

      const document = await resolver.did.ensureResolve(did, true)
      const entry = document.service?.find(({ id }) => id.endsWith('#atproto_backfill'))
      expect(entry?.serviceEndpoint).toBe(service.url)
      expect(await resolver.did.resolveAtprotoKey(did, true)).toBe(await serviceKey(SERVICE_KEY))

      const lxm = 'network.example.backfill.listJobs'
      for (const aud of [did, `${did}#atproto_backfill`]) {
        const headers = await caller.authorization({ aud, lxm })
        const response = await fetch(new URL(`/xrpc/${lxm}`, entry!.serviceEndpoint as string), { headers })
        expect(await response.json()).toEqual({ jobs: [] })
      }
    }
  })
})

test('no private key is ever printed', () => {
  expect(secrets.size).toBeGreaterThan(4)
  expect(outputs.join('')).not.toBe('')
  for (const secret of secrets) expect(outputs.join('')).not.toContain(secret)
})
