import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { CallerView } from '../../src/client/index.js'
import { Closers } from '../../src/closers.js'
import { type Directory, startDirectory } from '../api/support.js'
import { didOf } from '../support/fixtures.js'
import { startTestService, type TestService } from '../support/service.js'
import { aquifer, createKeyCaller, jsonLines, type KeyCaller, startOnTerminal } from './support.js'

/** `aquifer callers`, by an admin and by others, on a running service that lets in only whom it knows. */

const UNKNOWN = 'did:web:unknown.example'

const closers = new Closers()
let network: Directory
let service: TestService
let admin: KeyCaller
let maker: KeyCaller
let reader: KeyCaller

beforeAll(async () => {
  network = closers.use(await startDirectory())
  // Whoever it names must be there before the service is: where that is reached does not matter until then.
  admin = closers.use(await createKeyCaller('http://localhost:1'))
  const environment = { BACKFILL_ACCESS: 'allowlist', BACKFILL_ADMINS: admin.did }
  service = closers.use(await startTestService({ network, engine: false, environment }))
  maker = closers.use(await createKeyCaller(service.url))
  reader = closers.use(await createKeyCaller(service.url))
})
afterAll(() => closers.close())

const as = (caller: KeyCaller, ...args: string[]) =>
  aquifer(args, { env: { ...caller.env, AQUIFER_SERVICE: service.url } })
const put = (...args: string[]) => as(admin, 'callers', 'put', ...args)

