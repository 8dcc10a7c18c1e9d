import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type App, buildApp, isListening, killHard, query, Scratch, serverPid } from './support.js'

const scratch = new Scratch()
let app: App
let dataDirectory: string

beforeAll(async () => {
  app = await buildApp(await scratch.directory(), 'linked')
  dataDirectory = join(await scratch.directory(), 'postgres')
})

afterAll(() => scratch.clean())

const hold = () => scratch.hold(app, dataDirectory)

// One data directory for all: each test leaves it without a server.
describe('processes that share an embedded Postgres', () => {
  it('end up with one server when they start at once, and the last to leave stops it', async () => {
    const holders = [hold(), hold(), hold()]
    const started = await Promise.all(holders.map((holder) => holder.started))
    const { url } = started[0]!
    expect(started.map((each) => each.url)).toEqual([url, url, url])
    expect(started.filter((each) => !each.adopted)).toHaveLength(1)
    await query(url, 'create table kept (n int)', 'insert into kept values (1)')
    const starter = started.findIndex((each) => !each.adopted)
    const [first, ...others] = [...holders.splice(starter, 1), ...holders]
    await first!.release()
    expect(await query(url, 'select n from kept')).toEqual([{ n: 1 }])
    await Promise.all(others.map((holder) => holder.release()))
    expect(await isListening(url)).toBe(false)
  })

  it('adopt the server of one that was killed, and stop it though that one never left', async () => {
    const killed = hold()
    const { url } = await killed.started
    await killed.kill('SIGKILL')
    expect(await query(url, 'select n from kept')).toEqual([{ n: 1 }])
    const next = hold()
    expect(await next.started).toEqual({ url, adopted: true })
    await next.release()
    expect(await isListening(url)).toBe(false)
  })

  it('do not lose the server to a Ctrl-C in the terminal of the one that started it', async () => {
    const interrupted = hold()
    const { url } = await interrupted.started
    const other = hold()
    await other.started
    await interrupted.kill('SIGINT', 'group')
    expect(await query(url, 'select n from kept')).toEqual([{ n: 1 }])
    await other.release()
    expect(await isListening(url)).toBe(false)
  })

  it('find all that was committed after a kill -9 of the process and the server', async () => {
    const killed = hold()
    const { url } = await killed.started
    await query(url, 'create table committed as select generate_series(1, 1000) as n')
    await killHard(await serverPid(dataDirectory))
    await killed.kill('SIGKILL')
    const next = hold()
    const recovered = await next.started
    expect(recovered.adopted).toBe(false)
    expect(await query(recovered.url, 'select count(*)::int as count from committed')).toEqual([
      { count: 1000 },
    ])
    await next.release()
  })

  it('do not wait for a killed server that its parent leaves a zombie', async () => {
    const stuck = hold()
    const { url } = await stuck.started
    stuck.child.kill('SIGSTOP')
    const pid = await serverPid(dataDirectory)
    await killHard(pid)
    expect(process.kill(pid, 0)).toBe(true)
    const next = hold()
    const again = await next.started
    expect(again.adopted).toBe(false)
    expect(again.url).toBe(url)
    await stuck.kill('SIGKILL')
    await next.release()
    expect(await isListening(url)).toBe(false)
  })

  it('never have the server stopped under them by one that leaves', async () => {
    let leaving = hold()
    await leaving.started
    for (let round = 0; round < 5; round += 1) {
      const coming = hold()
      const left = leaving.release()
      const { url } = await coming.started
      await left
      expect(await query(url, 'select n from kept')).toEqual([{ n: 1 }])
      leaving = coming
    }
    await leaving.release()
  })

  it('start over when one is killed while it makes the database', async () => {
    const fresh = await killedWhileMaking()
    const next = scratch.hold(app, fresh)
    const { url } = await next.started
    expect(await query(url, 'select 1 as one')).toEqual([{ one: 1 }])
    await next.release()
  })
})

/** A directory whose first user was killed while it made the database. */
async function killedWhileMaking(): Promise<string> {
  const directory = join(await scratch.directory(), 'postgres')
  const user = scratch.hold(app, directory)
  const isMade = user.started.then(() => true)
  isMade.catch(() => {})
  const isMaking = async () =>
    (await readdir(directory).catch(() => [])).some((name) => name.startsWith('unfinished-'))
  while (!(await isMaking())) {
    // On a busy machine nobody may have looked in time.
    if (await Promise.race([isMade, sleep(5, false)])) {
      await user.release()
      return killedWhileMaking()
    }
  }
  await user.kill('SIGKILL')
  return directory
}
