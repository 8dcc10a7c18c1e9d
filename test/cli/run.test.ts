import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { JobView, RecordView } from '../../src/client/index.js'
import { Closers } from '../../src/closers.js'
import { killHard, serverPid } from '../postgres/support.js'
import { createDatabase } from '../support/database.js'
import { type Account, createAccounts, putRecords } from '../support/network/accounts.js'
import { type Network, startNetwork } from '../support/network/network.js'
import { eventually } from '../support/wait.js'
import { CTRL_C, jsonLines, screenOf, shell, start, startOnTerminal, temporaryFolder } from './support.js'

const POST = 'network.example.post'
const NOBODY = 'did:plc:aaaaaaaaaaaaaaaaaaaaaaaa'
const LIST_RECORDS = 'com.atproto.repo.listRecords'
const BY_COLLECTION = 'com.atproto.sync.listReposByCollection'

/** Always as a process: that it ends by itself, whatever it has started, is a part of it. */
const aquifer = (...command: Parameters<typeof start>) => start(...command).ended

describe('aquifer run: a whole backfill without a server', () => {
  const folder = temporaryFolder()
  const closers = new Closers()
  let network: Network
  let accounts: Account[]
  /** The accounts on the first PDS, which stays up. */
  let steady: Account[]
  let env: Readonly<Record<string, string>>
  let uris: string[]

  beforeAll(async () => {
    network = closers.use(await startNetwork({ pdsCount: 2, relayPageSize: 3 }))
    const [one, two] = network.pdses as [Network['pdses'][0], Network['pdses'][0]]
    steady = await createAccounts(one, ['first1', 'first2', 'first3'])
    accounts = [...steady, ...(await createAccounts(two, ['second1', 'second2']))]
    const written = await Promise.all(
      accounts.map((account) => putRecords(account, POST, [{ n: 1 }, { n: 2 }])),
    )
    uris = written
      .flat()
      .map(({ uri }) => uri)
      .sort()
    await network.relay.crawl()
    env = { ...network.environment, HOST_MAX_RPM: '100000', HOST_START_RPM: '100000', PLC_RPM: '100000' }
  })
  afterAll(() => closers.close())

  /** An environment with a database of its own. */
  async function withDatabase() {
    const database = closers.use(await createDatabase())
    return { ...env, DATABASE_URL: database.url }
  }

  const urisIn = (text: string) =>
    jsonLines<RecordView>(text)
      .map(({ uri }) => uri)
      .sort()

  // Most of their time they wait, and each has a database of its own.
  describe.concurrent('of a network that is well', () => {
    test('on a terminal, to a file, with a Postgres of its own', async () => {
      const apart = join(folder, 'apart')
      await mkdir(apart)
      const file = join(apart, 'posts.jsonl')
      const args = ['run', '-c', POST, '-o', file, '--json']
      const { code, stdout } = await startOnTerminal(args, { env: { ...env, DATA_DIR: join(apart, 'data') } })
        .ended
      const screen = screenOf(stdout)
      expect({ code, begin: screen.slice(0, 2) }).toEqual({
        code: 0,
        begin: ['Done.', `  5 of 5 repos completed, 10 records in ${file}`],
      })
      expect(JSON.parse(screen.slice(2).join('\n'))).toMatchObject({ status: 'completed', totalRecords: 10 })
      expect(stdout).toContain('Starting a Postgres in')
      expect(urisIn(readFileSync(file, 'utf8'))).toEqual(uris)
      expect(readdirSync(apart).sort()).toEqual(['data', 'posts.jsonl'])
    })

    test('to standard output, of named accounts, in a pipe', async () => {
      const environment = await withDatabase()
      const [one, two] = accounts as [Account, Account]
      const args = ['run', '-r', `at://${one.did}/${POST}/x`, two.handle]
      const { code, stdout, stderr } = await aquifer(args, { env: environment })
      expect(code).toBe(0)
      expect(urisIn(stdout)).toEqual(uris.filter((uri) => uri.includes(one.did) || uri.includes(two.did)))
      expect(stderr).toMatch(/Done\.\n {2}2 of 2 repos completed, 4 records\n$/)
      expect(stderr).not.toContain('\r')
      // A reader that has seen enough.
      const line = `aquifer run -r ${one.did} -c ${POST} | head -n 0; echo "$\{PIPESTATUS[0]}"`
      expect((await shell(line, { env: environment })).stdout).toBe('0\n')
    })

    test('on a terminal every record is a line of its own', async () => {
      const { code, stdout } = await startOnTerminal(['run', '-c', POST], {
        env: await withDatabase(),
        columns: 400,
      }).ended
      expect(code).toBe(0)
      const screen = screenOf(stdout)
      expect(
        screen
          .slice(0, 10)
          .map((line) => JSON.parse(line).uri)
          .sort(),
      ).toEqual(uris)
      expect(screen.slice(10)).toEqual(['Done.', '  5 of 5 repos completed, 10 records', ''])
    })

    test('with failed repos it ends with code 3 and names them', async () => {
      const args = [
        'run',
        '-c',
        POST,
        '-r',
        NOBODY,
        steady[0]!.did,
        '-o',
        join(folder, 'some.jsonl'),
        '--json',
      ]
      const { code, stdout, stderr } = await aquifer(args, { env: await withDatabase() })
      expect(code).toBe(3)
      expect(JSON.parse(stdout) as JobView).toMatchObject({ failedRepos: 1, completedRepos: 1 })
      expect(stderr).toContain('Done, but not for every repo.\n')
      expect(stderr).toContain('  1 failed: did-not-found\n')
      expect(stderr).toMatch(new RegExp(`\\n {4}${NOBODY} {2}did-not-found: .*\\n$`))
    })

    test('without its database it says so', async () => {
      const { code, stderr } = await aquifer(['run', '-c', POST], {
        env: { ...env, DATABASE_URL: 'postgres://nobody:hush-hush@localhost:1/none' },
      })
      expect(code).toBe(1)
      expect(stderr).toContain('The database cannot be used')
      expect(stderr).toContain('DATABASE_URL')
      expect(stderr).not.toContain('hush')
      expect(stderr).not.toMatch(/^\s+at /m)
    })
  })

  test('interrupted, it leaves no file; again, it goes on and asks for nothing it has', async () => {
    const [one, two] = network.pdses as [Network['pdses'][0], Network['pdses'][0]]
    const file = join(folder, 'resumed.jsonl')
    const environment = await withDatabase()
    await two.stop()
    const first = start(['run', '-c', POST, '--method', 'list-records', '-o', file], { env: environment })
    const lines = () =>
      existsSync(`${file}.partial`) ? readFileSync(`${file}.partial`, 'utf8').split('\n').length - 1 : 0
    await eventually(lines, (number) => number === 2 * steady.length, 90_000)
    first.kill('SIGINT')
    const interrupted = await first.ended
    expect(interrupted).toMatchObject({ code: 130, stdout: '' })
    expect(interrupted.stderr).toMatch(
      /\nInterrupted\. Nothing is lost: the same command again goes on where this one stopped\.\n$/,
    )
    expect(readdirSync(folder).filter((name) => name.includes('resumed'))).toEqual([])

    await two.restart()
    network.relay.requests.reset()
    one.requests.reset()
    const second = await aquifer(['run', '-c', POST, '--method', 'list-records', '-o', file], {
      env: environment,
    })
    expect(second.stderr).toMatch(/^Going on with job \w{13}, begun /)
    expect(second.code).toBe(0)
    expect(urisIn(readFileSync(file, 'utf8'))).toEqual(uris)
    expect(network.relay.requests.of(BY_COLLECTION)).toBe(0)
    expect(one.requests.of(LIST_RECORDS)).toBe(0)
    expect(two.requests.of(LIST_RECORDS)).toBeGreaterThan(0)
  })

  test('interrupted on a terminal, it leaves a clean screen', async () => {
    const two = network.pdses[1]!
    const environment = await withDatabase()
    await two.stop()
    const running = startOnTerminal(['run', '-c', POST, '-o', join(folder, 'never.jsonl')], {
      env: environment,
    })
    await running.until(/3\/5 repos/)
    running.type(CTRL_C)
    const { code, stdout } = await running.ended
    await two.restart()
    expect(code).toBe(130)
    expect(screenOf(stdout)).toEqual([
      'Interrupted. Nothing is lost: the same command again goes on where this one stopped.',
      '',
    ])
    expect(readdirSync(folder).filter((name) => name.includes('never'))).toEqual([])
  })

  test('when a relay cannot be read to its end, it ends with code 1, the reason and what to do', async () => {
    const file = join(folder, 'failed.jsonl')
    network.relay.faults.add({ kind: 'repeated-cursor' })
    const { code, stdout, stderr } = await aquifer(['run', '-c', POST, '-o', file], {
      env: await withDatabase(),
    })
    expect(network.relay.faults.fired('repeated-cursor')).toBe(1)
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' })
    expect(stderr).toMatch(/^Failed: .*cursor/m)
    expect(stderr).toContain(network.relay.url)
    expect(stderr).toContain('Look at RELAYS')
    // What was fetched before is not all, and does not bear the name of all.
    const left = readdirSync(folder).filter((name) => name.includes('failed'))
    expect(left).toEqual(
      stderr.includes(`These are not all records: ${file}.partial\n`) ? ['failed.jsonl.partial'] : [],
    )
  })

  test('while the relay is down it says what it waits for, and goes on when it is back', async () => {
    await network.relay.stop()
    const running = startOnTerminal(['run', '-c', POST, '-o', join(folder, 'late.jsonl')], {
      env: await withDatabase(),
      columns: 200,
    })
    await running.until(`The relay ${network.relay.url} cannot be read: `)
    await network.relay.restart()
    const { code, stdout } = await running.ended
    expect(code).toBe(0)
    const [waiting, ...rest] = screenOf(stdout)
    expect(waiting).toMatch(/^The relay .* Trying again\.$/)
    expect(rest[0]).toBe('Done.')
  })

  test('its own Postgres dies: it comes back, and every record is written once', async () => {
    const two = network.pdses[1]!
    await two.stop()
    const data = join(folder, 'killed')
    const running = start(['run', '-c', POST], { env: { ...env, DATA_DIR: data } })
    const lines = () => running.stdout.split('\n').length - 1
    await eventually(lines, (number) => number === 2 * steady.length, 90_000)
    const pid = await serverPid(join(data, 'postgres'))
    await killHard(pid)
    await eventually(
      () => serverPid(join(data, 'postgres')).catch(() => pid),
      (now) => now !== pid,
      90_000,
    )
    await two.restart()
    const { code, stdout, stderr } = await running.ended
    expect({ code, stderr }).toMatchObject({ code: 0 })
    expect(urisIn(stdout)).toEqual(uris)
    expect(stderr).not.toMatch(/^\s+at /m)
  })
})
