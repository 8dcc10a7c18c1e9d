import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { JobView, PdsSummary } from '../../src/client/index.js'
import { Closers } from '../../src/closers.js'
import { createAccounts, putRecords } from '../support/network/accounts.js'
import { type Network, startNetwork } from '../support/network/network.js'
import { startTestService, type TestService } from '../support/service.js'
import {
  aquifer,
  CTRL_C,
  createKeyCaller,
  jsonLines,
  type KeyCaller,
  screenOf,
  start,
  startOnTerminal,
} from './support.js'

const POST = 'network.example.post'
const NOBODY = 'did:plc:aaaaaaaaaaaaaaaaaaaaaaaa'
const UNKNOWN_JOB = '3m65qz7wxyz2a'

describe('steering jobs from the command line', () => {
  const closers = new Closers()
  let network: Network
  /** So slow that no job ends before it is told to. */
  let slow: TestService
  let caller: KeyCaller
  let env: Readonly<Record<string, string>>
  let repos: string[]

  const create = async (...args: string[]) =>
    (await aquifer(['jobs', 'create', '-c', POST, ...args], { env })).stdout.trim()
  const statusOf = async (job: string) =>
    JSON.parse((await aquifer(['jobs', 'status', job, '--json'], { env })).stdout).status as string

  beforeAll(async () => {
    network = closers.use(await startNetwork({ pdsCount: 1 }))
    const names = Array.from({ length: 8 }, (_, index) => `steered${index}`)
    const accounts = await createAccounts(network.pdses[0]!, names)
    for (const account of accounts) await putRecords(account, POST, [{ text: 'one' }])
    repos = accounts.map(({ did }) => did)
    slow = closers.use(await startTestService({ network, environment: { HOST_MAX_RPM: '20' } }))
    caller = closers.use(await createKeyCaller(slow.url))
    env = caller.env
  })
  afterAll(() => closers.close())

  test('pause --wait, resume, cancel --wait, each with the new status', async () => {
    const job = await create('-r', ...repos)
    const paused = await aquifer(['jobs', 'pause', job, '--wait'], { env })
    expect(paused).toEqual({
      code: 0,
      stdout: 'paused\n',
      stderr: `It goes on with: aquifer jobs resume ${job}\n`,
    })
    const resumed = await aquifer(['jobs', 'resume', job, '--json'], { env })
    expect(JSON.parse(resumed.stdout)).toMatchObject({ id: job, status: 'running' })
    const cancelled = await aquifer(['jobs', 'cancel', job, '--wait'], { env })
    expect(cancelled).toMatchObject({ code: 0, stdout: 'cancelled\n' })
    expect(await statusOf(job)).toBe('cancelled')
  })

  test('pause and cancel do not wait unless they are told to', async () => {
    const job = await create('-r', ...repos)
    const paused = await aquifer(['jobs', 'pause', job], { env })
    expect(paused).toMatchObject({ code: 0, stdout: expect.stringMatching(/^(pausing|paused)\n$/) })
    const cancelled = await aquifer(['jobs', 'cancel', job], { env })
    expect(cancelled).toMatchObject({ code: 0, stdout: expect.stringMatching(/^cancell(ing|ed)\n$/) })
  })

  test('what does not fit the status is refused with the status', async () => {
    const job = await create('-r', repos[0]!)
    const refused = await aquifer(['jobs', 'resume', job], { env })
    expect(refused).toMatchObject({ code: 1, stdout: '' })
    expect(refused.stderr).toMatch(/is (running|completed).*\n"aquifer jobs status" shows/)
    for (const verb of ['pause', 'resume', 'cancel', 'retry', 'refresh', 'pds', 'delete-details', 'purge']) {
      const args = [
        'jobs',
        verb,
        UNKNOWN_JOB,
        ...(['delete-details', 'purge'].includes(verb) ? ['--yes'] : []),
      ]
      const { code, stderr } = await aquifer(args, { env })
      expect({ verb, code }).toEqual({ verb, code: 1 })
      expect(stderr).toContain('"aquifer jobs list" shows the jobs that')
    }
  })

  test('watch follows a job that is cancelled elsewhere', async () => {
    const job = await create('-r', ...repos)
    const watching = start(['jobs', 'watch', job], { env })
    await watching.until(/\d\/8 repos/)
    await aquifer(['jobs', 'cancel', job], { env })
    const { code, stderr } = await watching.ended
    expect(code).toBe(1)
    expect(stderr).toContain('\nCancelled.\n')
  })

  test('lists of repos are deleted of all jobs that have ended', async () => {
    const all = await aquifer(['jobs', 'delete-details', '--all', '--yes'], { env })
    expect(all).toMatchObject({ code: 0, stdout: '' })
    expect(all.stderr).toMatch(/^[1-9]\d* listed repos? deleted, of [1-9]\d* jobs?\n$/)
  })

  describe('a job that has ended', () => {
    let job: string
    let env: Readonly<Record<string, string>>
    beforeAll(async () => {
      // Nothing is to be slow here.
      const service = closers.use(await startTestService({ network }))
      env = { ...caller.env, AQUIFER_SERVICE: service.url }
      const ended = await aquifer(
        ['jobs', 'create', '-c', POST, '-r', NOBODY, repos[0]!, '--watch', '--json'],
        {
          env,
        },
      )
      expect(ended.code).toBe(3)
      job = (JSON.parse(ended.stdout) as JobView).id
    })

    test('lists its hosts', async () => {
      const { origin, host } = new URL(network.pdses[0]!.url)
      const table = await aquifer(['jobs', 'pds', job], { env })
      expect(table).toMatchObject({ code: 0, stderr: '' })
      const [header, row] = table.stdout.split('\n')
      expect(header).toMatch(/^PDS +REPOS +COMPLETED +FAILED +UNAVAILABLE +RECORDS +STATE$/)
      expect(row).toMatch(new RegExp(`^http://${host} +1 +1 +0 +0 +1  `))
      const json = JSON.parse((await aquifer(['jobs', 'pds', job, '--json'], { env })).stdout) as PdsSummary
      expect(json.pdsEndpoints).toMatchObject([{ pdsEndpoint: origin, totalRepos: 1 }])
    })

    test('tries again what failed, of the classes that are named', async () => {
      const nothing = await aquifer(['jobs', 'retry', job], { env })
      expect(nothing).toMatchObject({ code: 1, stdout: '' })
      const again = await aquifer(['jobs', 'retry', job, '--class', 'did-not-found', '--watch'], { env })
      expect(again.code).toBe(3)
      expect(again.stderr).toMatch(new RegExp(`^Job ${job} is running\\.\n`))
      expect(again.stderr).toContain('1 failed: did-not-found')
    })

    test('is listed by its caller', async () => {
      const mine = await aquifer(['jobs', 'list', '--caller', caller.did, '--json'], { env })
      expect(jsonLines<JobView>(mine.stdout).map(({ id }) => id)).toContain(job)
      const others = await aquifer(['jobs', 'list', '--caller', NOBODY], { env })
      expect(others).toMatchObject({ code: 0, stdout: '' })
    })

    test('is repeated; what that one has fetched goes away after a yes', async () => {
      const repeated = await aquifer(['jobs', 'refresh', job, '--name', 'again', '--json'], { env })
      expect(repeated.code).toBe(0)
      const next = JSON.parse(repeated.stdout) as JobView
      expect(next).toMatchObject({ refreshes: job, name: 'again', totalRepos: 2 })
      const watched = await aquifer(['jobs', 'watch', next.id], { env })
      expect(watched.code).toBe(3)
      const doubting = startOnTerminal(['jobs', 'purge', next.id], { env })
      await doubting.until('[y/N]')
      doubting.type('n\r')
      const doubted = await doubting.ended
      expect(doubted.code).toBe(1)
      expect(screenOf(doubted.stdout).slice(-2)).toEqual(['Nothing was deleted.', ''])
      const purged = await aquifer(['jobs', 'purge', next.id, '--yes'], { env })
      expect(purged).toMatchObject({ code: 0, stdout: expect.stringMatching(/^purg(ing|ed)\n$/) })
      const gone = await aquifer(['records', next.id], { env })
      expect(gone).toMatchObject({ code: 1, stderr: expect.stringContaining('were deleted') })
    })

    test('loses its list of repos only after a yes', async () => {
      const doubting = startOnTerminal(['jobs', 'delete-details', job], { env })
      await doubting.until('"aquifer jobs purge" can no longer remove these. [y/N]')
      doubting.type('n\r')
      const doubted = await doubting.ended
      expect(doubted.code).toBe(1)
      expect(screenOf(doubted.stdout).slice(-2)).toEqual(['Nothing was deleted.', ''])
      const leaving = startOnTerminal(['jobs', 'delete-details', job], { env })
      await leaving.until('[y/N]')
      leaving.type(CTRL_C)
      const left = await leaving.ended
      expect(left.code).toBe(130)
      expect(screenOf(left.stdout).slice(-2)).toEqual(['Interrupted.', ''])
      const sure = startOnTerminal(['jobs', 'delete-details', job], { env })
      await sure.until('[y/N]')
      sure.type('y\r')
      const { code, stdout } = await sure.ended
      expect(code).toBe(0)
      expect(screenOf(stdout)).toContain('2 listed repos deleted')
      const repeated = await aquifer(['jobs', 'delete-details', job, '--yes', '--json'], { env })
      expect(JSON.parse(repeated.stdout)).toEqual({ deletedRepos: 0 })
      expect(await aquifer(['jobs', 'pds', job], { env })).toMatchObject({
        code: 1,
        stderr: expect.stringContaining('were deleted'),
      })
    })
  })
})
