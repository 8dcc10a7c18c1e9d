import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { cp, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { callerDidDocument, formatPrivateKey, generateKey } from '../../src/client/index.js'
import { VERSION } from '../../src/version.js'
import { assertBuilt } from '../support/built.js'
import { createDatabase } from '../support/database.js'
import { createAccounts, putRecords, type StoredRecord } from '../support/network/accounts.js'
import { findFreePort, LoopbackServer, sendJson } from '../support/network/loopback.js'
import { type Network, startNetwork } from '../support/network/network.js'
import { SERVICE_KEY, startTestService, type TestService } from '../support/service.js'
import { eventually } from '../support/wait.js'

const run = promisify(execFile)
const ROOT = resolve(import.meta.dirname, '../..')
const TSC = join(ROOT, 'node_modules/typescript/bin/tsc')
const POST = 'com.example.post'

/** A project that has installed the package as it would be published, and nothing else. */
let project: string
let directory: string
/** The paths in the package. */
let packed: string[]

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'aquifer-package-'))
  project = join(directory, 'project')
  await mkdir(project)
  const { tarball, files } = await pack()
  packed = files
  await install(tarball)
  await cp(join(ROOT, 'examples'), project, { recursive: true })
}, 180_000)

afterAll(() => rm(directory, { recursive: true, force: true }))

describe('the packed package in an empty project', () => {
  test('has types, which hold without any other package', async () => {
    await write('check.mts', TYPE_CHECK)
    await compile('check.mts', [])
  })

  test('loads nothing but the client and what it needs', async () => {
    const { stdout } = await node(['--input-type=module', '--eval', LIST_IMPORTS])
    const loaded = JSON.parse(stdout) as string[]
    const own = loaded.filter((path) => path.startsWith('aquifer/'))
    expect(own).toContain('aquifer/dist/src/client/index.js')
    const foreign = own.filter(
      (path) => !/^aquifer\/dist\/(src\/client\/|codegen\/client\/|src\/version\.js$)/.test(path),
    )
    expect(foreign).toEqual([])
    const packages = new Set(loaded.map((path) => /^(@[^/]+\/)?[^/]+/.exec(path)![0]))
    expect(packages).toContain('@atproto/crypto')
    for (const name of NOT_FOR_CALLERS) expect(packages).not.toContain(name)
  })

  test('holds the program, the client and the lexicons, and nothing that is not for users', () => {
    const folders = new Set(packed.map((path) => path.split('/').slice(0, -1).slice(0, 2).join('/')))
    expect([...folders].sort()).toEqual(['', 'bin', 'dist/codegen', 'dist/src', 'lexicons/network'])
    expect(packed.filter((path) => !path.includes('/')).sort()).toEqual([
      'CHANGELOG.md',
      'LICENSE',
      'README.md',
      'package.json',
    ])
    expect(packed).toContain('bin/aquifer.js')
    expect(packed.filter((path) => /\.(test|bench)\.|\.ts$/.test(path) && !path.endsWith('.d.ts'))).toEqual(
      [],
    )
  })

  test('has a program that runs', async () => {
    const aquifer = join(project, 'node_modules/.bin/aquifer')
    const { stdout: help } = await run(aquifer, ['--help'], onThisNode())
    expect(help).toMatch(/^Usage: aquifer /)
    for (const command of ['run', 'jobs', 'records', 'serve', 'worker', 'migrate', 'config'])
      expect(help).toMatch(new RegExp(`^  ${command}\\b`, 'm'))
    // Every command loads what it needs by itself: this one reads the settings.
    const { stdout: settings } = await run(aquifer, ['config', '--json'], onThisNode({ PORT: '8080' }))
    expect(JSON.parse(settings)).toMatchObject({ PORT: '8080', DATABASE_URL: '(embedded)' })
    const { stdout: version } = await run(aquifer, ['--version'], onThisNode())
    expect(version.trim()).toBe(VERSION)
  })

  test('starts a service', async () => {
    const aquifer = join(project, 'node_modules/.bin/aquifer')
    await using database = await createDatabase()
    const port = await findFreePort()
    const settings = { PORT: String(port), DATABASE_URL: database.url, SERVICE_KEY, LOG_LEVEL: 'info' }
    const child = spawn(aquifer, ['serve', '--no-engine'], onThisNode(settings))
    const ended = once(child, 'exit')
    try {
      const health = () => fetch(`http://localhost:${port}/xrpc/_health`).catch(() => null)
      const answer = await eventually(health, (response) => response !== null, 90_000)
      expect(await answer!.json()).toMatchObject({ version: VERSION, database: 'ok', engine: 'elsewhere' })
    } finally {
      child.kill('SIGTERM')
    }
    expect(await ended).toEqual([0, null])
  })

  test('has the lexicons too', async () => {
    const specifier = 'aquifer/lexicons/network/example/backfill/createJob.json'
    const program = `import lexicon from '${specifier}' with { type: 'json' }; console.log(lexicon.id)`
    const { stdout } = await node(['--input-type=module', '--eval', program])
    expect(stdout.trim()).toBe('network.example.backfill.createJob')
  })
})

