import { execFile } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { inspect, promisify } from 'node:util'
import { verifySignature } from '@atproto/crypto'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { readConfig } from '../../src/config.js'
import { SetupError } from '../../src/errors.js'
import { openServiceKey } from '../../src/service-key.js'

const HEX = '5e'.repeat(32)

let directory: string

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'aquifer-key-'))
})

afterEach(() => rmSync(directory, { recursive: true, force: true }))

const open = (env: Record<string, string> = {}) =>
  openServiceKey(readConfig({ DATA_DIR: join(directory, 'data'), ...env }))
const file = () => join(directory, 'data', 'service.key')

describe("the service's key", () => {
  it('signs, and shows its private part to nobody', async () => {
    const key = await open({ SERVICE_KEY: HEX.toUpperCase() })
    const bytes = Buffer.from('what is signed')
    const signature = await key.sign(bytes)
    expect(await verifySignature(key.did, bytes, signature)).toBe(true)
    expect(inspect(key, { depth: 9, showHidden: true }) + JSON.stringify(key)).not.toContain('5e5e')
    expect(inspect(key, { depth: 9, showHidden: true })).not.toContain('94, 94')
  })

  it('is that of the settings, and then no file is made', async () => {
    const key = await open({ SERVICE_KEY: HEX })
    expect(key.did).toBe((await open({ SERVICE_KEY: HEX })).did)
    expect(readdirSync(directory)).toEqual([])
  })

  it('is made at the first start, for its owner only, and stays', async () => {
    const key = await open()
    expect(statSync(file()).mode & 0o777).toBe(0o600)
    expect(readdirSync(join(directory, 'data'))).toEqual(['service.key'])
    expect((await open()).did).toBe(key.did)
    // It can be moved to the settings as it stands there.
    expect((await open({ SERVICE_KEY: readFileSync(file(), 'utf8') })).did).toBe(key.did)
  })

  it('is one and the same for processes that start together', async () => {
    const program = `
      const { openServiceKey } = await import(process.argv[1])
      const { readConfig } = await import(process.argv[2])
      const keys = await Promise.all(Array.from({ length: 20 }, () => openServiceKey(readConfig(process.env))))
      console.log(keys.map(({ did }) => did).join('\\n'))`
    const modules = ['service-key', 'config'].map(
      (name) => new URL(`../../src/${name}.ts`, import.meta.url).href,
    )
    const args = ['--import', 'tsx', '--input-type=module', '--eval', program, ...modules]
    const env = { PATH: process.env.PATH, DATA_DIR: join(directory, 'data') }
    const ends = await Promise.all(
      Array.from({ length: 3 }, () => promisify(execFile)(process.execPath, args, { env })),
    )
    const dids = ends.flatMap(({ stdout }) => stdout.trim().split('\n'))
    expect(dids).toHaveLength(60)
    expect(new Set(dids)).toEqual(new Set([(await open()).did]))
    expect(readdirSync(join(directory, 'data'))).toEqual(['service.key'])
  }, 60_000)

  it.each(['', 'secret', '00'.repeat(32), 'ff'.repeat(32), `${HEX}5e`])(
    'is not made anew in the place of a file that holds none: %j',
    async (text) => {
      await open()
      writeFileSync(file(), text)
      const error = await open().catch((thrown: unknown) => thrown)
      expect(error).toBeInstanceOf(SetupError)
      expect((error as Error).message).toContain(`${file()} holds no private key`)
      if (text !== '') expect(inspect(error)).not.toContain(text)
      expect(readFileSync(file(), 'utf8')).toBe(text)
    },
  )

  it.each(['00'.repeat(32), 'ff'.repeat(32)])(
    'is refused where no key can be that number: %s',
    async (hex) => {
      await expect(open({ SERVICE_KEY: hex })).rejects.toThrow('SERVICE_KEY holds no private key of K-256')
    },
  )

  it('that cannot be kept is told with a way out', async () => {
    writeFileSync(join(directory, 'data'), 'in the way')
    await expect(open()).rejects.toThrow(
      /cannot be kept in .*service\.key: .*Set SERVICE_KEY, or another DATA_DIR/,
    )
  })
})
