import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { promisify } from 'node:util'
import { systemErrorCode } from './errors.js'

/** One process for as long as it lives: its id is given to another one later, the pair is not. */
export interface ProcessIdentity {
  readonly pid: number
  /** When it started, in a form that only serves to be compared: letters, digits and dashes. */
  readonly startedAt: string
}

export interface RunningProcess extends ProcessIdentity {
  /** What it was called with, the program first; undefined where the system does not tell. */
  readonly arguments: readonly string[] | undefined
}

/** What reading /proc fails with when there is no such process, or it ends meanwhile. */
const GONE = new Set(['ENOENT', 'ESRCH'])

/**
 * The process with this id, if it lives. A zombie does not: nothing is left of it but the exit code which
 * its parent has not read, yet the id still answers signals.
 */
export async function findProcess(pid: number): Promise<RunningProcess | undefined> {
  if (process.platform === 'linux') return findInProc(pid)
  if (process.platform === 'win32') return findBySignal(pid)
  return findByPs(pid)
}

/** Whether the very process that `identity` names still lives. */
export async function isAlive(identity: ProcessIdentity): Promise<boolean> {
  return (await findProcess(identity.pid))?.startedAt === identity.startedAt
}

/** The identity of the process this runs in. */
export async function thisProcess(): Promise<ProcessIdentity> {
  const self = await findProcess(process.pid)
  if (self === undefined)
    throw new Error(`the system does not know process ${process.pid}, which is this one`)
  return { pid: self.pid, startedAt: self.startedAt }
}

async function findInProc(pid: number): Promise<RunningProcess | undefined> {
  try {
    const stat = parseStat(await readFile(`/proc/${pid}/stat`, 'utf8'))
    if (stat.dead) return undefined
    const commandLine = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => undefined)
    return {
      pid,
      startedAt: `${await bootIdentity()}-${stat.startTicks}`,
      arguments: commandLine?.split('\0'),
    }
  } catch (error) {
    if (GONE.has(systemErrorCode(error) ?? '')) return undefined
    throw error
  }
}

/**
 * What `/proc/<pid>/stat` says (proc(5)): whether the process is dead (states Z, X and x), and when it started,
 * in clock ticks since boot (field 22). Its second field, the program's name, may hold spaces and brackets.
 */
export function parseStat(stat: string): { dead: boolean; startTicks: string } {
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return { dead: ['Z', 'X', 'x'].includes(fields[0] ?? 'X'), startTicks: fields[19] ?? '' }
}

let bootId: string | undefined

/** Ticks count from the boot, so the boot is part of the identity: ids and ticks both repeat after one. */
async function bootIdentity(): Promise<string> {
  bootId ??= (await readFile('/proc/sys/kernel/random/boot_id', 'utf8').catch(() => 'unknown'))
    .trim()
    .slice(0, 8)
  return bootId
}

/** For systems without /proc, such as macOS. */
async function findByPs(pid: number): Promise<RunningProcess | undefined> {
  try {
    const columns = ['-ww', '-o', 'stat=', '-o', 'lstart=', '-o', 'command=', '-p', String(pid)]
    const { stdout } = await promisify(execFile)('ps', columns, {
      env: { PATH: process.env.PATH, LC_ALL: 'C', TZ: 'UTC' },
    })
    return parsePs(pid, stdout)
  } catch (error) {
    // ps ends with code 1 when it found nothing.
    if (error instanceof Error && 'code' in error && error.code === 1) return undefined
    throw error
  }
}

/** `Ss   Sat Nov 21 07:47:01 2026 postgres -D /data` */
function parsePs(pid: number, line: string): RunningProcess | undefined {
  const [state, ...rest] = line.trim().split(/\s+/)
  if (state === undefined || state === '' || state.startsWith('Z')) return undefined
  return {
    pid,
    startedAt: rest
      .slice(0, 5)
      .join('-')
      .replaceAll(/[^\w-]/g, '-'),
    // Wrong where an argument holds a space, which ps does not show.
    arguments: rest.slice(5),
  }
}

/** Windows tells Node only whether the id is in use. */
function findBySignal(pid: number): RunningProcess | undefined {
  try {
    process.kill(pid, 0)
  } catch (error) {
    if (systemErrorCode(error) !== 'EPERM') return undefined
  }
  return { pid, startedAt: 'unknown', arguments: undefined }
}
