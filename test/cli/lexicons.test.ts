import { mkdir, readdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { AtpAgent } from '@atproto/api'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { JsonObject } from '../../src/cli/lexicons-diff.js'
import { Closers } from '../../src/closers.js'
import { startDns, type TestDns } from '../support/network/dns.js'
import { startPds, type TestPds } from '../support/network/pds.js'
import { startPlc, type TestPlc } from '../support/network/plc.js'
import { aquifer, startOnTerminal, temporaryFolder } from './support.js'

/** `aquifer lexicons` with a real PDS, a real directory, and a DNS server that only it asks. */

const COLLECTION = 'com.atproto.lexicon.schema'
const PASSWORD = 'correct horse battery'
const DNS_NAME = '_lexicon.notes.example.network'

const closers = new Closers()
const folder = temporaryFolder()
let plc: TestPlc
let pds: TestPds
let dns: TestDns
let agent: AtpAgent
let did: string
let accounts = 0

beforeAll(async () => {
  plc = closers.use(await startPlc())
  pds = closers.use(await startPds({ plcUrl: plc.url }))
  dns = closers.use(await startDns())
})
afterAll(() => closers.close())

beforeEach(async () => {
  accounts += 1
  agent = new AtpAgent({ service: pds.url })
  const handle = `lexicons-${accounts}.test`
  await agent.createAccount({ handle, email: `${handle}@mail.test`, password: PASSWORD })
  did = agent.assertDid
  dns.records.clear()
  dns.asked.length = 0
  await rm(join(folder, 'network'), { recursive: true, force: true })
  await save('getNote', lexiconOf('getNote', 'Gets a note.'))
  await save('listNotes', lexiconOf('listNotes', 'Lists notes.'))
})

function lexiconOf(name: string, description: string, parameters: JsonObject = {}) {
  const output = { encoding: 'application/json', schema: { type: 'object', properties: {} } }
  const main = { type: 'query', description, parameters: { type: 'params', properties: parameters }, output }
  return { lexicon: 1, id: `network.example.notes.${name}`, defs: { main } }
}

async function save(name: string, document: unknown): Promise<void> {
  await mkdir(join(folder, 'network/example/notes'), { recursive: true })
  await writeFile(join(folder, `network/example/notes/${name}.json`), JSON.stringify(document))
}

const environment = () => ({ PLC_URL: plc.url, AQUIFER_PASSWORD: PASSWORD })
const files = () => ['--dir', folder, '--dns', dns.address]
const publish = (...args: string[]) =>
  aquifer(['lexicons', 'publish', '--login', did, ...files(), ...args], { env: environment() })
const check = (...args: string[]) =>
  aquifer(['lexicons', 'check', ...files(), ...args], { env: environment() })

async function records() {
  const { data } = await agent.com.atproto.repo.listRecords({ repo: did, collection: COLLECTION, limit: 100 })
  return new Map(
    data.records.map(({ uri, cid, value }) => [uri.slice(uri.lastIndexOf('/') + 1), { cid, value }]),
  )
}

const revision = async () => (await agent.com.atproto.sync.getLatestCommit({ did })).data.rev

describe('publishing', () => {
  test('writes a record for each lexicon, and says which DNS record is missing', async () => {
    const { code, stdout, stderr } = await publish('--yes')
    expect({ code, stdout }).toEqual({
      code: 0,
      stdout: [
        `repo       ${did} on ${pds.url}`,
        'new        network.example.notes.getNote',
        'new        network.example.notes.listNotes',
        `DNS        ${DNS_NAME} TXT "did=${did}"  missing`,
        '',
      ].join('\n'),
    })
    expect(stderr).toContain('2 lexicons published.\n')
    expect(stderr).toContain(`${DNS_NAME}. TXT "did=${did}"`)
    const published = await records()
    expect([...published.keys()].sort()).toEqual([
      'network.example.notes.getNote',
      'network.example.notes.listNotes',
    ])
    expect(published.get('network.example.notes.getNote')!.value).toEqual({
      $type: COLLECTION,
      ...lexiconOf('getNote', 'Gets a note.'),
    })
  })

  test('shows what differs, and writes only that', async () => {
    dns.records.set(DNS_NAME, [`did=${did}`])
    await publish('--yes')
    const before = await records()
    await save('getNote', lexiconOf('getNote', 'Gets one note.', { rkey: { type: 'string', maxLength: 64 } }))

    const { code, stdout } = await publish('--yes')
    expect(code).toBe(0)
    expect(stdout).toContain(
      [
        'changed    network.example.notes.getNote',
        '  ~ defs.main.description: "Gets a note."',
        '                         → "Gets one note."',
        '  + defs.main.parameters.properties.rkey: {"type":"string","maxLength":64}',
        'unchanged  1 lexicon',
        `DNS        ${DNS_NAME} TXT "did=${did}"  ok`,
      ].join('\n'),
    )
    const after = await records()
    expect(after.get('network.example.notes.getNote')!.value).toMatchObject({
      defs: { main: { description: 'Gets one note.' } },
    })
    expect(after.get('network.example.notes.listNotes')).toEqual(
      before.get('network.example.notes.listNotes'),
    )
  })

  test('does nothing to a repo that is as the files', async () => {
    await publish('--yes')
    const before = await revision()
    const { code, stderr } = await publish('--yes')
    expect({ code, stderr }).toMatchObject({
      code: 0,
      stderr: expect.stringContaining('published as in the files'),
    })
    expect(await revision()).toBe(before)
  })

  test('leaves alone what has no file, and shows it', async () => {
    await publish('--yes')
    await rm(join(folder, 'network/example/notes/listNotes.json'))
    const { stdout } = await publish('--yes')
    expect(stdout).toContain('no file    network.example.notes.listNotes\nunchanged  1 lexicon\n')
    expect((await records()).size).toBe(2)
  })

  test('writes nothing with --dry-run', async () => {
    const before = await revision()
    const { code, stdout, stderr } = await publish('--dry-run')
    expect(code).toBe(0)
    expect(stdout).toContain('new        network.example.notes.getNote')
    expect(stderr).toContain('Nothing was published: without --dry-run it would be 2 lexicons.')
    expect(await revision()).toBe(before)
  })

  test('asks first on a terminal, and needs --yes elsewhere', async () => {
    expect(await publish()).toMatchObject({ code: 2, stderr: expect.stringContaining('--yes') })
    const args = ['lexicons', 'publish', '--login', did, ...files()]
    const no = startOnTerminal(args, { env: environment() })
    await no.until(`Publish 2 lexicons in the repo of ${did}? [y/N]`)
    no.type('n\r')
    expect(await no.ended).toMatchObject({
      code: 1,
      stdout: expect.stringContaining('Nothing was published.'),
    })
    expect((await records()).size).toBe(0)

    const yes = startOnTerminal(args, { env: environment() })
    await yes.until('[y/N]')
    // Somebody else writes while the question is open.
    await agent.com.atproto.repo.createRecord({
      repo: did,
      collection: 'com.example.post',
      record: {},
      validate: false,
    })
    yes.type('y\r')
    expect(await yes.ended).toMatchObject({
      code: 1,
      stdout: expect.stringContaining('the repo has changed in the meantime'),
    })
    expect((await records()).size).toBe(0)
  })

  test('gives all of it as JSON', async () => {
    dns.records.set(DNS_NAME, ['did=did:plc:aaaaaaaaaaaaaaaaaaaaaaaa'])
    const { stdout } = await publish('--yes', '--json')
    expect(JSON.parse(stdout)).toEqual({
      did,
      pds: pds.url,
      lexicons: [
        { nsid: 'network.example.notes.getNote', state: 'new' },
        { nsid: 'network.example.notes.listNotes', state: 'new' },
      ],
      dns: [
        {
          name: DNS_NAME,
          value: `did=${did}`,
          ok: false,
          found: { state: 'found', did: 'did:plc:aaaaaaaaaaaaaaaaaaaaaaaa' },
        },
      ],
      published: 2,
    })
  })

  test('publishes more lexicons than one request holds', async () => {
    for (let n = 100; n < 225; n += 1) await save(`note${n}`, lexiconOf(`note${n}`, 'A note.'))
    const { code, stderr } = await publish('--yes')
    expect({ code, stderr }).toMatchObject({
      code: 0,
      stderr: expect.stringContaining('127 lexicons published.'),
    })
    expect(await check('--did', did)).toMatchObject({
      stdout: expect.stringContaining('unchanged  127 lexicons'),
    })
  })
})

describe('what cannot be published', () => {
  test('is refused before anything is asked', async () => {
    await save('broken', {
      lexicon: 1,
      id: 'network.example.notes.broken',
      defs: { main: { type: 'nonsense' } },
    })
    expect(await publish('--yes')).toMatchObject({
      code: 2,
      stdout: '',
      stderr: expect.stringMatching(/broken\.json is no lexicon: [\s\S]*nonsense/),
    })
    await save('broken', lexiconOf('other', 'Elsewhere.'))
    expect(await publish('--yes')).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('but its path says network.example.notes.broken'),
    })
    expect(await aquifer(['lexicons', 'check', '--dir', join(folder, 'nowhere')])).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('cannot be read'),
    })
  })

  test('with a wrong password says so', async () => {
    const args = ['lexicons', 'publish', '--login', did, ...files(), '--yes']
    expect(await aquifer(args, { env: { PLC_URL: plc.url, AQUIFER_PASSWORD: 'wrong' } })).toMatchObject({
      code: 1,
      stdout: '',
      stderr: expect.stringContaining('An app password from the account settings is enough.'),
    })
  })
})

