/**
 * A whole backfill by way of an Aquifer service: start a job, watch it, look at what failed, read the records.
 *
 * Run it with Node 22.19 or newer in a folder where the package is installed:
 *
 *   AQUIFER_SERVICE=http://localhost:3000 \
 *   AQUIFER_DID=did:web:app.example.com \
 *   AQUIFER_KEY="$(cat app.key)" \
 *   node client.ts com.example.post com.example.like
 */
import { BackfillClient, type JobView, RateLimitExceeded, ServiceUnreachable } from 'aquifer/client'

const { AQUIFER_SERVICE = 'http://localhost:3000', AQUIFER_DID = '', AQUIFER_KEY = '' } = process.env
const collections = process.argv.slice(2)

// Who calls: your service's DID, and the private key whose public half its DID document has as #atproto.
// "aquifer callers new --did-web app.example.com" makes both. To call with an account instead of a key:
//   session: await PdsSession.login({ identifier: 'alice.example.com', password: 'an app password' })
const client = new BackfillClient({ service: AQUIFER_SERVICE, did: AQUIFER_DID, key: AQUIFER_KEY })

// Ctrl-C ends the program wherever it is. The job goes on: it is the service that does the work.
const interrupted = new AbortController()
process.once('SIGINT', () => interrupted.abort())
const { signal } = interrupted

try {
  // Every record of these collections, in all repos that have any. Name `repos` to ask for these only.
  const { id } = await client.createJob({ collections, name: 'my first backfill' }, { signal })
  console.error(`job ${id}`)

  // Returns when the job has ended; in between it tells how far it has come.
  const job = await client.waitForJob(id, { signal, onProgress: showProgress })
  console.error(`${job.status}: ${job.totalRecords} records of ${job.completedRepos} repos`)
  if (job.status !== 'completed') throw new Error(job.error ?? `the job was ${job.status}`)

  // A job that is completed may have repos that are not: their account is gone, or their host is broken.
  for await (const repo of client.allRepos(id, { status: 'failed' }, { signal })) {
    console.error(`${repo.did} failed: ${repo.failure?.class} (${repo.failure?.message})`)
  }

  // Page after page, as you take them. Each record is as its PDS gave it: { uri, cid, value }.
  for await (const record of client.allRecords(id, {}, { signal })) {
    console.log(JSON.stringify(record))
  }
} catch (error) {
  // What may pass by itself was tried again already. Each refusal has a class of its own; these are two of them.
  if (signal.aborted) console.error('interrupted')
  else if (error instanceof ServiceUnreachable) console.error(`${error.message} Set AQUIFER_SERVICE.`)
  else if (error instanceof RateLimitExceeded) console.error(`too fast: wait ${error.retryAfter} s`)
  else console.error(error instanceof Error ? `${error.name}: ${error.message}` : error)
  process.exitCode = 1
}

function showProgress(job: JobView): void {
  const total = `${job.totalRepos}${job.discoveryComplete ? '' : '+'}`
  console.error(`${job.processedRepos} of ${total} repos, ${job.totalRecords} records`)
}