describe('an admin', () => {
  test('lets a service call, which can then', async () => {
    expect(await as(maker, 'jobs', 'list')).toMatchObject({ code: 1, stdout: '' })
    const { code, stdout, stderr } = await put(
      maker.did,
      '--permission',
      'read',
      'create',
      '--running-jobs',
      '1',
    )
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expect(stdout.trimEnd().split('\n')).toEqual([
      `caller         ${maker.did}`,
      'permissions    read create',
      'jobs           1 at the same time',
      'repos          any in one job',
      'requests       3,000 a minute',
      'streams        40 open at one process',
    ])
    const made = await as(maker, 'jobs', 'create', '-r', didOf(1))
    expect(made.code).toBe(0)
    // And no more than was said.
    const second = await as(maker, 'jobs', 'create', '-r', didOf(1))
    expect(second).toMatchObject({ code: 1, stdout: '' })
    expect(second.stderr).toContain('may have 1 at the same time')
  })

  test('lets a service read the jobs of others', async () => {
    const args = ['--permission', 'read', '--jobs-of', maker.did, UNKNOWN, '--jobs-of', didOf(2), '--json']
    const { code, stdout } = await put(reader.did, ...args)
    expect(code).toBe(0)
    expect(JSON.parse(stdout)).toMatchObject({
      did: reader.did,
      permissions: [{ name: 'read' }],
      jobsOf: [{ did: maker.did }, { did: UNKNOWN }, { did: didOf(2) }],
    })
    const jobs = jsonLines((await as(reader, 'jobs', 'list', '--json')).stdout)
    expect(jobs).toEqual([expect.objectContaining({ caller: maker.did })])
  })

  test('says everything anew: what is left out gets its default', async () => {
    const quotas = [
      '--running-jobs',
      '0',
      '--repos-per-job',
      '7',
      '--requests-per-minute',
      '70',
      '--streams',
      '4',
    ]
    const first = JSON.parse((await put(UNKNOWN, '--permission', 'create', ...quotas, '--json')).stdout)
    expect(first).toMatchObject({
      quotas: { runningJobs: 0, reposPerJob: 7, requestsPerMinute: 70, streams: 4 },
    })
    const second = JSON.parse((await put(UNKNOWN, '--permission', 'create', '--json')).stdout)
    expect(second.quotas).toEqual({ runningJobs: 20, requestsPerMinute: 3_000, streams: 40 })
  })

  test('bars a service, and is told of one that it cannot bar', async () => {
    const { code, stdout } = await put(UNKNOWN, '--bar')
    expect(code).toBe(0)
    expect(stdout).toContain('permissions    none\n')
    const root = await put(admin.did, '--bar')
    expect(root).toMatchObject({
      code: 0,
      stdout: expect.stringContaining('permissions    read create admin\n'),
    })
    expect(root.stderr).toContain('count for more')
    await as(admin, 'callers', 'delete', admin.did)
  })

  test('lists who may call, as columns or JSON lines', async () => {
    const { code, stdout, stderr } = await as(admin, 'callers', 'list')
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    const [header, ...rows] = stdout.trimEnd().split('\n')
    expect(header).toMatch(/^DID +PERMISSIONS +JOBS +REPOS +REQUESTS +STREAMS +SETTINGS +READS JOBS OF$/)
    expect(rows.map((row) => row.split(/ {2,}/))).toEqual(
      [
        [UNKNOWN, 'none', '20', 'any', '3,000', '40', '-', '-'],
        [admin.did, 'read create admin', 'any', 'any', 'any', 'any', 'named', '-'],
        [maker.did, 'read create', '1', 'any', '3,000', '40', '-', '-'],
        [reader.did, 'read', '20', 'any', '3,000', '40', '-', `${maker.did} and 2 others`],
      ].sort(([one], [other]) => (one! < other! ? -1 : 1)),
    )
    const callers = jsonLines<CallerView>((await as(admin, 'callers', 'list', '--json')).stdout)
    expect(callers.map(({ did }) => did)).toEqual(rows.map((row) => row.split(' ')[0]))
    const limited = jsonLines<CallerView>(
      (await as(admin, 'callers', 'list', '--limit', '2', '--json')).stdout,
    )
    expect(limited).toEqual(callers.slice(0, 2))
  })

  test('sees no line that is wider than the terminal', async () => {
    const env = { ...admin.env, AQUIFER_SERVICE: service.url }
    const { stdout } = await startOnTerminal(['callers', 'list'], { env, columns: 80 }).ended
    const lines = stdout.trimEnd().split('\r\n')
    expect(lines).toHaveLength(5)
    expect(Math.max(...lines.map(({ length }) => length))).toBeLessThan(80)
  })

  test('forgets what was said, and the service is one like any other', async () => {
    const { code, stdout, stderr } = await as(admin, 'callers', 'delete', reader.did)
    expect({ code, stdout, stderr }).toEqual({
      code: 0,
      stdout: '',
      stderr: `${reader.did} is a caller like any other now. Its jobs stay.\n`,
    })
    expect((await as(reader, 'jobs', 'list')).stderr).toContain('lacks the permission "read"')
    const again = await as(admin, 'callers', 'delete', reader.did, '--json')
    expect(again).toMatchObject({ code: 1, stdout: '' })
    expect(again.stderr).toContain(`Nothing was said of the caller ${reader.did}`)
  })
})

test.each([['put', UNKNOWN, '--permission', 'read'], ['delete', UNKNOWN], ['list']])(
  'who is no admin is told so: callers %s',
  async (...args) => {
    const { code, stdout, stderr } = await as(maker, 'callers', ...args)
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' })
    expect(stderr).toContain(`${maker.did} lacks the permission "admin"`)
  },
)

test.concurrent.for<[args: string[], said: string]>([
  [[UNKNOWN], 'with --permission, or --bar'],
  [[UNKNOWN, '--permission', 'write'], 'Allowed choices are read, create, admin'],
  [[UNKNOWN, '--permission', 'read', '--bar'], "option '--bar' cannot be used with option '--permission"],
  [['app.example.com', '--permission', 'read'], '"app.example.com" is not a DID'],
  [[UNKNOWN, '--permission', 'read', '--jobs-of', UNKNOWN, 'me'], '"me" is not a DID'],
  [[UNKNOWN, '--permission', 'read', '--running-jobs', '-1'], '"-1" is not a whole number'],
  [[UNKNOWN, '--permission', 'read', '--repos-per-job', 'all'], 'left out it is the service'],
])('wrong usage ends with code 2, and says what would be right: %j', async ([args, said], { expect }) => {
  const { code, stdout, stderr } = await put(...args)
  expect(stderr).toContain(said)
  expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
})
