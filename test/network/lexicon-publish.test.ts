import { execFile } from 'node:child_process'
import dns from 'node:dns'
import { mkdir, readdir, readFile, symlink, writeFile } from 'node:fs/promises'
import { syncBuiltinESMExports } from 'node:module'
import { join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { promisify } from 'node:util'
import { AtpAgent } from '@atproto/api'
import { LexResolver } from '@atproto/lex-resolver'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Closers } from '../../src/closers.js'
import { aquifer, temporaryFolder } from '../cli/support.js'
import { createPlcCaller } from '../support/network/caller.js'
import { startDns, type TestDns } from '../support/network/dns.js'
import { type Network, startNetwork } from '../support/network/network.js'
import { startTestService, type TestService } from '../support/service.js'

/** What others make of the lexicons once they are published: found by DNS, proven, installed, called. */

const run = promisify(execFile)
const ROOT = resolve(import.meta.dirname, '../..')
const TS_LEX = join(ROOT, 'node_modules/@atproto/lex/bin/lex')
const GROUP = 'network.example.backfill'
const DNS_NAME = '_lexicon.backfill.example.network'
const PASSWORD = 'correct horse battery'

const closers = new Closers()
const folder = temporaryFolder()
let network: Network
let names: TestDns
let service: TestService
let did: string
/** Every lexicon of this service, by NSID. */
let lexicons: Map<string, unknown>

const systemServers = dns.getServers()

beforeAll(async () => {
  network = closers.use(await startNetwork({ pdsCount: 1 }))
  names = closers.use(await startDns())
  service = closers.use(await startTestService({ network, engine: false }))
  lexicons = await readLexicons(join(ROOT, 'lexicons'))
  const pds = network.pdses[0]!
  const agent = new AtpAgent({ service: pds.url })
  const handle = `lexicons${pds.handleDomain}`
  await agent.createAccount({ handle, email: 'lexicons@mail.test', password: PASSWORD })
  did = agent.assertDid
  names.records.set(DNS_NAME, [`did=${did}`])
  // An app password is all it takes.
  const { data } = await agent.com.atproto.server.createAppPassword({ name: 'lexicons' })
  const { PLC_URL, HANDLE_RESOLVER_URL } = network.environment
  const { code, stderr } = await aquifer(
    ['lexicons', 'publish', '--login', handle, '--dns', names.address, '--yes'],
    {
      env: { PLC_URL: PLC_URL!, HANDLE_RESOLVER_URL: HANDLE_RESOLVER_URL!, AQUIFER_PASSWORD: data.password },
    },
  )
  expect({ code, stderr }).toEqual({ code: 0, stderr: `${lexicons.size} lexicons published.\n` })
  // The resolver asks the servers of the process.
  dns.setServers([names.address])
  syncBuiltinESMExports()
})

afterAll(async () => {
  dns.setServers(systemServers)
  syncBuiltinESMExports()
  await closers.close()
})

async function readLexicons(root: string): Promise<Map<string, unknown>> {
  const paths = (await readdir(root, { recursive: true })).filter((path) => path.endsWith('.json'))
  const documents = await Promise.all(
    paths.map(async (path) => JSON.parse(await readFile(join(root, path), 'utf8')) as { id: string }),
  )
  return new Map(documents.map((document) => [document.id, document]))
}

test('each of them is resolved by way of DNS, with its proof', async () => {
  const resolver = new LexResolver({ plcDirectoryUrl: network.plc.url, fetch: globalThis.fetch })
  for (const [nsid, document] of lexicons) {
    const { uri, lexicon } = await resolver.get(nsid)
    expect(String(uri)).toBe(`at://${did}/com.atproto.lexicon.schema/${nsid}`)
    expect(lexicon).toEqual({ $type: 'com.atproto.lexicon.schema', ...(document as object) })
  }
  expect(lexicons.size).toBeGreaterThan(20)
})

describe('an empty project', { timeout: 120_000 }, () => {
  let project: string

  beforeAll(async () => {
    project = join(folder, 'project')
    await mkdir(project)
    await symlink(join(ROOT, 'node_modules'), join(project, 'node_modules'))
    await write('package.json', '{ "type": "module", "private": true }')
    await write('offline.mjs', OFFLINE)
  })

  const write = (name: string, text: string) => writeFile(join(project, name), text)
  const node = (...args: string[]) =>
    run(process.execPath, args, {
      cwd: project,
      env: {
        PATH: process.env.PATH,
        DNS_SERVER: names.address,
        PLC_URL: network.plc.url,
        NODE_OPTIONS: `--import ${pathToFileURL(join(project, 'offline.mjs'))}`,
      },
    })

  test('installs them by their names, builds a client, and calls the service with it', async () => {
    await node(TS_LEX, 'install', `${GROUP}.authBackfill`, `${GROUP}.describeService`)
    const installed = await readLexicons(join(project, 'lexicons'))
    // What they refer to comes with them: the permission set names every method that is not for admins.
    const admins = ['putCaller', 'deleteCaller', 'listCallers'].map((name) => `${GROUP}.${name}`)
    expect([...installed.keys()].sort()).toEqual(
      [...lexicons.keys()].filter((id) => !admins.includes(id)).sort(),
    )
    for (const [nsid, document] of installed) expect(document).toMatchObject(lexicons.get(nsid) as object)

    await node(TS_LEX, 'build', '--lexicons', 'lexicons', '--out', 'lexicons-ts', '--index-file')
    await write('main.ts', PROGRAM)
    const caller = closers.use(await createPlcCaller(network.plc))
    const token = async (method: string) =>
      (await caller.authorization({ aud: service.did, lxm: `${GROUP}.${method}` })).authorization
    const { stdout } = await node(
      '--import',
      pathToFileURL(join(ROOT, 'node_modules/tsx/dist/loader.mjs')).href,
      'main.ts',
      service.url,
      await token('createJob'),
      await token('listJobs'),
    )
    expect(JSON.parse(stdout)).toMatchObject({
      did: service.did,
      created: { caller: caller.did, status: 'running', name: 'from an empty project' },
      jobs: [{ name: 'from an empty project' }],
    })
  })
})

/** The tool has no options for these: DNS is asked of the test's server, and the directory is the test's. */
const OFFLINE = `
import dns from 'node:dns'
import { syncBuiltinESMExports } from 'node:module'

dns.setServers([process.env.DNS_SERVER])
syncBuiltinESMExports()
const { fetch } = globalThis
globalThis.fetch = (input, init) => {
  const url = new URL(input instanceof Request ? input.url : input)
  if (url.host !== 'plc.directory') return fetch(input, init)
  const local = new URL(url.pathname, process.env.PLC_URL)
  return fetch(input instanceof Request ? new Request(local, input) : local, init)
}
`

const PROGRAM = `
import { Client } from '@atproto/lex'
import * as lexicons from './lexicons-ts/index.js'

const { createJob, describeService, listJobs } = lexicons.network.example.backfill
const [service, mayCreate, mayList] = process.argv.slice(2)
const client = new Client({ service: service! })
const { did } = await client.call(describeService)
const input = { repos: ['did:plc:aaaaaaaaaaaaaaaaaaaaaaaa'], name: 'from an empty project' }
const created = await client.call(createJob, input, { headers: { authorization: mayCreate! } })
const { jobs } = await client.call(listJobs, {}, { headers: { authorization: mayList! } })
console.log(JSON.stringify({ did, created, jobs }))
`