describe('the examples', () => {
  let network: Network
  let service: TestService
  let web: LoopbackServer
  let stored: StoredRecord[]
  let environment: Record<string, string>

  beforeAll(async () => {
    network = await startNetwork({ pdsCount: 1 })
    const accounts = await createAccounts(network.pdses[0]!, ['example-1', 'example-2'])
    stored = (
      await Promise.all(accounts.map((account) => putRecords(account, POST, [{ text: 'hello' }])))
    ).flat()
    await network.relay.crawl()
    service = await startTestService({ network })
    const key = await generateKey()
    web = await LoopbackServer.start((_url, _request, response) =>
      sendJson(response, 200, callerDidDocument({ hostname: `localhost:${web.port}`, key })),
    )
    environment = {
      AQUIFER_SERVICE: service.url,
      AQUIFER_DID: `did:web:localhost%3A${web.port}`,
      AQUIFER_KEY: await formatPrivateKey(key),
    }
  })

  afterAll(async () => {
    await service?.[Symbol.asyncDispose]()
    await web?.[Symbol.asyncDispose]()
    await network?.[Symbol.asyncDispose]()
  })

  test('client.ts has no type errors', async () => {
    await compile('client.ts', ['node'])
  })

  test('client.ts brings every record', async () => {
    const { stdout, stderr } = await node(['client.ts', POST], environment)
    const records = stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as StoredRecord)
    expect(new Map(records.map((record) => [record.uri, record]))).toEqual(
      new Map(stored.map((record) => [record.uri, record])),
    )
    expect(stderr).toMatch(/^job \w+$/m)
    expect(stderr).toMatch(/^2 of 2 repos, 2 records$/m)
    expect(stderr).toMatch(/^completed: 2 records of 2 repos$/m)
  })

  test('client.ts says what went wrong', async () => {
    const refused = await failing(node(['client.ts'], environment))
    expect(refused.stderr).toMatch(/^InvalidRequest: .*collections/m)
    const nowhere = `http://localhost:${await findFreePort()}`
    const lost = await failing(node(['client.ts', POST], { ...environment, AQUIFER_SERVICE: nowhere }))
    expect(lost).toMatchObject({ code: 1, stdout: '' })
    expect(lost.stderr).toContain(`Cannot reach Aquifer at ${nowhere}: connection refused.`)
  })

  test('curl.sh starts a job and reads its records', async () => {
    const { stdout, stderr } = await shell(['curl.sh', POST], environment)
    const { records } = JSON.parse(stdout) as { records: StoredRecord[] }
    expect(records.map(({ uri }) => uri).sort()).toEqual(stored.map(({ uri }) => uri).sort())
    expect(stderr).toMatch(/^job \w+\n(running\n)*completed\n$/)
  })

  test('curl.sh shows a refusal and fails', async () => {
    const { code, stdout, stderr } = await failing(shell(['curl.sh', 'nonsense'], environment))
    expect(code).not.toBe(0)
    expect(stdout).toBe('')
    expect(stderr).toMatch(/"error":"InvalidCollection".*nonsense/)
  })
})

/** What is in `dist` was built from these sources: that is asserted, and not done a second time. */
async function pack(): Promise<{ tarball: string; files: string[] }> {
  assertBuilt()
  const { stdout } = await npm(['pack', '--ignore-scripts', '--json', '--pack-destination', directory], ROOT)
  const [{ filename, files: list }] = JSON.parse(stdout) as [{ filename: string; files: { path: string }[] }]
  return { tarball: join(directory, filename), files: list.map(({ path }) => path) }
}

