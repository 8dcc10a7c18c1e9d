import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { LEXICON_DOCS, renderLexicons } from './lexicon-docs.js'
import { checkLexicons } from './lexicons/check.js'
import { findDrift } from './lexicons/drift.js'
import { expectedTypes, generate } from './lexicons/generate.js'
import { formatProblems, type Problem } from './lexicons/problem.js'
import { readTree } from './lexicons/tree.js'

/**
 * Generates `codegen/` and `docs/lexicons.md` from `lexicons/`, after checking these.
 * `--check` writes nothing and fails if what is there differs; `--root` works on another folder than the project.
 */
const { values: options } = parseArgs({
  options: {
    check: { type: 'boolean', default: false },
    root: { type: 'string', default: fileURLToPath(new URL('..', import.meta.url)) },
  },
})

const lexicons = join(options.root, 'lexicons')
const codegen = join(options.root, 'codegen')

const documents = await readDocuments()
if (documents.size === 0) stop(`There are no documents in ${lexicons}`)
report(checkLexicons(documents))

const generated = options.check ? await generateApart() : await generateInPlace()
const missing = expectedTypes([...documents.keys()].map(nsidOf)).filter((path) => !generated.has(path))
if (missing.length > 0) stop(`lex-cli has left out:\n${missing.map((path) => `  ${path}`).join('\n')}`)

const actual = await readTree(codegen)
report([...findDrift(actual, generated), ...(await docsProblems())])
console.log(
  `${documents.size} lexicons, ${actual.size} generated files: ${options.check ? 'up to date' : 'written'}`,
)

async function readDocuments(): Promise<Map<string, string>> {
  const files = [...(await readTree(lexicons))].filter(([path]) => path.endsWith('.json'))
  return new Map(files.map(([path, bytes]) => [path, bytes.toString('utf8')]))
}

/** The page for people: written, or compared. */
async function docsProblems(): Promise<Problem[]> {
  const page = renderLexicons(Array.from(documents.values(), (text) => JSON.parse(text)))
  const path = join(options.root, LEXICON_DOCS)
  if (!options.check) {
    await mkdir(dirname(path), { recursive: true })
    await writeFile(path, page)
    return []
  }
  const there = await readFile(path, 'utf8').catch(() => null)
  if (there === page) return []
  const [rule, message] =
    there === null
      ? ['missing', 'run npm run codegen']
      : ['stale', 'not what lexicons/ says: run npm run codegen']
  return [{ file: LEXICON_DOCS, at: '', rule, message }]
}

async function generateInPlace(): Promise<Map<string, Buffer>> {
  await generate(lexicons, codegen)
  const files = await readTree(codegen)
  return new Map([...files].filter(([path]) => /^(server|client)\/.*\.ts$/.test(path)))
}

async function generateApart(): Promise<Map<string, Buffer>> {
  const directory = await mkdtemp(join(tmpdir(), 'aquifer-codegen-'))
  try {
    await generate(lexicons, directory)
    return await readTree(directory)
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
}

function nsidOf(path: string): string {
  return path.slice(0, -'.json'.length).split('/').join('.')
}

/** Ends the process if there is anything to report. */
function report(problems: readonly Problem[]): void {
  if (problems.length === 0) return
  stop(`${formatProblems(problems)}\n${problems.length === 1 ? '1 problem' : `${problems.length} problems`}`)
}

function stop(message: string): never {
  console.error(message)
  process.exit(1)
}
