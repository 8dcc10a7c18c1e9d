import { mkdir, readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { AtpAgent } from '@atproto/api'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { Closers } from '../../src/closers.js'
import { type SignIn, TestBrowser } from '../support/network/browser.js'
import { startDns, type TestDns } from '../support/network/dns.js'
import { type HandleResolver, startHandleResolver } from '../support/network/handle-resolver.js'
import { startPds, type TestPds } from '../support/network/pds.js'
import { startPlc, type TestPlc } from '../support/network/plc.js'
import { aquifer, type Running, start, temporaryFolder } from './support.js'

/** `aquifer lexicons publish --oauth`, with the authorization server of a real PDS. */

const COLLECTION = 'com.atproto.lexicon.schema'
const PASSWORD = 'correct horse battery'
const NSID = 'network.example.notes.getNote'

const closers = new Closers()
const folder = temporaryFolder()
const home = join(folder, 'home')
const files = join(folder, 'lexicons')
let plc: TestPlc
let pds: TestPds
let dns: TestDns
let handles: HandleResolver
let agent: AtpAgent
let account: SignIn
let accounts = 0

beforeAll(async () => {
  plc = closers.use(await startPlc())
  pds = closers.use(await startPds({ plcUrl: plc.url }))
  dns = closers.use(await startDns())
  handles = closers.use(await startHandleResolver([pds]))
  await mkdir(home)
  await mkdir(join(files, 'network/example/notes'), { recursive: true })
  const output = { encoding: 'application/json', schema: { type: 'object', properties: {} } }
  const main = { type: 'query', description: 'Gets a note.', output }
  const document = { lexicon: 1, id: NSID, defs: { main } }
  await writeFile(join(files, 'network/example/notes/getNote.json'), JSON.stringify(document))
})
afterAll(() => closers.close())

beforeEach(async () => {
  ;[agent, account] = await createAccount()
})

async function createAccount(): Promise<[AtpAgent, SignIn]> {
  accounts += 1
  const created = new AtpAgent({ service: pds.url })
  const handle = `publisher-${accounts}.test`
  await created.createAccount({ handle, email: `${handle}@mail.test`, password: PASSWORD })
  return [created, { did: created.assertDid, identifier: handle, password: PASSWORD }]
}

const command = (...args: string[]) => [
  ...['lexicons', 'publish', '--oauth', account.did, '--dir', files, '--dns', dns.address, '--yes'],
  ...args,
]
const options = () => ({ env: { PLC_URL: plc.url, HOME: home }, cwd: home })

/** Starts publishing. @returns with the page to sign in on, once it has said that */
async function publish(): Promise<{ running: Running; page: URL }> {
  const running = start(command(), options())
  await running.until(/\/oauth\/authorize\?\S+\n/)
  return { running, page: new URL(/http\S+/.exec(running.stderr)![0]) }
}

async function published(): Promise<string[]> {
  const { data } = await agent.com.atproto.repo.listRecords({ repo: account.did, collection: COLLECTION })
  return data.records.map(({ uri }) => uri)
}

test('publishes in the name of whoever signs in, with no more rights than that takes', async () => {
  const { running, page } = await publish()
  const client = new URL(page.searchParams.get('client_id')!)
  expect(client.searchParams.get('scope')).toBe(`atproto repo:${COLLECTION}?action=create&action=update`)
  const browser = new TestBrowser()
  const back = await browser.allow(page, account)
  expect(await browser.grants(pds.url, account.did)).toEqual([])
  expect(await published()).toEqual([])

  // Others on this machine know the address too.
  const strange = new URL(back)
  strange.searchParams.set('state', 'of another')
  expect((await fetch(strange)).status).toBe(400)
  expect((await fetch(new URL('/', back))).status).toBe(404)
  expect((await fetch(back)).status).toBe(200)

  const { code, stdout, stderr } = await running.ended
  expect({ code, stdout }).toEqual({ code: 0, stdout: expect.stringContaining(`new        ${NSID}\n`) })
  expect(stderr).toContain('1 lexicon published.\n')
  expect(await published()).toEqual([`at://${account.did}/${COLLECTION}/${NSID}`])
  // The account's settings show no session of ours any more, and nothing was written down.
  expect(await browser.grants(pds.url, account.did)).toEqual([])
  expect(await readdir(home)).toEqual([])

  // There is nothing more to sign in for.
  expect(await aquifer(command(), options())).toMatchObject({
    code: 0,
    stderr: expect.stringMatching(/^Everything is published as in the files\./),
  })
})

test('asks nobody to sign in where nothing is to be published', async () => {
  const byHandle = command('--dry-run').map((word) => (word === account.did ? account.identifier : word))
  const { env, cwd } = options()
  const withHandles = { cwd, env: { ...env, HANDLE_RESOLVER_URL: handles.url } }
  const { code, stdout, stderr } = await aquifer(byHandle, withHandles)
  expect({ code, stdout }).toEqual({
    code: 0,
    stdout: expect.stringContaining(`${account.did} on ${pds.url}`),
  })
  expect(stderr).toMatch(/^Nothing was published/)
})

test('ends the session also when nothing can be written', async () => {
  const { running, page } = await publish()
  const browser = new TestBrowser()
  const back = await browser.allow(page, account)
  // Somebody else writes after it was shown what differs.
  const post = { repo: account.did, collection: 'com.example.post', record: {}, validate: false }
  await agent.com.atproto.repo.createRecord(post)
  await fetch(back)
  expect(await running.ended).toMatchObject({
    code: 1,
    stderr: expect.stringContaining('the repo has changed in the meantime'),
  })
  expect(await published()).toEqual([])
  expect(await browser.grants(pds.url, account.did)).toEqual([])
})

test('says so when it was refused', async () => {
  const { running, page } = await publish()
  await fetch(await new TestBrowser().refuse(page))
  expect(await running.ended).toMatchObject({
    code: 1,
    stderr: expect.stringContaining(`It was refused to act for ${account.did} at ${pds.url}.\n`),
  })
})

test('takes nobody else than the account that was named', async () => {
  const [, other] = await createAccount()
  const { running, page } = await publish()
  const browser = new TestBrowser()
  await fetch(await browser.allow(page, other))
  const { code, stderr } = await running.ended
  expect({ code, stderr }).toEqual({ code: 1, stderr: expect.stringContaining(`signed in as ${other.did}`) })
  expect(await published()).toEqual([])
  expect(await browser.grants(pds.url, other.did)).toEqual([])
})

test('is interrupted while it waits', async () => {
  const { running, page } = await publish()
  running.kill('SIGINT')
  expect(await running.ended).toMatchObject({ code: 130, stderr: expect.stringMatching(/Interrupted\.\n$/) })
  const back = await new TestBrowser().allow(page, account)
  await expect(fetch(back)).rejects.toThrow('fetch failed')
})

test('needs one account, named in one way', async () => {
  const usage = (...args: string[]) => aquifer(['lexicons', 'publish', '--dir', files, '--yes', ...args])
  for (const args of [[], ['--login', account.did, '--oauth', account.did]]) {
    expect(await usage(...args)).toMatchObject({ code: 2, stderr: expect.stringContaining('--oauth') })
  }
  expect(await usage('--oauth', account.did, '--pds', pds.url)).toMatchObject({
    code: 2,
    stderr: expect.stringContaining('--pds is for --login'),
  })
})
