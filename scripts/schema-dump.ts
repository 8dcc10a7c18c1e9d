import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { startEmbeddedPostgres } from '../src/postgres/embedded.js'
import { migrate, openStore } from '../src/store/database.js'
import { describeSchema } from '../test/support/describe-schema.js'

/**
 * Writes what the migrations make to `test/schema.sql`, for readers and reviewers; a test compares the two. Uses
 * an embedded Postgres of its own, which is gone afterwards.
 */

const HEADER =
  '-- The schema as the migrations make it, written by `npm run schema:dump`. To change it, change the migrations.\n'

const target = fileURLToPath(new URL('../test/schema.sql', import.meta.url))
const directory = await mkdtemp(join(tmpdir(), 'aquifer-schema-'))
try {
  const server = await startEmbeddedPostgres({ dataDirectory: join(directory, 'postgres') })
  const store = openStore({
    url: server.url,
    connections: 2,
    applicationName: 'aquifer-schema-dump',
    onError: (error) => console.error(error.message),
  })
  try {
    await migrate(store)
    await writeFile(target, `${HEADER}\n${await describeSchema(store.pool)}`)
  } finally {
    await store[Symbol.asyncDispose]()
    await server.release()
  }
} finally {
  await rm(directory, { recursive: true, force: true })
}
console.log(`${target} written`)
