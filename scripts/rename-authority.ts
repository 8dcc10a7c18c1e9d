import { spawn } from 'node:child_process'
import { mkdir, readdir, readFile, rename, rmdir, stat, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { readTree } from './lexicons/tree.js'
import { assertAuthority, authorityOf, folderOf, mentions, renameIn } from './rename/names.js'

/**
 * Puts the lexicons under another authority, with everything that names them, and generates `codegen/` anew:
 * `npm run rename-authority -- com.acme`. `--root` works on another folder than the project.
 */
const PROJECT = fileURLToPath(new URL('..', import.meta.url))

/** What is written by hand, and by us. */
const PLACES = ['bench', 'demo', 'docs', 'examples', 'lexicons', 'scripts', 'src', 'test']

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: { root: { type: 'string', default: PROJECT } },
})
const { root } = options
const [to, ...others] = positionals
if (to === undefined || others.length > 0) stop('Name one authority: npm run rename-authority -- com.acme')

try {
  await renameAuthority(to)
} catch (error) {
  stop(error instanceof Error ? error.message : String(error))
}

async function renameAuthority(to: string): Promise<void> {
  assertAuthority(to)
  const files = await readSources()
  const from = authorityOf(await lexiconIds())
  if (from === to) throw new Error(`${to} is the authority already`)
  // Otherwise the way back would take these along.
  const taken = [...files].filter(([, text]) => mentions(text, to)).map(([path]) => path)
  if (taken.length > 0)
    throw new Error(`these name ${to} already:\n${taken.map((path) => `  ${path}`).join('\n')}`)

  const changed = [...files].map(([path, text]) => ({ path, text, renamed: renameIn(text, from, to) }))
  const written = changed.filter(({ text, renamed }) => text !== renamed)
  for (const { path, renamed } of written) await writeFile(join(root, path), renamed)
  await moveFolder(`lexicons/${folderOf(from)}`, `lexicons/${folderOf(to)}`)
  await run(['--import', 'tsx', join(PROJECT, 'scripts/codegen.ts'), '--root', root])
  await removeEmptyFolders(join(root, 'codegen'))
  // Another length breaks lines elsewhere, and another letter sorts imports elsewhere.
  const code = written.map(({ path }) => path).filter((path) => /\.(ts|mts|js|mjs)$/.test(path))
  await run([join(PROJECT, 'node_modules/@biomejs/biome/bin/biome'), 'check', '--write', ...code])
  console.log(`${from} is now ${to}: ${written.length} files. Check it with "npm run check".`)
}

/** The files in which a name may stand, by path below the root. */
async function readSources(): Promise<Map<string, string>> {
  const own = (await readdir(root, { withFileTypes: true })).filter((entry) => entry.isFile())
  const paths = own.map(({ name }) => name).filter((name) => /\.(md|json|ts|yaml|yml)$|^\.env/.test(name))
  const trees = await Promise.all(
    PLACES.map(async (place) => [place, await readTree(join(root, place))] as const),
  )
  const below = trees.flatMap(([place, tree]) =>
    [...tree].map(([path, bytes]) => [`${place}/${path}`, bytes] as const),
  )
  const tree = await readTopLevel(paths.filter((path) => path !== 'package-lock.json'))
  const files = [...tree, ...below].filter(([, bytes]) => !bytes.includes(0))
  return new Map(files.map(([path, bytes]) => [path, bytes.toString('utf8')]))
}

async function readTopLevel(names: readonly string[]): Promise<(readonly [string, Buffer])[]> {
  return Promise.all(names.map(async (name) => [name, await readFile(join(root, name))] as const))
}

async function lexiconIds(): Promise<string[]> {
  const files = [...(await readTree(join(root, 'lexicons')))].filter(([path]) => path.endsWith('.json'))
  return files.map(([path]) => path.slice(0, -'.json'.length).split('/').join('.'))
}

async function moveFolder(from: string, to: string): Promise<void> {
  await mkdir(join(root, dirname(to)), { recursive: true })
  if (await stat(join(root, to)).catch(() => null)) throw new Error(`${to} is there already`)
  await rename(join(root, from), join(root, to))
  await removeEmptyFolders(join(root, 'lexicons'))
}

async function removeEmptyFolders(folder: string): Promise<void> {
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    if (entry.isDirectory()) await removeEmptyFolders(join(folder, entry.name))
  }
  if ((await readdir(folder)).length === 0) await rmdir(folder)
}

async function run(args: readonly string[]): Promise<void> {
  const child = spawn(process.execPath, args, { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] })
  const said: string[] = []
  child.stdout.setEncoding('utf8').on('data', (text: string) => said.push(text))
  child.stderr.setEncoding('utf8').on('data', (text: string) => said.push(text))
  const code = await new Promise<number | null>((resolve, reject) => {
    child.on('error', reject).on('close', resolve)
  })
  if (code !== 0) throw new Error(`${args.find((arg) => !arg.startsWith('-'))} failed:\n${said.join('')}`)
}

function stop(message: string): never {
  console.error(message)
  process.exit(1)
}
