import pg from 'pg'
import { readConfig } from '../../src/config.js'
import { createLogger } from '../../src/events.js'
import { startService } from '../../src/service.js'
import type { Reading } from './worker-process.js'

/**
 * A program that is `aquifer worker` with a meter at its database: how long it waits for the statements that claim
 * repos and for those that write what became of them. Its parent asks for the reading; the first outcome is told
 * unasked.
 */

/** The query of which the claim consists says this and no other does. */
const CLAIM = 'max(receipt.rev)'
/** Of what a batch writes, whether its records are new or not. */
const CHECKPOINTS = new Set<string | undefined>(['write-steps', 'write-steps-over'])
/** Where the statement's parameters have the statuses, as bytes, and how many steps there are. */
const STATUSES_AT = 5
const STEPS_AT = 31

let isTold = false
const meter = { claims: 0, claimMs: 0, steps: 0, checkpointMs: 0 }

type Query = (this: pg.Client, config: unknown, values?: unknown, callback?: unknown) => unknown
const prototype = pg.Client.prototype as unknown as { query: Query }
const send = prototype.query
prototype.query = function query(config, values, callback) {
  const {
    name,
    text,
    values: inside,
  } = (typeof config === 'string' ? { text: config } : config) as {
    name?: string
    text?: string
    values?: unknown[]
  }
  const answer = send.call(this, config, values, callback)
  if (!(answer instanceof Promise)) return answer
  const began = performance.now()
  if (CHECKPOINTS.has(name)) void answer.then(() => checkpoint(inside!, began), ignore)
  else if (text?.includes(CLAIM)) void answer.then(() => claim(began), ignore)
  return answer
}

function checkpoint(parameters: readonly unknown[], began: number): void {
  if (!isTold && String(parameters[STATUSES_AT]).includes('completed')) {
    isTold = true
    process.send?.('written')
  }
  meter.steps += Number(parameters[STEPS_AT])
  meter.checkpointMs += performance.now() - began
}

function claim(began: number): void {
  meter.claims += 1
  meter.claimMs += performance.now() - began
}

function ignore(): void {}

process.on('disconnect', () => process.exit())
process.on('message', () => {
  const { rss } = process.memoryUsage()
  const { user, system } = process.cpuUsage()
  const reading: Reading = {
    ...meter,
    cpuSeconds: (user + system) / 1e6,
    rssMb: rss / 2 ** 20,
    // In kilobytes, wherever it is told at all.
    peakRssMb: process.resourceUsage().maxRSS / 2 ** 10,
  }
  process.send?.(reading)
})

const config = readConfig(process.env)
await startService({ config, logger: createLogger(config.logLevel, 'stderr'), api: false, engine: true })
