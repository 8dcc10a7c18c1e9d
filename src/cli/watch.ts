import {
  type BackfillClient,
  BackfillError,
  InvalidResponse,
  type JobView,
  ServiceUnreachable,
  TimeoutError,
} from '../client/index.js'
import { pause } from '../pause.js'
import type { Connection } from './connection.js'
import { Interrupted } from './exit.js'
import { printJson } from './stdout.js'
import { exitCodeOf, summaryOf } from './summary.js'
import { WatchScreen } from './watch-screen.js'
import { heard, isOver, type Watched } from './watch-state.js'

/** Between two looks where there is no stream, ms. */
const POLL_MS = 500
/** Between two looks at the hosts, ms; and how much longer than the answer took, so that no job is burdened. */
const HOSTS_EVERY_MS = 5_000
const HOSTS_PATIENCE = 20

/** Waits for the end of a job and shows how it gets on; then tells what came of it, and gives the exit code. */
export async function watch(
  { client, signal }: Connection,
  id: string,
  options: { readonly json?: boolean },
): Promise<number> {
  const job = await untilOver(client, id, signal)
  process.stderr.write(summaryOf(job))
  if (options.json) await printJson(job)
  if (job.failedRepos > 0) say(`Which ones: aquifer jobs repos ${id} --status failed`)
  if (job.totalRecords > 0) say(`The records: aquifer records ${id} -o records.jsonl`)
  return exitCodeOf(job)
}

const say = (text: string) => process.stderr.write(`${text}\n`)

async function untilOver(client: BackfillClient, id: string, signal: AbortSignal): Promise<JobView> {
  const screen = new WatchScreen(process.stderr)
  const over = new AbortController()
  try {
    // A refusal is best told by a plain call, and the first picture need not wait for a stream.
    const watched: { now: Watched } = {
      now: { job: await client.getJobStatus(id, { signal }), hosts: null, lostAt: null },
    }
    const show = (change: Partial<Watched>) => {
      watched.now = { ...watched.now, ...change }
      screen.show(watched.now)
    }
    if (isOver(watched.now.job)) return watched.now.job
    show({})
    if (screen.isLive) void followHosts(client, id, (hosts) => show({ hosts }), over.signal)
    return await followJob(client, watched, show, signal)
  } catch (error) {
    if (!signal.aborted) throw error
    screen.close()
    throw new Interrupted(`The job goes on without you. Come back to it with: aquifer jobs watch ${id}`)
  } finally {
    over.abort()
    screen.close()
  }
}

type Show = (change: Partial<Watched>) => void

async function followJob(
  client: BackfillClient,
  watched: { now: Watched },
  show: Show,
  signal: AbortSignal,
): Promise<JobView> {
  const { id } = watched.now.job
  let isHeard = false
  try {
    for (;;) {
      const onReconnect = () => show({ lostAt: watched.now.lostAt ?? Date.now() })
      for await (const message of client.watch(id, { signal, onReconnect })) {
        isHeard = true
        show(heard(watched.now, message))
      }
      // Whoever asks again may have put it to work again.
      const job = await client.getJobStatus(id, { signal })
      if (isOver(job)) return job
    }
  } catch (error) {
    if (isHeard || signal.aborted || !mayHaveNoStreams(error)) throw error
    const onProgress = (job: JobView) => show({ job, lostAt: null })
    return client.waitForJob(id, { pollMs: POLL_MS, onProgress, signal })
  }
}

/** An older service, or something on the way that lets no WebSocket through. Plain calls may be answered. */
function mayHaveNoStreams(error: unknown): boolean {
  if (error instanceof ServiceUnreachable || error instanceof TimeoutError) return true
  if (error instanceof InvalidResponse) return true
  return error instanceof BackfillError && [400, 404, 405, 426, 501].includes(error.status)
}

/** Keeps the hosts up to date; the job is watched without them where they are not to be had. */
async function followHosts(
  client: BackfillClient,
  id: string,
  show: (hosts: Watched['hosts']) => void,
  signal: AbortSignal,
): Promise<void> {
  while (!signal.aborted) {
    const askedAt = performance.now()
    const hosts = await client.getPdsSummary(id, { signal }).catch((error: unknown) => {
      return error instanceof BackfillError && mayPass(error) ? null : undefined
    })
    // An answer that comes when all is over is shown to nobody.
    if (hosts === undefined || signal.aborted) return
    if (hosts !== null) show(hosts)
    const waitMs = Math.max(HOSTS_EVERY_MS, HOSTS_PATIENCE * (performance.now() - askedAt))
    await pause(waitMs, signal)
  }
}

function mayPass({ status }: BackfillError): boolean {
  return status === 0 || status === 429 || (status >= 500 && status !== 501)
}
