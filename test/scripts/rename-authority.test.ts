import { execFile } from 'node:child_process'
import { cp, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { readTree } from '../../scripts/lexicons/tree.js'
import { assertAuthority, authorityOf, folderOf, mentions, renameIn } from '../../scripts/rename/names.js'

const PROJECT = fileURLToPath(new URL('../..', import.meta.url))

/** The whole project is compiled, on a machine that has other work. */
const SLOW_MS = 900_000

/** Not written by hand, or not ours. */
const LEFT_OUT = ['.git', '.aquifer', '.ci', 'coverage', 'dist', 'dist-bench', 'node_modules']

describe('a name in a text', () => {
  // Put together here: this file keeps its names when the authority is another.
  const [old, next] = ['org.test', 'dev.long-name.test']
  const group = (authority: string) => [...authority.split('.'), 'backfill']
  const renamed = (text: string) => renameIn(text, old, next)

  test.each([
    ['an NSID', `"${group(old).join('.')}.createJob"`, `"${group(next).join('.')}.createJob"`],
    ['a reference', `${group(old).join('.')}.defs#jobView`, `${group(next).join('.')}.defs#jobView`],
    [
      'a path',
      `codegen/types/${group(old).join('/')}/defs.js`,
      `codegen/types/${group(next).join('/')}/defs.js`,
    ],
    ['an expression', `/^${group(old).join('\\.')}/`, `/^${group(next).join('\\.')}/`],
    ['a property', `client.${group(old).join('.')}.getJob()`, 'client.dev.longName.test.backfill.getJob()'],
    ['a type', "Client['org']['test']['backfill']", "Client['dev']['longName']['test']['backfill']"],
    ['a token', 'ids.OrgTestBackfillCreateJob', 'ids.DevLongNameTestBackfillCreateJob'],
    ['a DNS name', '_lexicon.backfill.test.org', '_lexicon.backfill.test.long-name.dev'],
  ])('is found as %s', (_, before, after) => {
    expect(renamed(before)).toBe(after)
    expect(mentions(before, old)).toBe(true)
    expect(renameIn(after, next, old)).toBe(before)
  })

  test.each([
    'com.org.test.backfillers',
    'org.test.statusphere',
    'not-org.test.backfill-er',
    'https://test.org',
  ])('%s is another', (text) => {
    expect(renamed(text)).toBe(text)
    expect(mentions(text, old)).toBe(false)
  })
})

test.each(['acme', 'com.acme.', 'https://acme.com', ''])('%j is no authority', (wrong) => {
  expect(() => assertAuthority(wrong)).toThrow('is not an authority')
})

describe('npm run rename-authority', { timeout: SLOW_MS }, () => {
  let root: string
  let authority: string

  beforeAll(async () => {
    root = await mkdtemp(join(tmpdir(), 'aquifer-rename-'))
    for (const name of await readdir(PROJECT)) {
      if (LEFT_OUT.includes(name)) continue
      await cp(join(PROJECT, name), join(root, name), {
        recursive: true,
        filter: (path) => basename(path) !== 'node_modules',
      })
    }
    await symlink(join(PROJECT, 'node_modules'), join(root, 'node_modules'))
    const paths = [...(await readTree(join(root, 'lexicons'))).keys()].filter((path) =>
      path.endsWith('.json'),
    )
    authority = authorityOf(paths.map((path) => path.slice(0, -'.json'.length).replaceAll('/', '.')))
  })
  afterAll(() => rm(root, { recursive: true, force: true }))

  const node = (...args: string[]): Promise<{ code: number; output: string }> =>
    new Promise((resolve) => {
      const env = { PATH: process.env.PATH, HOME: process.env.HOME }
      execFile(process.execPath, args, { cwd: root, env }, (error, stdout, stderr) => {
        resolve({ code: error === null ? 0 : Number(error.code), output: stdout + stderr })
      })
    })
  const installed = (path: string) => join(PROJECT, 'node_modules', path)
  const rename = (to: string) =>
    node('--import', 'tsx', join(PROJECT, 'scripts/rename-authority.ts'), '--root', root, to)

  async function snapshot(): Promise<Map<string, string>> {
    const names = (await readdir(root, { withFileTypes: true })).filter(
      (entry) => entry.name !== 'node_modules',
    )
    const files = new Map<string, string>()
    for (const entry of names) {
      const path = join(root, entry.name)
      if (!entry.isDirectory()) files.set(entry.name, await readFile(path, 'utf8'))
      else
        for (const [below, bytes] of await readTree(path))
          files.set(`${entry.name}/${below}`, bytes.toString('latin1'))
    }
    return files
  }

  test('refuses what it could not take back, and what is no authority, and changes nothing', async () => {
    const before = await snapshot()
    expect(await rename(authority)).toMatchObject({
      code: 1,
      output: expect.stringContaining('is the authority already'),
    })
    expect(await rename('https://acme.com')).toMatchObject({
      code: 1,
      output: expect.stringContaining('is not an authority'),
    })
    expect(await snapshot()).toEqual(before)

    await writeFile(
      join(root, 'docs/taken.md'),
      `See ${['com', 'taken', 'backfill', 'createJob'].join('.')}.\n`,
    )
    const { code, output } = await rename('com.taken')
    expect({ code, output }).toMatchObject({ code: 1, output: expect.stringContaining('  docs/taken.md') })
    await rm(join(root, 'docs/taken.md'))
    expect(await snapshot()).toEqual(before)
  })

  test('leaves a tree that passes its checks and answers under the new name, and the way back no trace', async () => {
    const before = await snapshot()
    const to = ['com', 'acme-data'].join('.')
    const { code, output } = await rename(to)
    expect({ code, output }).toMatchObject({
      code: 0,
      output: expect.stringContaining(`${authority} is now ${to}`),
    })

    const after = await snapshot()
    const left = [...after].filter(([, text]) => mentions(text, authority)).map(([path]) => path)
    expect(left).toEqual([])
    expect(after.has(`lexicons/${folderOf(to)}/createJob.json`)).toBe(true)
    expect([...after.keys()].filter((path) => path.includes(`/${folderOf(authority)}/`))).toEqual([])

    // What is generated was compared by the generator itself, which failed the renaming otherwise.
    const checks = {
      types: node(installed('typescript/bin/tsc'), '-p', '.'),
      lint: node(installed('@biomejs/biome/bin/biome'), 'check', '.'),
      api: node(installed('vitest/vitest.mjs'), 'run', 'test/api/contract.test.ts'),
    }
    await Promise.all(Object.values(checks))
    for (const [name, check] of Object.entries(checks)) {
      const { code, output } = await check
      expect({ name, code, output: code === 0 ? '' : output }).toEqual({ name, code: 0, output: '' })
    }

    expect((await rename(authority)).code).toBe(0)
    const back = await snapshot()
    const differing = [...new Set([...before.keys(), ...back.keys()])].filter(
      (path) => before.get(path) !== back.get(path),
    )
    expect(differing).toEqual([])
  })
})