describe('checking', () => {
  test('is content when DNS leads to a repo with all of the files', async () => {
    dns.records.set(DNS_NAME, ['v=something else', `did=${did}`])
    await publish('--yes')
    dns.asked.length = 0
    expect(await check()).toEqual({
      code: 0,
      stdout: [
        `repo       ${did} on ${pds.url}`,
        'unchanged  2 lexicons',
        `DNS        ${DNS_NAME} TXT "did=…"  ok`,
        '',
      ].join('\n'),
      stderr: 'Everything is published as in the files.\n',
    })
    // A question whose answer is slow to come is asked again.
    expect([...new Set(dns.asked)]).toEqual([DNS_NAME])
  })

  test('finds what is missing or differs', async () => {
    dns.records.set(DNS_NAME, [`did=${did}`])
    await publish('--yes')
    await save('getNote', lexiconOf('getNote', 'Gets one note.'))
    await save('putNote', lexiconOf('putNote', 'Puts a note.'))
    const { code, stdout, stderr } = await check()
    expect(code).toBe(1)
    expect(stdout).toContain('changed    network.example.notes.getNote\n  ~ defs.main.description')
    expect(stdout).toContain('new        network.example.notes.putNote\n')
    expect(stderr).toContain('2 lexicons not as in the files')
  })

  test('says who is not there to publish anything', async () => {
    const nobody = 'did:plc:aaaaaaaaaaaaaaaaaaaaaaaa'
    expect(await check('--did', nobody)).toEqual({
      code: 1,
      stdout: '',
      stderr: `there is no account ${nobody}\n`,
    })
  })

  test('says what DNS must say, whatever is wrong with it', async () => {
    await publish('--yes')
    const missing = await check()
    expect(missing).toMatchObject({ code: 1, stdout: `DNS        ${DNS_NAME} TXT "did=…"  missing\n` })
    expect(missing.stderr).toContain('did=<DID of the account that publishes them>')

    dns.records.set(DNS_NAME, [`did=${did}`, 'did=did:plc:aaaaaaaaaaaaaaaaaaaaaaaa'])
    expect(await check('--did', did)).toMatchObject({
      code: 1,
      stdout: expect.stringContaining(`unusable: "did=${did}" "did=did:plc:aaaaaaaaaaaaaaaaaaaaaaaa"`),
      stderr: expect.stringContaining('as the only one of its kind'),
    })
    dns.records.set(DNS_NAME, ['did=did:plc:aaaaaaaaaaaaaaaaaaaaaaaa'])
    expect(await check('--did', did)).toMatchObject({
      code: 1,
      stdout: expect.stringContaining('names another: did:plc:aaaaaaaaaaaaaaaaaaaaaaaa'),
    })
  })
})

test('the lexicons of this service are those that are published without --dir', async () => {
  const args = ['lexicons', 'publish', '--login', did, '--dns', dns.address, '--dry-run', '--json']
  const { stdout } = await aquifer(args, { env: environment() })
  const { lexicons } = JSON.parse(stdout) as { lexicons: { nsid: string }[] }
  const own = await readdir(new URL('../../lexicons', import.meta.url), { recursive: true })
  expect(lexicons.map(({ nsid }) => `${nsid.replaceAll('.', '/')}.json`)).toEqual(
    own.filter((path) => path.endsWith('.json')).sort(),
  )
})
