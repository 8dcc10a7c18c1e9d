import { parseArgs } from 'node:util'
import type { Addressing } from './addresses.js'
import type { RateLimit } from './rate-limit.js'
import { type Simulation, startSimulation } from './simulation.js'

/**
 * Runs a simulation as a process of its own, for a service or a benchmark in another one. Prints the environment
 * that points a service at it, as lines for a shell; with `--json` as one line of JSON. Ends with its standard
 * input or by a signal, and says then what it has seen. What it has seen so far is at `/_simulation` on 127.0.0.1.
 */

const USAGE = `Usage: tsx test/support/simulation/main.ts [options]

  --seed N        of the world and of the faults (1)
  --hosts N       (12)
  --repos N       (300)
  --size SIZE     tiny, skewed, or so many records in each repo (skewed)
  --web N         accounts with a did:web (0)
  --relays N      (1)
  --latency MS    before each answer of a PDS (0)
  --limit N/S     requests that a PDS takes in so many seconds, such as 3000/300 (none)
  --faults N      accounts that meet each kind of fault (0)
  --warm          make all records before anybody asks: for measurements
  --names         hosts by names of *.sim.test, for a lookup of one's own; by addresses of 127.0.0.0/8 without
  --json          the environment as JSON`

const { values } = parseArgs({
  options: {
    seed: { type: 'string', default: '1' },
    hosts: { type: 'string', default: '12' },
    repos: { type: 'string', default: '300' },
    size: { type: 'string', default: 'skewed' },
    web: { type: 'string', default: '0' },
    relays: { type: 'string', default: '1' },
    latency: { type: 'string', default: '0' },
    limit: { type: 'string' },
    faults: { type: 'string', default: '0' },
    warm: { type: 'boolean', default: false },
    names: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
})

if (values.help) {
  console.log(USAGE)
} else {
  const addressing: Addressing = values.names ? 'names' : 'addresses'
  const size = values.size === 'tiny' || values.size === 'skewed' ? values.size : whole('size', values.size)
  const faults = whole('faults', values.faults)
  const simulation = await startSimulation({
    addressing,
    size,
    seed: whole('seed', values.seed),
    hosts: whole('hosts', values.hosts),
    repos: whole('repos', values.repos),
    webRepos: whole('web', values.web),
    relays: whole('relays', values.relays),
    latencyMs: whole('latency', values.latency),
    ...(values.limit !== undefined && { limit: limitOf(values.limit) }),
    ...(faults > 0 && { faults }),
    ...(values.warm && { heldRecords: Number.POSITIVE_INFINITY }),
  })
  if (values.warm) simulation.repos.warm()
  print(simulation)
  await ended()
  console.error(JSON.stringify(simulation.report().totals))
  await simulation[Symbol.asyncDispose]()
}

function print({ environment, addresses }: Simulation): void {
  if (values.json) {
    console.log(JSON.stringify({ environment, report: addresses.report }))
    return
  }
  for (const [name, value] of Object.entries(environment)) console.log(`export ${name}='${value}'`)
  console.log(`# What it has seen: curl ${addresses.report}`)
}

function ended(): Promise<void> {
  return new Promise((resolve) => {
    process.once('SIGINT', resolve).once('SIGTERM', resolve)
    process.stdin.once('end', resolve).resume()
  })
}

function whole(name: string, text: string): number {
  if (/^\d{1,9}$/.test(text)) return Number(text)
  throw new Error(`--${name} ${text}: not a whole number\n\n${USAGE}`)
}

function limitOf(text: string): RateLimit {
  const [, points, seconds] = /^(\d{1,9})\/(\d{1,6})$/.exec(text) ?? []
  if (points === undefined) throw new Error(`--limit ${text}: not a limit such as 3000/300\n\n${USAGE}`)
  return {
    points: Number(points),
    windowMs: Number(seconds) * 1_000,
    announces: 'honest',
    refuses: 'seconds',
  }
}