async function install(tarball: string): Promise<void> {
  await write('package.json', '{ "private": true, "type": "module" }')
  const quick = ['--prefer-offline', '--no-audit', '--no-fund', '--ignore-scripts', '--omit=optional']
  await npm(['install', ...quick, tarball], project)
}

/** The npm of this Node, whatever is on the PATH. */
function npm(parameters: string[], cwd: string) {
  // Variables of the npm that runs the tests would have this one work in the wrong place.
  const env = Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !/^npm_(package|lifecycle)/.test(name)),
  )
  return run('npm', parameters, { cwd, env })
}

function node(parameters: string[], environment: Record<string, string> = {}) {
  return run(process.execPath, parameters, { cwd: project, env: { ...process.env, ...environment } })
}

function shell(parameters: string[], environment: Record<string, string>) {
  return run('bash', parameters, onThisNode(environment))
}

/** In the project, where `node` is the one that runs the tests. */
function onThisNode(environment: Record<string, string> = {}) {
  const PATH = `${join(process.execPath, '..')}:${process.env.PATH}`
  return { cwd: project, env: { ...process.env, ...environment, PATH } }
}

/** @param types the packages of types besides those of the browser, which TypeScript brings along */
async function compile(file: string, types: string[]): Promise<void> {
  const compilerOptions = {
    noEmit: true,
    strict: true,
    module: 'nodenext',
    target: 'es2023',
    // The types of one of our libraries need those of Node.
    skipLibCheck: true,
    types,
    typeRoots: [join(ROOT, 'node_modules/@types')],
  }
  await write('tsconfig.json', JSON.stringify({ files: [file], compilerOptions }))
  await node([TSC, '-p', '.']).catch(({ stdout }: { stdout: string }) => expect(stdout).toBe(''))
}

async function failing(process: Promise<unknown>): Promise<{ code: number; stdout: string; stderr: string }> {
  return process.then(
    () => expect.fail('it should have failed'),
    (error: { code: number; stdout: string; stderr: string }) => error,
  )
}

function write(name: string, text: string): Promise<void> {
  return writeFile(join(project, name), text)
}

const NOT_FOR_CALLERS = [
  '@atproto/xrpc-server',
  '@atproto/identity',
  'commander',
  'express',
  'kysely',
  'pg',
  'pg-boss',
  'pino',
  'undici',
]

/** Prints the files in node_modules that an import of the client loads. */
const LIST_IMPORTS = `
import { registerHooks } from 'node:module'
const loaded = new Set()
registerHooks({
  load(url, context, next) {
    const path = url.split('/node_modules/').at(-1)
    if (url.includes('/node_modules/')) loaded.add(path)
    return next(url, context)
  },
})
const { BackfillClient, generateKey } = await import('aquifer/client')
new BackfillClient({ service: 'https://a.example.com', did: 'did:web:b.example.com', key: await generateKey() })
console.log(JSON.stringify([...loaded]))
`

/** Compiles only if what should be typed is, and what should be refused is refused. */
const TYPE_CHECK = `
import { BackfillClient, BackfillError, type JobView, JobNotFound, PdsSession, type RepoView } from 'aquifer/client'

export async function use(): Promise<void> {
  const session = await PdsSession.login({ identifier: 'alice.example.com', password: 'secret' })
  const client = new BackfillClient({ service: 'https://a.example.com', session })
  // @ts-expect-error neither a key nor a session
  new BackfillClient({ service: 'https://a.example.com', did: 'did:web:b.example.com' })
  const job: JobView = await client.createJob({ collections: ['com.example.post'] })
  // @ts-expect-error no such field
  await client.createJob({ collection: 'com.example.post' })
  // @ts-expect-error a number
  const total: string = job.totalRepos
  for await (const { uri, value } of client.allRecords(job.id, { repo: 'alice.example.com' })) {
    const text: unknown = value?.text
    void [uri.length, text, total]
  }
  for await (const message of client.watch(job.id, { cursor: 0 })) {
    if (message.type === 'repoFetched') void message.recordsFetched.toFixed()
    // @ts-expect-error only some messages have a view
    void message.view
  }
  const repos: RepoView[] = (await client.listJobRepos(job.id)).repos
  const error: unknown = repos
  if (error instanceof JobNotFound) void error.retryAfter?.toFixed()
  if (error instanceof BackfillError) void [error.name.length, error.status.toFixed(), error.requestId?.length]
}
`
