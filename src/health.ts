import type { Service } from './service.js'
import { VERSION } from './version.js'

/** How long the database may take to answer. */
const ANSWER_MS = 2_000

/** What a health check says, and with which status. */
export interface Health {
  readonly status: 200 | 503
  readonly body: { readonly version: string; readonly database: string; readonly engine: string }
}

/** Whether this process can do its part. */
export async function checkHealth({
  store,
  engine,
  now,
}: Pick<Service, 'store' | 'engine' | 'now'>): Promise<Health> {
  const database = (await inTime(store.pool.query('select 1'))) !== null
  const work = stateOf(engine, now())
  const isHealthy = database && (work === 'elsewhere' || work === 'running')
  const body = { version: VERSION, database: database ? 'ok' : 'unreachable', engine: work }
  return { status: isHealthy ? 200 : 503, body }
}

/** `elsewhere`, `running`, `stalled`, or why it stands still. */
function stateOf(engine: Service['engine'], now: number): string {
  if (engine === null) return 'elsewhere'
  if (engine.halted !== null) return `halted: ${engine.halted}`
  return engine.isAlive(now) ? 'running' : 'stalled'
}

/** What a query gives; null when it fails, or takes longer than somebody waits who asks how things are. */
export async function inTime<T>(query: Promise<T>): Promise<T | null> {
  const late = new Promise<null>((resolve) => setTimeout(resolve, ANSWER_MS, null).unref())
  return Promise.race([query.catch(() => null), late])
}
