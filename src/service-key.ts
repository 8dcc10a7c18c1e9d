import { randomBytes, randomUUID } from 'node:crypto'
import { link, mkdir, open, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { Secp256k1Keypair } from '@atproto/crypto'
import type { Config } from './config.js'
import { SetupError } from './errors.js'

/**
 * The service's own key, which signs manifests. Its public part is in the DID document; the private one leaves this
 * object in no form, so that it cannot get into a log.
 */
export interface ServiceKey {
  /** The public part, as a did:key. */
  readonly did: string
  /** An ECDSA signature (K-256) of the bytes' SHA-256, in compact low-S form. */
  sign(bytes: Uint8Array): Promise<Uint8Array>
}

/** In the data directory, where the settings give no key. */
const SERVICE_KEY_FILE = 'service.key'

/**
 * The key that the settings give, else the one in the data directory, which is made at the first start. Of processes
 * that start together one makes it, and all get that one.
 * @throws SetupError when there is none to be had
 */
export async function openServiceKey(config: Config): Promise<ServiceKey> {
  const key = await findServiceKey(config)
  if (key !== null) return key
  const path = serviceKeyFile(config)
  return troubled(path, async () => keyOf(await make(config.database.dataDirectory, path), path))
}

/**
 * The same, but none is made.
 * @throws SetupError for one that is no key, or cannot be read
 */
export async function findServiceKey(config: Config): Promise<ServiceKey | null> {
  if (config.identity.key !== null) return keyOf(config.identity.key, 'SERVICE_KEY')
  const path = serviceKeyFile(config)
  return troubled(path, async () => {
    const hex = await read(path)
    return hex === null ? null : keyOf(hex, path)
  })
}

/** Where the service's key is kept when the settings give none. */
export function serviceKeyFile({ database }: Config): string {
  return join(database.dataDirectory, SERVICE_KEY_FILE)
}

async function troubled<T>(path: string, use: () => Promise<T>): Promise<T> {
  try {
    return await use()
  } catch (error) {
    if (error instanceof SetupError) throw error
    throw new SetupError(
      `The service's key cannot be kept in ${path}: ${(error as Error).message}. Set SERVICE_KEY, or another DATA_DIR.`,
      { cause: error },
    )
  }
}

async function keyOf(hex: string, where: string): Promise<ServiceKey> {
  const pair = await importKey(hex)
  if (pair === null) {
    throw new SetupError(`${where} holds no private key of K-256 (64 hexadecimal digits): put it back there.`)
  }
  return { did: pair.did(), sign: (bytes) => pair.sign(bytes) }
}

async function importKey(hex: string): Promise<Secp256k1Keypair | null> {
  if (!/^[0-9a-f]{64}$/.test(hex)) return null
  try {
    return await Secp256k1Keypair.import(hex)
  } catch {
    // Zero, or beyond the order of the curve. The library's error holds the number itself.
    return null
  }
}

async function read(path: string): Promise<string | null> {
  try {
    return (await readFile(path, 'utf8')).trim()
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
    throw error
  }
}

/** Gets its name only when it is whole, and only if there is none of that name: so nobody reads half a key. */
async function make(directory: string, path: string): Promise<string> {
  await mkdir(directory, { recursive: true })
  const draft = `${path}.${randomUUID()}`
  try {
    await write(draft, await newKey())
    await link(draft, path)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
  } finally {
    await rm(draft, { force: true })
  }
  // Ours, or that of whoever was quicker.
  return (await readFile(path, 'utf8')).trim()
}

async function newKey(): Promise<string> {
  const hex = randomBytes(32).toString('hex')
  return (await importKey(hex)) === null ? newKey() : hex
}

async function write(path: string, text: string): Promise<void> {
  const file = await open(path, 'wx', 0o600)
  try {
    await file.writeFile(`${text}\n`)
    await file.sync()
  } finally {
    await file.close()
  }
}
