import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmod, readFile, rm, stat, truncate, utimes, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { type FindBinaries, findBinaries } from '../../src/postgres/binaries.js'
import {
  type EmbeddedPostgres,
  startEmbeddedPostgres,
  startEmbeddedPostgresWith,
} from '../../src/postgres/embedded.js'
import { findProcess } from '../../src/postgres/processes.js'
import { eventually } from '../support/wait.js'
import { isListening, killHard, query, Scratch, serverPid } from './support.js'

const scratch = new Scratch()
const handles: EmbeddedPostgres[] = []
let dataDirectory: string

/** What happened since the last start. */
let events: string[] = []

async function start(settings: Record<string, string | number> = {}): Promise<EmbeddedPostgres> {
  events = []
  const postgres = await startEmbeddedPostgres({
    dataDirectory,
    settings,
    log: (event) => events.push(event),
  })
  handles.push(postgres)
  return postgres
}

beforeAll(async () => {
  dataDirectory = join(await scratch.directory(), 'made/when/missing')
})

afterEach(async () => {
  await Promise.all(handles.splice(0).map((handle) => handle.release()))
})

afterAll(() => scratch.clean())

/**
 * Programs for the server with a file which an earlier server of the same process id left, as it is found in a
 * container that was started again: the id is written into it when the new server has one, and the file's time
 * stays.
 */
async function leavingOldFile(left: string): Promise<FindBinaries> {
  const cluster = join(dataDirectory, 'cluster')
  const gone = spawn(process.execPath, ['--version'])
  await once(gone, 'exit')
  await writeFile(join(cluster, 'postmaster.pid'), left.replace(/^\d+/, String(gone.pid)))
  for (const name of ['postmaster.pid', 'PG_VERSION']) await utimes(join(cluster, name), 1000, 1000)
  const bin = await scratch.directory()
  await chmod(bin, 0o755)
  return async (options) => {
    const found = await findBinaries(options)
    const script = `#!/bin/sh
      { echo $$; tail -n +2 "$2/postmaster.pid"; } > "$2/left"
      touch -r "$2/PG_VERSION" "$2/left"
      mv "$2/left" "$2/postmaster.pid"
      sleep 0.3
      exec '${found.bin}/postgres' "$@"`
    await writeFile(join(bin, 'postgres'), script)
    await chmod(join(bin, 'postgres'), 0o755)
    return { ...found, bin }
  }
}

