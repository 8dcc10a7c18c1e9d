import { mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { allCommands, createProgram } from '../../src/cli/program.js'
import { formatPrivateKey, generateKey, parsePrivateKey } from '../../src/client/index.js'
import { findFreePort, LoopbackServer } from '../support/network/loopback.js'
import { aquifer, CTRL_C, screenOf, shell, start, startOnTerminal, temporaryFolder } from './support.js'

const folder = temporaryFolder()
const JOB = '3m65qz7wxyz2a'
const DID = 'did:web:app.example.com'
const KEY = await formatPrivateKey(await generateKey())
const CALLER = { AQUIFER_DID: DID, AQUIFER_KEY: KEY }

/** Every command, as one types it. */
function verbs(): string[][] {
  const pathOf = (command: ReturnType<typeof allCommands>[number]): string[] =>
    command.parent ? [...pathOf(command.parent), command.name()] : []
  return allCommands(createProgram(() => {})).map(pathOf)
}

describe('help', () => {
  test('of every command is on standard output, and has examples', async () => {
    const ends = verbs().map(async (verb) => ({ verb, ...(await aquifer([...verb, '--help'])) }))
    for (const { verb, code, stdout, stderr } of await Promise.all(ends)) {
      expect({ verb, code, stderr }).toEqual({ verb, code: 0, stderr: '' })
      expect(stdout).toContain(`Usage: ${['aquifer', ...verb].join(' ')}`)
      if (verb.length > 0) expect(stdout).toContain('Examples:')
    }
  })

  test('fits a narrow terminal', async () => {
    const { stdout, code } = await startOnTerminal(['jobs', '--help'], { columns: 60 }).ended
    expect(code).toBe(0)
    const body = stdout.split('Examples:')[0]!
    expect(Math.max(...screenOf(body).map(({ length }) => length))).toBeLessThanOrEqual(60)
  })
})

describe('wrong usage ends with code 2, and says what would be right', () => {
  const cases: [args: string[], said: string, env?: Record<string, string>][] = [
    [['jobz'], 'Did you mean jobs?'],
    [['jobs'], 'Usage: aquifer jobs'],
    [['jobs', 'creat'], 'Did you mean create?'],
    [
      ['jobs', 'create', '--level', 'best', '-c', 'com.example.post'],
      'Allowed choices are none, content, signed',
    ],
    [['jobs', 'create', '-r', 'nobody!'], '"nobody!" names no account. Give a DID'],
    [['jobs', 'list', '--status', 'gone'], 'Allowed choices are running'],
    [['jobs', 'list', '--limit', '0'], '"0" is not a whole number of at least 1'],
    [['jobs', 'status', '17'], '"aquifer jobs list" shows the ids'],
    [['jobs', 'status'], "missing required argument 'job'"],
    [['jobs', 'repos', JOB, '--host', 'https://pds.example/path'], 'is not a host such as pds.example.com'],
    [['jobs', 'watch', 'a b'], 'is not the id of a job'],
    [['jobs', 'pause', '17'], 'is not the id of a job'],
    [['jobs', 'retry', JOB, '--class', 'bad-luck'], 'Allowed choices are host-unavailable'],
    [['jobs', 'list', '--caller', 'alice'], '"alice" is not a DID such as'],
    [['jobs', 'delete-details', '--yes'], 'Name a job, or say --all'],
    [['jobs', 'delete-details', JOB, '--all', '--yes'], 'Name a job, or say --all'],
    [['jobs', 'delete-details', JOB], 'say so with --yes'],
    [['records', JOB, '-c', 'posts'], '"posts" is not a collection such as com.example.post'],
    [['records', JOB, '--repo', 'at://'], 'names no account'],
    [['run'], 'Name the repos, or collections'],
    [['run', '-c', 'posts'], '"posts" is not an NSID'],
    [['run', '-c', 'com.example.*'], 'Name the repos'],
    [
      ['run', '-c', 'com.example.post', '--level', 'signed', '--method', 'list-records'],
      'level signed is not to be had by list-records',
    ],
    [['callers', 'new'], '--did-web <host>'],
    [['callers', 'new', '--did-web', 'not/a/host'], 'needs a host name such as'],
    [['completion', 'tcsh'], 'Allowed choices are bash, zsh, fish'],
    [['serve', '--engine'], 'Did you mean --no-engine?'],
    [['worker', 'now'], 'too many arguments'],
    [['migrate', '--force'], "unknown option '--force'"],
    // Who calls?
    [['jobs', 'list'], '"aquifer callers new --did-web app.example.com" makes a key'],
    [['jobs', 'list', '--did', DID], 'is missing: give its file with --key or AQUIFER_KEY'],
    [['jobs', 'list', '--key', KEY], 'Name its DID with --did'],
    [['jobs', 'list', '--did', 'did:key:x', '--key', KEY], 'must be a did:plc:… or did:web:…'],
    [
      ['jobs', 'list', '--did', DID, '--key', '@/nowhere/app.key'],
      '/nowhere/app.key cannot be read: there is no such file',
    ],
    [['jobs', 'list', '--did', DID, '--key', folder], 'is a folder; name the file in it'],
    [
      ['jobs', 'list', '--did', DID, '--login', 'alice.example.com'],
      'either as an account (--login) or as a service',
    ],
    [['jobs', 'list', '--pds', 'https://pds.example'], 'name one with --login'],
    [['jobs', 'list', '--login', 'alice.example.com'], 'put it into AQUIFER_PASSWORD'],
    [['jobs', 'list', '--service', 'localhost:3000'], 'must be an origin such as https://', CALLER],
    [['jobs', 'list'], 'must be an origin', { ...CALLER, AQUIFER_SERVICE: 'https://backfill.example/xrpc' }],
  ]
  test.concurrent.for(cases)('%j', async ([args, said, env], { expect }) => {
    const { code, stdout, stderr } = await aquifer(args, { ...(env && { env }) })
    expect(stderr).toContain(said)
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
    // An explanation, not a trace of the program.
    expect(stderr).not.toMatch(/^\s+at /m)
  })

  test('a key that is no key is never repeated', async () => {
    const broken = `${KEY.slice(0, -3)}000`
    const file = join(folder, 'broken.key')
    writeFileSync(file, broken)
    for (const key of [broken, `@${file}`, file]) {
      const { code, stdout, stderr } = await aquifer(['jobs', 'list', '--did', DID, '--key', key])
      expect(code).toBe(2)
      expect(stderr).toContain('"aquifer callers new"')
      expect(stdout + stderr).not.toContain(KEY.slice(0, 10))
    }
  })
})

describe('a service that cannot be called', () => {
  test('is down: says how to start one or to name another', async () => {
    const env = { ...CALLER, AQUIFER_SERVICE: `http://localhost:${await findFreePort()}` }
    const verbs = [
      ['jobs', 'list'],
      ['jobs', 'create', '-c', 'com.example.post'],
      ['jobs', 'status', JOB],
      ['jobs', 'repos', JOB],
      ['jobs', 'watch', JOB],
      ['jobs', 'pause', JOB],
      ['jobs', 'resume', JOB],
      ['jobs', 'cancel', JOB, '--wait'],
      ['jobs', 'retry', JOB, '--watch'],
      ['jobs', 'pds', JOB],
      ['jobs', 'delete-details', '--all', '--yes'],
      ['records', JOB],
    ]
    // Side by side: most of the time each waits to try again.
    const ends = await Promise.all(verbs.map((verb) => start([...verb, '--json'], { env }).ended))
    for (const { code, stdout, stderr } of ends) {
      expect({ code, stdout }).toEqual({ code: 1, stdout: '' })
      expect(stderr).toBe(
        `Cannot reach Aquifer at ${env.AQUIFER_SERVICE}: connection refused. Is it running there?\n` +
          'Start one with "aquifer serve", or name another with --service or AQUIFER_SERVICE.\n',
      )
    }
  })

  test('is something else: asks whether the address is right', async () => {
    await using server = await LoopbackServer.start((_url, _request, response) => {
      response.writeHead(200, { 'content-type': 'text/html' }).end('<h1>\u001b[31mWelcome</h1>')
    })
    const { code, stderr } = await aquifer(['jobs', 'list'], {
      env: { ...CALLER, AQUIFER_SERVICE: server.url },
    })
    expect(code).toBe(1)
    expect(stderr).toContain('is not JSON. Is Aquifer running there?\nIs --service right?')
    expect(stderr).not.toContain('\u001b')
  })
})

describe('config', () => {
  test('prints every setting in force, and no password', async () => {
    const env = {
      DATABASE_URL: 'postgres://aquifer:hush-hush@db.example/aquifer?sslpassword=hush-hush',
      PORT: '8080',
    }
    const text = await aquifer(['config'], { env })
    expect(text).toMatchObject({ code: 0, stderr: '' })
    expect(text.stdout).toContain('PORT=8080\n')
    expect(text.stdout).toContain('DATABASE_URL=postgres://aquifer:***@db.example/aquifer')
    expect(text.stdout).not.toContain('hush')
    const json = await aquifer(['config', '--json'], { env })
    expect(JSON.parse(json.stdout)).toMatchObject({ PORT: '8080', LOG_LEVEL: 'info' })
    expect(json.stdout).not.toContain('hush')
  })

  test('with wrong settings names all of them', async () => {
    const env = { PORT: 'x', BACKFILL_ACCESS: 'all', DATABASE_URL: 'mysql://u:hush-hush@db' }
    const { code, stdout, stderr } = await aquifer(['config'], { env })
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
    for (const name of Object.keys(env)) expect(stderr).toContain(`  - ${name} is`)
    expect(stderr).not.toContain('hush')
  })
})

describe('callers new', () => {
  test('prints a key and the document that names it, and what to do with them elsewhere', async () => {
    const { code, stdout, stderr } = await aquifer([
      'callers',
      'new',
      '--did-web',
      'https://App.example.com/',
    ])
    expect(code).toBe(0)
    const [, text = '', document = ''] = /^# .*\n(z\w+)\n\n(\{[\s\S]*\})\n$/.exec(stdout) ?? []
    expect(JSON.parse(document)).toMatchObject({
      id: DID,
      verificationMethod: [{ id: `${DID}#atproto`, publicKeyMultibase: publicPartOf(text) }],
    })
    expect(stderr).toContain('https://app.example.com/.well-known/did.json')
    expect(stderr).toContain(`add ${DID} to BACKFILL_ALLOW`)
    expect(stderr).not.toContain(text)
  })

  test('writes the key to a file for its owner only, and never over another', async () => {
    const file = join(folder, 'new.key')
    const args = ['callers', 'new', '--did-web', 'app.example.com', '--key-file', file]
    const made = await aquifer(args)
    expect(made.code).toBe(0)
    const text = readFileSync(file, 'utf8').trim()
    expect(statSync(file).mode & 0o777).toBe(0o600)
    expect(JSON.parse(made.stdout).verificationMethod[0].publicKeyMultibase).toBe(publicPartOf(text))
    expect(made.stdout + made.stderr).not.toContain(text)
    const again = await aquifer(args)
    expect(again).toMatchObject({ code: 1, stdout: '' })
    expect(again.stderr).toContain('it is there already')
    expect(readFileSync(file, 'utf8').trim()).toBe(text)
  })

  test('gives one JSON document', async () => {
    const { stdout } = await aquifer(['callers', 'new', '--did-web', 'localhost:8080', '--json'])
    const { did, privateKey, didDocument } = JSON.parse(stdout)
    expect(did).toBe('did:web:localhost%3A8080')
    expect(didDocument.verificationMethod[0].publicKeyMultibase).toBe(publicPartOf(privateKey))
  })

  const publicPartOf = (text: string) => parsePrivateKey(text).did().slice('did:key:'.length)
})

describe('completion', () => {
  test('in bash offers the commands, options, values and files of each place', async () => {
    const script = join(folder, 'completion.bash')
    writeFileSync(script, (await aquifer(['completion', 'bash'])).stdout)
    writeFileSync(join(folder, 'out.jsonl'), '')
    const line = `source ${script}
      offer() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _aquifer; echo "\${COMPREPLY[*]}"; }
      offer aquifer ''; offer aquifer jobs ''; offer aquifer jobs cre
      offer aquifer jobs create --le; offer aquifer jobs create --level ''
      offer aquifer jobs list --service http://localhost -
      offer aquifer run --output ${folder}/ou; offer aquifer completion ''; offer aquifer jobs create --name x`
    const { code, stdout, stderr } = await shell(line)
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    const [top, jobs, create, le, level, dash, file, shells, free] = stdout.split('\n')
    expect(top).toBe(
      'run jobs records manifest callers serve worker migrate config identity lexicons completion help',
    )
    expect(jobs).toBe(
      'create list status repos watch pause resume cancel retry refresh pds delete-details purge help',
    )
    expect([create, le, level]).toEqual(['create', '--level', 'none content signed'])
    expect(dash).toContain('--login')
    expect([file, shells, free]).toEqual([`${folder}/out.jsonl`, 'bash zsh fish', ''])
  })

  test('covers every command and option in every shell', async () => {
    const scripts = await Promise.all(
      ['bash', 'zsh', 'fish'].map(async (name) => (await aquifer(['completion', name])).stdout),
    )
    for (const command of allCommands(createProgram(() => {}))) {
      for (const script of scripts) {
        expect(script).toContain(command.name())
        for (const { long } of command.options)
          expect(script).toMatch(new RegExp(`(--|-l )${long!.slice(2)}\\b`))
      }
    }
  })
})

describe('output that cannot be written', () => {
  mkdirSync(join(folder, 'taken.jsonl'))
  const cases: [path: string, said: string][] = [
    [join(folder, 'no/such/folder.jsonl'), 'Make it, or name another file.'],
    [join(folder, 'taken.jsonl'), 'it is a folder. Name a file in it.'],
  ]
  test.for(cases)('%s', async ([path, said]) => {
    const { code, stdout, stderr } = await aquifer(['run', '-c', 'com.example.post', '-o', path], {
      cwd: folder,
    })
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' })
    expect(stderr).toBe(
      `Cannot write ${path}: ${said.startsWith('Make') ? `there is no folder ${join(folder, 'no/such')}. ` : ''}${said}\n`,
    )
  })

  test('a full disk', async () => {
    const { code, stderr } = await shell('aquifer config > /dev/full')
    expect({ code, stderr }).toEqual({
      code: 1,
      stderr: expect.stringContaining('Standard output cannot be written'),
    })
  })
})

test('on an older Node the command says which one it needs, before anything is loaded', async () => {
  const pretend = `Object.defineProperty(process, 'versions', { value: { ...process.versions, node: '20.11.1' } })`
  const { code, stdout, stderr } = await start(['--help'], {
    env: { NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(pretend)}` },
  }).ended
  expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
  expect(stderr).toMatch(/^aquifer needs Node\.js 22\.19 or newer; this is 20\.11\.1 \(/)
})

test('a question for a password ends with Ctrl-C, on a line of its own', async () => {
  const running = startOnTerminal(['jobs', 'list', '--login', 'alice.example.com'])
  await running.until('Password of alice.example.com')
  running.type(`secret${CTRL_C}`)
  const { code, stdout } = await running.ended
  expect(code).toBe(130)
  expect(screenOf(stdout)).toEqual([
    'Password of alice.example.com (an app password is enough): ',
    'Interrupted.',
    '',
  ])
})
