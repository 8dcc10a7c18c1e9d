import { execFile } from 'node:child_process'
import { appendFile, cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { readTree } from '../../scripts/lexicons/tree.js'

const PROJECT = fileURLToPath(new URL('../..', import.meta.url))

/** Two runs of the generator, on a machine that has other work. */
const SLOW_MS = 300_000

/** Enough to generate from, and quick: they refer to no other. All of them are checked by "npm run codegen:check". */
const FEW = ['/deleteCaller.json', '/deleteJobDetails.json']

let directory: string
/** A project of a few documents, as the generator leaves it. */
let generated: string
/** A copy of it for one test. */
let root: string

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'aquifer-codegen-test-'))
  generated = join(directory, 'generated')
  for (const path of (await readTree(join(PROJECT, 'lexicons'))).keys())
    if (FEW.some((end) => path.endsWith(end)))
      await cp(join(PROJECT, 'lexicons', path), join(generated, 'lexicons', path))
  expect(await codegenOf(generated)).toMatchObject({ code: 0 })
}, SLOW_MS)

afterAll(() => rm(directory, { recursive: true, force: true }))

beforeEach(async () => {
  root = await mkdtemp(join(directory, 'copy-'))
  await cp(generated, root, { recursive: true })
})

/** Runs the script on the copy of the project. */
const codegen = (...args: string[]) => codegenOf(root, ...args)

async function codegenOf(folder: string, ...args: string[]): Promise<{ code: number; output: string }> {
  const command = ['--import', 'tsx', join(PROJECT, 'scripts/codegen.ts'), '--root', folder, ...args]
  return new Promise((resolve) => {
    execFile(process.execPath, command, { cwd: PROJECT }, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : Number(error.code), output: stdout + stderr })
    })
  })
}

/** The path of a document that the copy has, by the end of its name. */
async function find(folder: string, end: string): Promise<string> {
  const paths = [...(await readTree(join(root, folder))).keys()].filter((path) => path.endsWith(end))
  expect(paths, end).toHaveLength(1)
  return `${folder}/${paths[0]}`
}

async function replace(path: string, from: string, to: string): Promise<void> {
  const text = await readFile(join(root, path), 'utf8')
  expect(text).toContain(from)
  await writeFile(join(root, path), text.replace(from, to))
}

describe('codegen', { timeout: SLOW_MS }, () => {
  it('finds a changed, a missing and an extra file and what a document has changed, and makes it anew', async () => {
    const changed = await find('codegen', 'server/index.ts')
    const missing = await find('codegen', 'client/util.ts')
    const document = await find('lexicons', '/deleteJobDetails.json')
    const types = `types/${document.slice('lexicons/'.length, -'.json'.length)}.ts`
    const extra = ['codegen/server/helper.ts', 'codegen/README.md']
    await appendFile(join(root, changed), ' ')
    await rm(join(root, missing))
    await replace(document, '"JobNotFound"', '"NoSuchJob"')
    await writeFile(join(root, extra[0]!), 'export {}\n')
    await writeFile(join(root, extra[1]!), 'By hand.\n')
    const before = await readTree(root)

    const { code, output } = await codegen('--check')
    expect(code).toBe(1)
    expect(
      [...output.matchAll(/^(\S+)\n {2}\[(\w+)\]/gm)].map(([, file, rule]) => `${file} ${rule}`).sort(),
    ).toEqual(
      [
        ...extra.map((file) => `${file} extra`),
        `${missing} missing`,
        `${changed} stale`,
        ...['client', 'server'].flatMap((side) => [
          `codegen/${side}/lexicons.ts stale`,
          `codegen/${side}/${types} stale`,
        ]),
        'docs/lexicons.md stale',
      ].sort(),
    )
    expect(output).toContain('9 problems')
    expect(await readTree(root)).toEqual(before)

    for (const file of extra) await rm(join(root, file))
    const written = await codegen()
    expect(written).toMatchObject({ code: 0, output: expect.stringContaining('generated files: written') })
    expect(await readFile(join(root, 'codegen/client', types), 'utf8')).toContain('class NoSuchJobError')
    expect(await readFile(join(root, 'docs/lexicons.md'), 'utf8')).toContain('| `NoSuchJob` |')
    const checked = await codegen('--check')
    expect(checked.output).toMatch(/^2 lexicons, \d+ generated files: up to date$/m)
    expect(checked.code).toBe(0)
  })

  it('lists everything that is wrong with the documents, and generates nothing', async () => {
    await cp(join(PROJECT, 'lexicons'), join(root, 'lexicons'), { recursive: true })
    const invalid = await find('lexicons', '/getJobStatus.json')
    const broken = await find('lexicons', '/listJobs.json')
    const renamed = await find('lexicons', '/createJob.json')
    const dangling = await find('lexicons', '/listRecords.json')
    await replace(invalid, '"query"', '"qery"')
    await replace(broken, '"lexicon": 1,', '"lexicon": 1')
    await replace(renamed, '.createJob"', '.makeJob"')
    await replace(dangling, 'defs#recordView', 'defs#recordsView')
    const before = await readTree(join(root, 'codegen'))

    for (const args of [['--check'], []]) {
      const { code, output } = await codegen(...args)
      expect(code).toBe(1)
      expect(output).toContain(`${invalid}\n  [invalid-lexicon] defs.main: Invalid type: qery`)
      expect(output).toContain(`${broken}\n  [invalid-json]`)
      expect(output).toContain(`${renamed}\n  [id-is-not-path]`)
      expect(output).toMatch(/\[unresolved-ref\] defs\.main\.output\..*recordsView/)
    }
    expect(await readTree(join(root, 'codegen'))).toEqual(before)
  })

  it('refuses a folder without documents', async () => {
    await rm(join(root, 'lexicons'), { recursive: true })
    expect(await codegen('--check')).toMatchObject({
      code: 1,
      output: expect.stringContaining('no documents'),
    })
  })
})
