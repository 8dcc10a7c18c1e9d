import { readdir, readFile } from 'node:fs/promises'
import type { Pool } from '../../src/store/database.js'

/** Clock ticks a second in `/proc`: the same on every Linux. */
const TICKS_PER_SECOND = 100

/** Seconds of CPU used so far. */
export interface CpuSeconds {
  readonly node: number
  /** Null where there is no `/proc`. */
  readonly postgres: number | null
}

/** What this process and the database server have used, their ended children included. */
export async function cpuSeconds(pool: Pool): Promise<CpuSeconds> {
  const { user, system } = process.cpuUsage()
  return { node: (user + system) / 1e6, postgres: await postgresSeconds(pool).catch(() => null) }
}

async function postgresSeconds(pool: Pool): Promise<number> {
  const { rows } = await pool.query<{ pid: number }>('select pg_backend_pid() as pid')
  const { parent: postmaster } = await statOf(rows[0]!.pid)
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name)).map(Number)
  const stats = await Promise.all(pids.map((pid) => statOf(pid).catch(() => null)))
  const server = stats.filter((stat) => stat?.pid === postmaster || stat?.parent === postmaster)
  return server.reduce((sum, stat) => sum + stat!.own + (stat!.pid === postmaster ? stat!.ended : 0), 0)
}

/** A process by proc(5): its CPU time, and that of its children that have ended, in seconds. */
async function statOf(pid: number): Promise<{ pid: number; parent: number; own: number; ended: number }> {
  const text = await readFile(`/proc/${pid}/stat`, 'latin1')
  // The name before it may hold anything.
  const [, parent, ...fields] = text.slice(text.lastIndexOf(')') + 2).split(' ')
  const [user, system, endedUser, endedSystem] = fields
    .slice(9, 13)
    .map((ticks) => Number(ticks) / TICKS_PER_SECOND)
  return { pid, parent: Number(parent), own: user! + system!, ended: endedUser! + endedSystem! }
}
