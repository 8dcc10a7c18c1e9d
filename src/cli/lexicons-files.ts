import { readdir, readFile } from 'node:fs/promises'
import { join, sep } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseLexiconDoc } from '@atproto/lexicon'
import { CommandError, UsageError } from './exit.js'
import type { JsonObject, Lexicon } from './lexicons-diff.js'

/**
 * The lexicons of a folder, by NSID.
 * @param folder default: those that this Aquifer speaks
 * @throws UsageError for a folder without lexicons, or with a file that is none
 */
export async function readLexicons(folder: string | undefined): Promise<Lexicon[]> {
  const root = folder ?? (await ownFolder())
  const paths = await jsonFiles(root)
  if (paths.length === 0)
    throw new UsageError(`There are no lexicons in ${root}: name their folder with --dir.`)
  const lexicons = await Promise.all(paths.map(async (path) => readLexicon(root, path)))
  return lexicons.sort((one, other) => (one.nsid < other.nsid ? -1 : 1))
}

/** Beside the sources, or beside the build. */
async function ownFolder(): Promise<string> {
  for (const path of ['../../lexicons', '../../../lexicons']) {
    const folder = fileURLToPath(new URL(path, import.meta.url))
    if ((await jsonFiles(folder).catch(() => [])).length > 0) return folder
  }
  throw new CommandError(
    'The lexicons of this Aquifer are not where they were installed: name a folder with --dir.',
  )
}

async function jsonFiles(root: string): Promise<string[]> {
  try {
    const paths = await readdir(root, { recursive: true })
    return paths.filter((path) => path.endsWith('.json'))
  } catch (error) {
    throw new UsageError(`The folder ${root} cannot be read: ${(error as Error).message}.`)
  }
}

async function readLexicon(root: string, path: string): Promise<Lexicon> {
  const file = join(root, path)
  const document = parse(file, await readFile(file, 'utf8'))
  const nsid = path.slice(0, -'.json'.length).split(sep).join('.')
  if (document.id !== nsid) {
    throw new UsageError(`${file} has the id ${JSON.stringify(document.id)}, but its path says ${nsid}.`)
  }
  return { nsid, document }
}

function parse(file: string, text: string): JsonObject {
  try {
    const document = JSON.parse(text) as JsonObject
    // The parser changes what it is given.
    parseLexiconDoc(structuredClone(document))
    return document
  } catch (error) {
    throw new UsageError(`${file} is no lexicon: ${(error as Error).message}`)
  }
}
