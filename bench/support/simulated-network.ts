import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import type { RateLimit } from '../../test/support/simulation/rate-limit.js'
import type { StatsReport } from '../../test/support/simulation/stats.js'
import { programPath } from './program.js'

const PROGRAM = programPath(import.meta.url, './simulation-process')

export interface SimulatedNetworkWish {
  readonly seed: number
  readonly hosts: number
  readonly repos: number
  /** 0: all hosts are alike. The larger, the more accounts the first ones have. */
  readonly skew: number
  /** Before each answer of a PDS. */
  readonly latencyMs: number
  /** Of each host; none when absent. */
  readonly limits?: readonly RateLimit[]
}

interface Started {
  /** What points a service at it. */
  readonly environment: Readonly<Record<string, string>>
  /** Where it says what it has seen. */
  readonly report: string
  /** DID and PDS of each. */
  readonly accounts: readonly (readonly [string, string])[]
}

export interface SimulatedNetwork extends Omit<Started, 'report'>, AsyncDisposable {
  /** What its hosts have seen so far. */
  seen(): Promise<StatsReport>
}

/** The simulated network of the tests in a process of its own: repos of one to three records, no faults. */
export async function startSimulatedNetwork(wish: SimulatedNetworkWish): Promise<SimulatedNetwork> {
  const child = fork(PROGRAM, [JSON.stringify(wish)])
  const { report, ...started } = await startOf(child)
  return {
    ...started,
    seen: async () => (await (await fetch(report)).json()) as StatsReport,
    async [Symbol.asyncDispose]() {
      const exited = once(child, 'exit')
      child.disconnect()
      await exited
    },
  }
}

async function startOf(child: ChildProcess): Promise<Started> {
  const failed = once(child, 'exit').then(() => {
    throw new Error('the process of the simulated network has ended')
  })
  failed.catch(() => {})
  const [started] = await Promise.race([once(child, 'message'), failed])
  return started as Started
}
