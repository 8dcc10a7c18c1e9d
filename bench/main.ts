import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startEmbeddedPostgres } from '../src/postgres/embedded.js'
import { migrate, openStore, type Store } from '../src/store/database.js'
import { delivery } from './delivery.js'
import { dispatch } from './dispatch.js'
import { makespan } from './makespan.js'
import { methods } from './methods.js'
import { processes } from './processes.js'
import { refresh } from './refresh.js'
import { scale } from './scale.js'
import { throughput } from './throughput.js'
import { verify } from './verify.js'
import { write } from './write.js'

/**
 * `npm run bench -- NAME [--json] [--short] [--repos N]`: measures something against a baseline in the same run and prints ratios.
 * Times on a shared machine mean little; what one way costs beside another holds.
 */

export interface Benchmark {
  readonly about: string
  /**
   * @param say prints a line for people
   * @param url of the database that the store is open on
   * @param short the short form, where there is one
   * @param repos how many, where that can be chosen and was
   */
  run(
    store: Store,
    say: (line: string) => void,
    url: string,
    short: boolean,
    repos: number | undefined,
  ): Promise<Record<string, number>>
}

const BENCHMARKS: Record<string, Benchmark> = {
  delivery,
  dispatch,
  makespan,
  methods,
  processes,
  refresh,
  scale,
  throughput,
  verify,
  write,
}

const [name, ...flags] = process.argv.slice(2)
const benchmark = name === undefined ? undefined : BENCHMARKS[name]
const reposAt = flags.indexOf('--repos')
const [, repos] = reposAt === -1 ? [] : flags.splice(reposAt, 2).map(Number)
const isUsable =
  (reposAt === -1 || Number.isSafeInteger(repos)) && flags.every((flag) => /^--(json|short)$/.test(flag))
if (!name || !benchmark || !isUsable) {
  const known = Object.entries(BENCHMARKS).map(([key, { about }]) => `  ${key.padEnd(12)}${about}`)
  process.stderr.write(`Usage: npm run bench -- NAME [--json] [--short] [--repos N]\n\n${known.join('\n')}\n`)
  process.exit(2)
}

const json = flags.includes('--json')
const short = flags.includes('--short')
const directory = await mkdtemp(join(tmpdir(), 'aquifer-bench-'))
try {
  // The settings a service gets: a benchmark on a faster database than users have would tell them nothing.
  const server = await startEmbeddedPostgres({ dataDirectory: join(directory, 'postgres') })
  const store = openStore({
    url: server.url,
    connections: 10,
    applicationName: 'aquifer-bench',
    onError: () => {},
  })
  try {
    await migrate(store)
    const say = (line: string) => process.stderr.write(`${line}\n`)
    const figures = await benchmark.run(store, say, server.url, short, repos)
    if (json) process.stdout.write(`${JSON.stringify({ name, figures })}\n`)
    else
      for (const [key, value] of Object.entries(figures)) process.stdout.write(`${key.padEnd(20)}${value}\n`)
  } finally {
    await store[Symbol.asyncDispose]()
    await server.release()
  }
} finally {
  await rm(directory, { recursive: true, force: true })
}
