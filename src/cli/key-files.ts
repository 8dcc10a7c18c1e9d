import { open, stat } from 'node:fs/promises'
import { formatPrivateKey, generateKey, type PrivateKey, parsePrivateKey } from '../client/index.js'
import { readKey } from './credentials.js'
import { CommandError, UsageError } from './exit.js'

/** Private keys in files. No key is ever part of a message. */

/** A key that was given, or one that has yet to be written. */
export interface GivenKey {
  readonly key: PrivateKey
  /** Where it is new and belongs; null for one that was there. */
  readonly newFile: string | null
}

/**
 * The key that an option or variable gives: as text, as `@file` or as a file's path.
 * @throws CommandError for a file that others can read; UsageError for what is no key
 */
export async function readPrivateKey(given: string): Promise<PrivateKey> {
  const path = await pathIn(given)
  if (path === null) return parsePrivateKey(given)
  await assertPrivate(path)
  return readKey(`@${path}`)
}

/** The same, but a key is made for a file that is not there. It is written with `writeNewKey`. */
export async function readOrMakeKey(given: string): Promise<GivenKey> {
  const path = await pathIn(given)
  if (path !== null && !(await exists(path))) return { key: await generateKey(), newFile: path }
  return { key: await readPrivateKey(given), newFile: null }
}

/** @throws CommandError when it cannot be written */
export async function writeNewKey({ key, newFile }: GivenKey): Promise<void> {
  if (newFile !== null) await writeKeyFile(newFile, await formatPrivateKey(key))
}

/** Only for its owner, and never in the place of another key: that one may be in use. */
export async function writeKeyFile(path: string, privateKey: string): Promise<void> {
  try {
    const file = await open(path, 'wx', 0o600)
    try {
      await file.writeFile(`${privateKey}\n`)
      await file.sync()
    } finally {
      await file.close()
    }
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    const reason = code === 'EEXIST' ? 'it is there already. Name another file, or remove it first' : message
    throw new CommandError(`Cannot write the key to ${path}: ${reason}.`, { cause: error })
  }
}

/** What somebody means as a key, and not as a file's name. */
const LIKE_A_KEY = /^(z[1-9A-HJ-NP-Za-km-z]{40,}|(0x)?[0-9a-f]{64})$/i

/** How the name of a file looks that need not be there: a key has neither. */
const LIKE_A_PATH = /[./\\]/

/**
 * The file that is meant, unless the text is a key itself.
 * @throws UsageError for what may be a key with a mistake in it, which is not repeated
 */
async function pathIn(given: string): Promise<string | null> {
  const text = given.trim()
  if (text.startsWith('@')) return text.slice(1)
  try {
    parsePrivateKey(text)
    return null
  } catch {
    if (!LIKE_A_KEY.test(text) && (LIKE_A_PATH.test(text) || (await exists(text)))) return text
    throw new UsageError(
      'What was given is neither a private key (K-256 or P-256, in multibase) nor the name of a file. ' +
        'Copy the key again, or write the file as ./NAME.',
    )
  }
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    (error: NodeJS.ErrnoException) => error.code !== 'ENOENT',
  )
}

async function assertPrivate(path: string): Promise<void> {
  const found = await stat(path).catch(() => null)
  // Windows has no such modes.
  if (found === null || process.platform === 'win32' || (found.mode & 0o077) === 0) return
  throw new CommandError(
    `Others than its owner can use the key file ${path}: "chmod 600 ${path}" keeps them out.`,
  )
}
