import { BackfillClient, callerDidDocument, generateKey } from '../../src/client/index.js'
import { readConfig } from '../../src/config.js'
import { createLogger } from '../../src/events.js'
import { startService } from '../../src/service.js'
import type { Pool } from '../../src/store/database.js'
import { findFreePort } from '../../test/support/network/loopback.js'
import { BENCH_CALLER } from './timed-job.js'

export interface BenchApi extends AsyncDisposable {
  readonly client: BackfillClient
}

/** The service's API without an engine, and a client of it whose DID document is at hand. */
export async function startBenchApi(pool: Pool, url: string): Promise<BenchApi> {
  const key = await generateKey()
  const document = callerDidDocument({ hostname: BENCH_CALLER, key })
  await pool.query('insert into identity (did, document, updated_at) values ($1, $2, now())', [
    document.id,
    JSON.stringify(document),
  ])
  const config = readConfig({
    PORT: String(await findFreePort()),
    DATABASE_URL: url,
    BACKFILL_ACCESS: 'open',
    QUOTA_REQUESTS_PER_MINUTE: '0',
    LOG_LEVEL: 'warn',
  })
  const logger = createLogger(config.logLevel, 'stderr')
  const service = await startService({ config, logger, api: true, engine: false })
  return {
    client: new BackfillClient({ service: config.server.publicUrl, did: document.id, key }),
    [Symbol.asyncDispose]: () => service[Symbol.asyncDispose](),
  }
}
