import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startEmbeddedPostgres } from '../src/postgres/embedded.js'
import { migrate, openStore, type Store } from '../src/store/database.js'
import { dispatch } from './dispatch.js'
import { write } from './write.js'

/**
 * `npm run bench -- NAME [--json]`: measures something against a baseline in the same run and prints ratios.
 * Times on a shared machine mean little; what one way costs beside another holds.
 */

export interface Benchmark {
  readonly about: string
  /** @param say prints a line for people */
  run(store: Store, say: (line: string) => void): Promise<Record<string, number>>
}

const BENCHMARKS: Record<string, Benchmark> = { dispatch, write }

const [name, ...flags] = process.argv.slice(2)
const benchmark = name === undefined ? undefined : BENCHMARKS[name]
if (!name || !benchmark || flags.some((flag) => flag !== '--json')) {
  const known = Object.entries(BENCHMARKS).map(([key, { about }]) => `  ${key.padEnd(12)}${about}`)
  process.stderr.write(`Usage: npm run bench -- NAME [--json]\n\n${known.join('\n')}\n`)
  process.exit(2)
}

const json = flags.includes('--json')
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
    const figures = await benchmark.run(store, (line) => process.stderr.write(`${line}\n`))
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
