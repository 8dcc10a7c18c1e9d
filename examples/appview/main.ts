/**
 * A small AppView of Statusphere: every status there is, and every one that comes. See README.md.
 *
 * There is no code that ends it in good order. Kill it whenever you like: it goes on where it was.
 */
import { createServer } from 'node:http'
import { BackfillClient } from 'aquifer/client'
import { fill } from './backfill.ts'
import { follow } from './live.ts'
import { Store } from './store.ts'

const { AQUIFER_SERVICE = 'http://localhost:3000', AQUIFER_DID = '', AQUIFER_KEY = '' } = process.env
const { DATABASE = 'statusphere.db', PORT = '8080' } = process.env

const client = new BackfillClient({ service: AQUIFER_SERVICE, did: AQUIFER_DID, key: AQUIFER_KEY })
const store = new Store(DATABASE)

createServer((_request, response) => {
  response.setHeader('content-type', 'application/json').end(JSON.stringify(store.latest()))
}).listen(Number(PORT), 'localhost')

for (;;) {
  // At first nothing is followed: the backfill of everything says from where. Later ones are of single repos, which are
  // not what their events have made of them.
  const stop = new AbortController()
  const live = Promise.all(store.positions().map(({ relay }) => follow(store, relay, stop.signal)))
  const backfill = await fill(client, store)
  stop.abort()
  await live
  store.endBackfill(backfill)
  console.log(`backfill ${backfill.id}: done, live from ${JSON.stringify(backfill.positions)}`)
}
