// A process that uses the embedded Postgres of the directory it is given, until it reads a line or is killed.
// It answers in lines of JSON: what it got, or why it got nothing.
import { once } from 'node:events'
import { startEmbeddedPostgres } from './postgres/embedded.js'

const say = (message) => process.stdout.write(`${JSON.stringify(message)}\n`)
try {
  const postgres = await startEmbeddedPostgres({
    dataDirectory: process.argv[2],
    log: (event, detail) => say({ event, detail }),
  })
  say({ url: postgres.url, adopted: postgres.adopted })
  await once(process.stdin, 'data')
  await postgres.release()
  say({ released: true })
} catch (error) {
  say({ error: `${error.name}: ${error.message}` })
  process.exitCode = 1
}
// Nothing else is to keep the process alive.
process.stdin.destroy()
