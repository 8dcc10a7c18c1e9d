import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { AtpAgent } from '@atproto/api'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { JobView, RecordView, RepoView } from '../../src/client/index.js'
import { formatPrivateKey, generateKey } from '../../src/client/index.js'
import { Closers } from '../../src/closers.js'
import {
  type Account,
  createAccount,
  createAccounts,
  deactivate,
  putRecords,
} from '../support/network/accounts.js'
import { LoopbackServer } from '../support/network/loopback.js'
import { type Network, startNetwork } from '../support/network/network.js'
import { startTestService, type TestService } from '../support/service.js'
import { eventually } from '../support/wait.js'
import {
  aquifer,
  CTRL_C,
  createKeyCaller,
  jsonLines,
  type KeyCaller,
  screenOf,
  shell,
  start,
  startOnTerminal,
  temporaryFolder,
} from './support.js'

const POST = 'network.example.post'
const LIKE = 'network.example.graph.like'
const NOBODY = 'did:plc:aaaaaaaaaaaaaaaaaaaaaaaa'
const PASSWORD = 'correct horse battery staple'

describe('the command line and a running service', () => {
  const folder = temporaryFolder()
  const closers = new Closers()
  let network: Network
  let service: TestService
  let caller: KeyCaller
  let env: Readonly<Record<string, string>>
  let crowd: Account[]
  let big: Account
  let gone: Account
  /** A finished job over all of `POST`. */
  let job: string

  beforeAll(async () => {
    network = closers.use(await startNetwork({ pdsCount: 1 }))
    const [pds] = network.pdses as [Network['pdses'][0]]
    crowd = await createAccounts(
      pds,
      Array.from({ length: 5 }, (_, index) => `crowd${index}`),
    )
    for (const account of crowd) await putRecords(account, POST, [{ text: 'one' }, { text: 'two' }])
    await putRecords(crowd[0]!, LIKE, [{ subject: 'x' }])
    big = await createAccount(pds, 'big-one')
    await putRecords(
      big,
      POST,
      Array.from({ length: 600 }, (_, n) => ({ n, text: 'long '.repeat(60) })),
    )
    gone = await createAccount(pds, 'gone-one')
    await putRecords(gone, POST, [{ text: 'three' }])
    await network.relay.crawl()
    await deactivate(gone)
    service = closers.use(await startTestService({ network }))
    caller = closers.use(await createKeyCaller(service.url))
    env = caller.env
  })
  afterAll(() => closers.close())

  test('create --watch starts a job, shows plain lines in a pipe, and ends with the job', async () => {
    const { code, stdout, stderr } = await aquifer(
      ['jobs', 'create', '-c', POST, '--name', 'all\u001b[31m posts', '--watch'],
      { env },
    )
    expect({ code, stdout }).toEqual({ code: 0, stdout: '' })
    job = /^Job (\w{13}) is running\.\n/.exec(stderr)![1]!
    const lines = stderr.split('\n')
    expect(lines[1]).toMatch(/^(\d+% {2})?\d+\/\d+\+? repos {2}/)
    expect(lines.slice(-5)).toEqual([
      'Done.',
      '  6 of 7 repos completed, 610 records',
      '  1 unavailable (deactivated, taken down or deleted)',
      `The records: aquifer records ${job} -o records.jsonl`,
      '',
    ])
    expect(stderr).not.toContain('\u001b')
  })

  test('create gives the id and nothing else, and the same job for the same token', async () => {
    const args = [
      'jobs',
      'create',
      '-c',
      LIKE,
      '--client-token',
      'monday',
      '-r',
      `at://${crowd[0]!.did}/${LIKE}/x`,
      `@${crowd[1]!.handle}`,
      crowd[2]!.did,
    ]
    const first = await aquifer(args, { env })
    expect(first).toMatchObject({ code: 0, stdout: expect.stringMatching(/^\w{13}\n$/) })
    expect(first.stderr).toContain(`aquifer jobs watch ${first.stdout.trim()}`)
    const again = JSON.parse((await aquifer([...args, '--json'], { env })).stdout) as JobView
    expect(again).toMatchObject({ id: first.stdout.trim(), repoCount: 3, collections: [LIKE] })
    const other = await aquifer([...args.slice(0, -1)], { env })
    expect(other).toMatchObject({ code: 2, stdout: '' })
    expect(other.stderr).toContain('Take another --client-token')
  })

  test('list, status and repos print JSON, or columns that are not cut in a pipe', async () => {
    // Of a job that is at work each look may have another picture.
    await eventually(
      () => aquifer(['jobs', 'list', '--status', 'running', '--json'], { env }),
      ({ stdout }) => stdout === '',
      60_000,
    )
    const listed = await aquifer(['jobs', 'list'], { env })
    expect(listed).toMatchObject({ code: 0, stderr: '' })
    const [header, ...rows] = listed.stdout.trimEnd().split('\n')
    expect(header).toMatch(/^JOB +STATUS +REPOS +FAILED +RECORDS +CREATED +WHAT$/)
    expect(rows.at(-1)).toMatch(new RegExp(`^${job}  completed +7/7 +0 +610  .*Z  all \\[31m posts ${POST}$`))
    const jobs = jsonLines<JobView>((await aquifer(['jobs', 'list', '--json'], { env })).stdout)
    expect(jobs).toHaveLength(rows.length)
    // Its manifest may have been made meanwhile.
    expect(
      jsonLines((await aquifer(['jobs', 'list', '--json', '--limit', '1'], { env })).stdout),
    ).toMatchObject([jobs[0]!])
    expect(await aquifer(['jobs', 'list', '--status', 'failed'], { env })).toMatchObject({
      code: 0,
      stdout: '',
      stderr: 'No jobs. "aquifer jobs create" starts one.\n',
    })

    const card = await aquifer(['jobs', 'status', job], { env })
    expect(card.stdout).toMatch(/^progress {5}100% {2}7\/7 repos {2}610 records {2}1 unavailable$/m)
    const view = JSON.parse((await aquifer(['jobs', 'status', job, '--json'], { env })).stdout) as JobView
    expect(view).toMatchObject({ id: job, caller: caller.did, totalRecords: 610 })

    const repos = jsonLines<RepoView>((await aquifer(['jobs', 'repos', job, '--json'], { env })).stdout)
    expect(repos.map(({ did }) => did).sort()).toEqual([...crowd, big, gone].map(({ did }) => did).sort())
    const unavailable = await aquifer(['jobs', 'repos', job, '--status', 'unavailable'], { env })
    expect(unavailable.stdout.split('\n')[1]).toMatch(
      new RegExp(`^${gone.did}  unavailable .*  deactivated$`),
    )
    const host = new URL(network.pdses[0]!.url).host
    const fetched = await aquifer(
      ['jobs', 'repos', job, '--phase', 'fetched', '--host', `http://${host}`, '--limit', '2'],
      { env },
    )
    expect(fetched.stdout.trimEnd().split('\n')).toHaveLength(3)
    expect(await aquifer(['jobs', 'repos', job, '--host', 'elsewhere.example'], { env })).toMatchObject({
      code: 0,
      stdout: '',
    })
  })

  test('on a terminal no line of a table is longer than it is wide, and nothing moves the cursor', async () => {
    for (const columns of [40, 100]) {
      for (const args of [
        ['jobs', 'list'],
        ['jobs', 'repos', job],
        ['jobs', 'status', job],
      ]) {
        const { code, stdout } = await startOnTerminal(args, { env, columns }).ended
        expect(code).toBe(0)
        const lines = screenOf(stdout)
        expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(columns - 1)
        if (columns === 40) expect(stdout).toContain('…')
        expect(stdout).not.toContain('\u001b')
      }
    }
  })

  test('records come as JSON lines: all, of one account, to a file', async () => {
    const all = await aquifer(['records', job], { env })
    expect(all).toMatchObject({ code: 0, stderr: '' })
    const records = jsonLines<RecordView>(all.stdout)
    expect(records).toHaveLength(610)
    expect(Object.keys(records[0]!)).toEqual(['uri', 'cid', 'value'])
    const one = await aquifer(['records', job, '--repo', `at://${crowd[1]!.handle}`, '--limit', '1'], { env })
    expect(jsonLines<RecordView>(one.stdout)[0]!.uri).toContain(`at://${crowd[1]!.did}/${POST}/`)
    const none = await aquifer(['records', job, '-c', LIKE], { env })
    expect(none).toMatchObject({ code: 0, stdout: '' })
    const file = join(folder, 'records.jsonl')
    const written = await aquifer(['records', job, '-o', file, '--json'], { env })
    expect(JSON.parse(written.stdout)).toEqual({ job, status: 'completed', records: 610, file })
    expect(written.stderr).toContain(`610 records in ${file}\n`)
    expect(readFileSync(file, 'utf8')).toBe(all.stdout)
    expect(readdirSync(folder)).toEqual(['records.jsonl'])
  })

  test('its manifest comes as the service has signed it, and anybody can check it', async () => {
    const verified = await eventually(
      () => shell(`aquifer records ${job} --manifest | aquifer manifest verify - --json`, { env }),
      ({ code }) => code === 0,
      90_000,
    )
    expect(JSON.parse(verified.stdout)).toMatchObject({ job, status: 'completed', records: 610 })
    const changed = await shell(
      `aquifer records ${job} --manifest | sed 's/"records":/"Records":/' | aquifer manifest verify -`,
      { env },
    )
    expect(changed.code).toBe(1)
  })

  test('a reader that has seen enough is no error', async () => {
    for (const command of [`records ${job}`, `jobs repos ${job} --json`]) {
      const { stdout, stderr } = await shell(`aquifer ${command} | head -n 1; echo "$\{PIPESTATUS[0]}"`, {
        env,
      })
      expect(stdout).toMatch(/^\{.*\}\n0\n$/)
      expect(stderr).toBe('')
    }
  })

  test('an interrupted records -o leaves no file, and the old one as it was', async () => {
    await using slow = await LoopbackServer.start(async (url, request, response) => {
      const headers = { authorization: request.headers.authorization ?? '' }
      const answer = await fetch(new URL(url.pathname + url.search, service.url), { headers })
      const text = await answer.text()
      response.writeHead(answer.status, { 'content-type': answer.headers.get('content-type') ?? '' })
      // The second half never comes.
      if (url.pathname.endsWith('.exportRecords')) response.write(text.slice(0, text.length / 2))
      else response.end(text)
    })
    const file = join(folder, 'interrupted.jsonl')
    const args = ['records', job, '-o', file]
    const running = startOnTerminal(args, { env: { ...env, AQUIFER_SERVICE: slow.url } })
    await running.until(/[1-9]\d*\/610 records/)
    expect(existsSync(`${file}.partial`)).toBe(true)
    running.type(CTRL_C)
    const { code, stdout } = await running.ended
    expect(code).toBe(130)
    expect(screenOf(stdout)).toEqual([`Interrupted: ${file} was not written.`, ''])
    expect(readdirSync(folder).filter((name) => name.includes('interrupted'))).toEqual([])
    // In a pipe, by a signal.
    const piped = start(['records', job], { env: { ...env, AQUIFER_SERVICE: slow.url } })
    await piped.until('\n')
    piped.kill('SIGINT')
    const ended = await piped.ended
    expect(ended).toMatchObject({
      code: 130,
      stderr: 'Interrupted.\n',
    })
    expect(jsonLines(ended.stdout).length).toBeGreaterThan(0)
  })

  test('a job with failed repos ends with code 3', async () => {
    const created = await aquifer(
      ['jobs', 'create', '-c', POST, '-r', NOBODY, crowd[0]!.did, '--watch', '--json'],
      { env },
    )
    expect(created.code).toBe(3)
    const view = JSON.parse(created.stdout) as JobView
    expect(view).toMatchObject({ status: 'completed', failedRepos: 1, completedRepos: 1 })
    expect(created.stderr).toContain('  1 failed: did-not-found\n')
    expect(created.stderr).toContain(`aquifer jobs repos ${view.id} --status failed`)
    expect((await aquifer(['jobs', 'watch', view.id], { env })).code).toBe(3)
    const failed = await aquifer(['jobs', 'repos', view.id, '--status', 'failed'], { env })
    expect(failed.stdout).toMatch(new RegExp(`${NOBODY}  failed .*did-not-found: `))
  })

  test('a job that fails ends with code 1, and says why', async () => {
    network.relay.faults.add({ kind: 'status', status: 400 }, Number.POSITIVE_INFINITY)
    const { code, stderr } = await aquifer(['jobs', 'create', '-c', POST, '--watch'], { env })
    network.relay.faults.clear()
    expect(code).toBe(1)
    expect(stderr).toMatch(/\nFailed: .*localhost/)
  })

  describe('refusals say what to do next', () => {
    const unknownJob = '3m65qz7wxyz2a'
    const cases: [what: string, args: () => string[], code: number, said: () => string][] = [
      [
        'an unknown job',
        () => ['jobs', 'status', unknownJob],
        1,
        () => `There is no job ${unknownJob}\n"aquifer jobs list" shows the jobs that ${caller.did} may see.`,
      ],
      [
        'records of an unknown job',
        () => ['records', unknownJob, '-o', join(folder, 'none.jsonl')],
        1,
        () => 'aquifer jobs list',
      ],
      [
        'a bad NSID',
        () => ['jobs', 'create', '-c', 'posts', POST],
        2,
        () => 'collections: "posts" is not an NSID',
      ],
      [
        'the whole network',
        () => ['jobs', 'create'],
        2,
        () => 'Name collections with --collection, or accounts with --repo.',
      ],
      [
        'a handle of nobody',
        () => ['jobs', 'create', '-r', 'nobody.one.test'],
        2,
        () => '"nobody.one.test": no account answers to this handle',
      ],
      [
        'a level that the method cannot reach',
        () => ['jobs', 'create', '-c', POST, '--level', 'signed', '--method', 'list-records'],
        2,
        () => 'level signed is not to be had by list-records',
      ],
    ]
    test.for(cases)('%s', async ([, args, code, said]) => {
      const ended = await aquifer(args(), { env })
      expect(ended).toMatchObject({ code, stdout: '', stderr: expect.stringContaining(said()) })
      expect(existsSync(join(folder, 'none.jsonl'))).toBe(false)
    })

    test('a key that the DID document does not name (any more)', async () => {
      const other = await formatPrivateKey(await generateKey())
      const { code, stderr } = await aquifer(['jobs', 'list', '--key', other], { env })
      expect(code).toBe(1)
      expect(stderr).toContain(
        `The key is not the one that the DID document of ${caller.did} names as #atproto`,
      )
      expect(stderr).toContain('/.well-known/did.json; "aquifer callers new" makes another.')
      expect(stderr).not.toContain(other)
    })

    test('a DID that does not exist', async () => {
      const { code, stderr } = await aquifer(['jobs', 'list', '--did', NOBODY], { env })
      expect(code).toBe(1)
      expect(stderr).toContain(`The service finds no #atproto key for ${NOBODY}`)
    })

    test('a caller without permission', async () => {
      await using strict = await startTestService({
        network,
        engine: false,
        environment: { BACKFILL_ACCESS: 'allowlist' },
      })
      const { code, stderr } = await aquifer(['jobs', 'list'], {
        env: { ...env, AQUIFER_SERVICE: strict.url },
      })
      expect(code).toBe(1)
      expect(stderr).toContain(
        `${caller.did} may not do this.\nIts operator can add the DID to BACKFILL_ALLOW;`,
      )
    })
  })

  test('watching on a terminal draws in place, and Ctrl-C leaves a clean screen', async () => {
    // Nobody does its work: the job stays as it is.
    await using idle = await startTestService({ network, engine: false })
    const idleEnv = { ...env, AQUIFER_SERVICE: idle.url }
    const running = startOnTerminal(['jobs', 'create', '-c', POST, '--watch'], { env: idleEnv, columns: 70 })
    const screen = await eventually(
      () => screenOf(running.stdout),
      (lines) => lines.length > 1 && lines.at(-2)!.endsWith('0/0+  0 records') && lines.at(-1) === '',
      60_000,
    )
    const id = /Job (\w{13}) is running/.exec(running.stdout)![1]!
    expect(screen).toEqual([
      `Job ${id} is running.`,
      `Job ${id}`,
      'about to begin',
      `discovered  [${'-'.repeat(38)}]  0+`,
      `resolved    [${'-'.repeat(38)}]  0/0+`,
      `fetched     [${'-'.repeat(38)}]  0/0+  0 records`,
      '',
    ])
    running.type(CTRL_C)
    const { code, stdout } = await running.ended
    expect(code).toBe(130)
    const back = `The job goes on without you. Come back to it with: aquifer jobs watch ${id}`
    expect(screenOf(stdout)).toEqual([`Job ${id} is running.`, back, ''])
    const piped = start(['jobs', 'watch', id], { env: idleEnv })
    await piped.until('0/0+ repos')
    piped.kill('SIGINT')
    const ended = await piped.ended
    expect(ended).toMatchObject({ code: 130, stdout: '' })
    // The same line again with every five seconds.
    const lines = new Set(ended.stderr.trimEnd().split('\n'))
    expect([...lines]).toEqual(['0/0+ repos  0 records  discovering', back])
  })

  describe('with an account instead of a key', () => {
    let handle: string
    let login: string[]
    beforeAll(async () => {
      const pds = network.pdses[0]!
      handle = `with-password${pds.handleDomain}`
      await new AtpAgent({ service: pds.url }).createAccount({
        handle,
        email: 'a@mail.test',
        password: PASSWORD,
      })
      login = ['--service', service.url, '--login', handle, '--pds', pds.url]
    })

    test('the password comes from the environment', async () => {
      const args = ['jobs', 'list', ...login]
      const right = await aquifer(args, { env: { AQUIFER_PASSWORD: PASSWORD } })
      expect(right).toMatchObject({ code: 0, stderr: expect.stringContaining('No jobs.') })
      const wrong = await aquifer(args, { env: { AQUIFER_PASSWORD: 'wrong' } })
      expect(wrong).toMatchObject({ code: 1, stdout: '' })
      expect(wrong.stderr).toContain('An app password from the account settings is enough.')
    })

    test('or is asked for on a terminal, and not shown', async () => {
      const running = startOnTerminal(['jobs', 'list', ...login])
      await running.until('Password of')
      running.type(`x\u007f${PASSWORD}\r`)
      const { code, stdout } = await running.ended
      expect(code).toBe(0)
      expect(stdout).not.toContain('horse')
      expect(screenOf(stdout)[1]).toBe('No jobs. "aquifer jobs create" starts one.')
    })

    test('its PDS is found by way of its handle', async () => {
      const { PLC_URL, HANDLE_RESOLVER_URL } = network.environment
      const { code, stderr } = await aquifer(['jobs', 'list', ...login.slice(0, 4)], {
        env: { PLC_URL: PLC_URL!, HANDLE_RESOLVER_URL: HANDLE_RESOLVER_URL!, AQUIFER_PASSWORD: PASSWORD },
      })
      expect({ code, stderr }).toEqual({ code: 0, stderr: 'No jobs. "aquifer jobs create" starts one.\n' })
    })
  })
})