// One cluster serves all, in the order of the tests: making one takes most of a second.
describe('the embedded Postgres', () => {
  it('starts where there was nothing, and is gone after its release', async () => {
    const postgres = await start()
    expect(postgres.adopted).toBe(false)
    expect(postgres.url).toMatch(/^postgres:\/\/aquifer:[\w-]{32}@127\.0\.0\.1:\d+\/aquifer$/)
    const [database] = await query(
      postgres.url,
      'create table kept (n int)',
      'insert into kept values (7)',
      `select datname, datdba::regrole::text as owner, pg_encoding_to_char(encoding) as encoding, datcollate
       from pg_database where datname = current_database()`,
    )
    expect(database).toEqual({ datname: 'aquifer', owner: 'aquifer', encoding: 'UTF8', datcollate: 'C' })
    const pid = await serverPid(dataDirectory)
    await postgres.release()
    expect(await findProcess(pid)).toBeUndefined()
    expect(await isListening(postgres.url)).toBe(false)
    await postgres.release()
  })

  it('keeps data, password and port from one start to the next', async () => {
    const first = await start()
    await first.release()
    const second = await start()
    expect(second.url).toBe(first.url)
    expect(second.adopted).toBe(false)
    expect(await query(second.url, 'select n from kept')).toEqual([{ n: 7 }])
  })

  it('lets nobody in without the password', async () => {
    const { url } = await start()
    const without = new URL(url)
    without.password = ''
    const wrong = new URL(url)
    wrong.password = 'wrong'
    const somebodyElse = new URL(url)
    somebodyElse.username = 'postgres'
    for (const refused of [without, wrong, somebodyElse])
      await expect(query(refused.href)).rejects.toThrow(/password/)
    expect((await stat(join(dataDirectory, 'password'))).mode & 0o777).toBe(0o600)
    const [rules] = await query(
      url,
      'select count(*)::int as count, min(auth_method) as method from pg_hba_file_rules',
    )
    expect(rules).toEqual({ count: 1, method: 'scram-sha-256' })
    const log = await readFile(join(dataDirectory, 'server.log'), 'utf8')
    expect(log).not.toContain(new URL(url).password)
  })

  it('takes settings, but for where it listens, and stays durable', async () => {
    const { url } = await start({
      max_connections: 17,
      listen_addresses: '*',
      unix_socket_directories: '/tmp',
    })
    const shown = async (name: string) => Object.values((await query(url, `show ${name}`))[0]!)[0]
    expect(await shown('max_connections')).toBe('17')
    expect(await shown('listen_addresses')).toBe('127.0.0.1')
    expect(await shown('unix_socket_directories')).toBe('')
    expect(await shown('fsync')).toBe('on')
    expect(await shown('synchronous_commit')).toBe('on')
    expect(await shown('wal_level')).toBe('minimal')
  })

  it('is shared by two handles of one process', async () => {
    const first = await start()
    const second = await start()
    expect([first.adopted, second.adopted]).toEqual([false, true])
    expect(second.url).toBe(first.url)
    await first.release()
    expect(await query(second.url, 'select 1 as one')).toEqual([{ one: 1 }])
    await second.release()
    expect(await isListening(first.url)).toBe(false)
  })

  it('recovers every committed row after a kill -9 of the server, whose release is no error', async () => {
    const killed = await start()
    await query(killed.url, 'create table committed as select generate_series(1, 5000) as n')
    await query(killed.url, 'insert into committed select generate_series(5001, 5100)')
    await killHard(await serverPid(dataDirectory))
    await killed.release()
    const { url, adopted } = await start()
    expect(adopted).toBe(false)
    expect(await query(url, 'select count(*)::int as count from committed')).toEqual([{ count: 5100 }])
  })

  it('waits for what a killed server left running', async () => {
    const killed = await start()
    const enough = join(dataDirectory, 'cluster/enough')
    const busy = `do $$ begin while (pg_stat_file('enough', true)).size is null loop end loop; end $$`
    const ended = query(killed.url, busy).catch((error) => error)
    const isBusy = `select from pg_stat_activity where state = 'active' and query like 'do %'`
    while ((await query(killed.url, isBusy)).length === 0) await sleep(10)
    await killHard(await serverPid(dataDirectory))
    const starting = start()
    await eventually(
      () => events,
      (seen) => seen.includes('postgres.start-retried'),
      60_000,
    )
    await writeFile(enough, '')
    const { url } = await starting
    await rm(enough)
    expect(events).toEqual(['postgres.start-retried', 'postgres.started'])
    expect(await query(url, 'select n from kept')).toEqual([{ n: 7 }])
    await ended
    await killed.release()
  })

  it('is not adopted when it does not answer, though its process lives', async () => {
    const stuck = await start()
    const pid = await serverPid(dataDirectory)
    process.kill(pid, 'SIGSTOP')
    const next = start()
    // It waits as long as the process may come round; what would not wait is done by then.
    await Promise.race([next, sleep(300)])
    await killHard(pid)
    const { url, adopted } = await next
    expect(adopted).toBe(false)
    expect(await query(url, 'select n from kept')).toEqual([{ n: 7 }])
    await stuck.release()
  })

  it('starts a new server for a process whose old one was killed, and stops it in the end', async () => {
    const killed = await start()
    await killHard(await serverPid(dataDirectory))
    const next = await start()
    await killed.release()
    expect(await query(next.url, 'select n from kept')).toEqual([{ n: 7 }])
    await next.release()
    expect(await isListening(next.url)).toBe(false)
  })

  it('takes another port when the last one is in use', async () => {
    const before = await start()
    await before.release()
    const port = Number(new URL(before.url).port)
    const squatter = createServer().listen(port, '127.0.0.1')
    await once(squatter, 'listening')
    try {
      const { url } = await start()
      expect(Number(new URL(url).port)).not.toBe(port)
      expect(await query(url, 'select n from kept')).toEqual([{ n: 7 }])
    } finally {
      squatter.close()
    }
  })

  it('is not kept from starting by a process that got the id of a server which crashed', async () => {
    const before = await start()
    const left = await readFile(join(dataDirectory, 'cluster/postmaster.pid'), 'utf8')
    await before.release()
    await writeFile(join(dataDirectory, 'cluster/postmaster.pid'), left.replace(/^\d+/, String(process.pid)))
    const { url, adopted } = await start()
    expect(adopted).toBe(false)
    expect(await query(url, 'select n from kept')).toEqual([{ n: 7 }])
  })

  it('is not taken for ready when it got the process id of a server which crashed', async () => {
    const before = await start()
    const left = await readFile(join(dataDirectory, 'cluster/postmaster.pid'), 'utf8')
    await before.release()
    const postgres = await startEmbeddedPostgresWith(await leavingOldFile(left), { dataDirectory })
    handles.push(postgres)
    expect(await query(postgres.url, 'select n from kept')).toEqual([{ n: 7 }])
  })

  it('makes a new password when its file is lost', async () => {
    const before = await start()
    await before.release()
    await rm(join(dataDirectory, 'password'))
    const after = await start()
    expect(new URL(after.url).password).not.toBe(new URL(before.url).password)
    expect(await query(after.url, 'select n from kept')).toEqual([{ n: 7 }])
    await rm(join(dataDirectory, 'password'))
    await expect(start()).rejects.toThrow(/password is missing: end the server/)
  })

  it('closes a password file that was left open to others', async () => {
    const before = await start()
    await before.release()
    await chmod(join(dataDirectory, 'password'), 0o644)
    const { url } = await start()
    expect((await stat(join(dataDirectory, 'password'))).mode & 0o777).toBe(0o600)
    expect(await query(url, 'select n from kept')).toEqual([{ n: 7 }])
  })

  it('says what the server said when it does not start', async () => {
    await expect(start({ shared_buffers: 'plenty' })).rejects.toThrow(
      /does not start:\n.*invalid value for parameter "shared_buffers": "plenty"/s,
    )
    const { url } = await start()
    expect(await query(url, 'select n from kept')).toEqual([{ n: 7 }])
  })

  it('names both versions when another major version made the data', async () => {
    await writeFile(join(dataDirectory, 'cluster/PG_VERSION'), '9\n')
    await expect(start()).rejects.toThrow(
      /was made by PostgreSQL 9, which PostgreSQL \d+\.\d+ .*DATABASE_URL/,
    )
  })

  it('gives the end of the log when the data is damaged', async () => {
    const { major } = /PostgreSQL (?<major>\d+)\./.exec(await start().catch((error) => error.message))!
      .groups!
    await writeFile(join(dataDirectory, 'cluster/PG_VERSION'), `${major}\n`)
    await truncate(join(dataDirectory, 'cluster/global/pg_control'), 100)
    await expect(start()).rejects.toThrow(/does not start:\n.*pg_control/s)
  })
})

describe('a data directory that goes away', () => {
  it('does not keep its server alive', async () => {
    const directory = join(await scratch.directory(), 'postgres')
    const postgres = await startEmbeddedPostgres({ dataDirectory: directory })
    const pid = await serverPid(directory)
    await rm(directory, { recursive: true, maxRetries: 10, retryDelay: 50 })
    await postgres.release()
    expect(await findProcess(pid)).toBeUndefined()
  })
})
