import { setTimeout as sleep } from 'node:timers/promises'
import type { BackfillClient } from 'aquifer/client'
import type { Backfill, Store } from './store.ts'

export const STATUS = 'xyz.statusphere.status'

/** How long repos that are read again wait for one whose host does not answer. */
const PATIENCE_MS = 600_000

/** Waits until something is to be read and reads it. What goes wrong is tried again. */
export async function fill(client: BackfillClient, store: Store): Promise<Backfill> {
  for (;;) {
    const backfill = store.nextBackfill()
    try {
      if (backfill) return await run(client, store, backfill)
      await sleep(1_000)
    } catch (error) {
      console.error(`backfill ${backfill?.id}: ${error}`)
      await sleep(10_000)
    }
  }
}

/** @returns the backfill with the positions from which the relays are to be followed now */
async function run(client: BackfillClient, store: Store, backfill: Backfill): Promise<Backfill> {
  const { id, token, repos } = backfill
  // Whoever is killed before the answer comes asks again: the same token makes the same job.
  const job = await client.createJob({ clientToken: token, collections: [STATUS], ...(repos && { repos }) })
  const cursor = store.beginBackfill(backfill, job.id)
  console.log(`backfill ${id}: ${repos?.length ?? 'all'} repos, job ${job.id} from ${cursor}`)

  const giveUp = () => client.cancelJob(job.id).catch(() => {})
  const timer = repos && setTimeout(giveUp, PATIENCE_MS)
  try {
    for await (const message of client.repos(job.id, { cursor })) {
      if (message.type === 'repoFailed')
        console.error(`${message.did}: ${message.class} (${message.message})`)
      if ('seq' in message) store.closeRepo(backfill, message)
      // Repos may be missing that nobody knows of: "aquifer jobs retry" goes on with the search for them.
      if (message.type === 'jobCompleted' && message.status !== 'completed' && repos === null)
        throw new Error(`job ${job.id} ${message.status}: ${message.error}`)
    }
  } finally {
    if (timer) clearTimeout(timer)
  }

  // Repos that are read again have the positions of before there was a job.
  if (backfill.positions) return backfill
  const { startCursors = [] } = await client.getJobStatus(job.id)
  if (startCursors.length === 0) throw new Error(`job ${job.id} does not know where any relay was`)
  return { ...backfill, positions: startCursors }
}
