import { setTimeout as sleep } from 'node:timers/promises'
import type { BackfillClient, RecordView, StartCursor } from 'aquifer/client'
import type { Backfill, Store } from './store.ts'

export const STATUS = 'xyz.statusphere.status'

/** A backfill that is in the tables, and the positions from which the relays are to be followed now. */
export interface Filled {
  readonly backfill: Backfill
  readonly positions: readonly StartCursor[]
}

/** Waits for something that is to be read and reads it. What goes wrong is tried again: nothing is lost by it. */
export async function fill(client: BackfillClient, store: Store): Promise<Filled> {
  for (;;) {
    const backfill = store.nextBackfill()
    try {
      if (backfill) return { backfill, positions: await run(client, store, backfill) }
      await sleep(1_000)
    } catch (error) {
      console.error(`backfill ${backfill?.id}: ${error}`)
      await sleep(10_000)
    }
  }
}

async function run(
  client: BackfillClient,
  store: Store,
  backfill: Backfill,
): Promise<readonly StartCursor[]> {
  const { token, repos } = backfill
  // Whoever is killed before the answer comes asks again: the same token makes the same job.
  const job = await client.createJob({ clientToken: token, collections: [STATUS], ...(repos && { repos }) })
  const cursor = store.beginBackfill(backfill, job.id)
  console.log(`backfill ${backfill.id}: ${repos?.length ?? 'all'} repos, job ${job.id} from ${cursor}`)

  // A repo's records come in parts, and count once it is closed.
  let repo: { did: string; records: RecordView[] } = { did: '', records: [] }
  for await (const message of client.records(job.id, { cursor })) {
    switch (message.type) {
      case 'records':
        if (message.part === 0) repo = { did: message.did, records: [] }
        repo.records.push(...message.records)
        break
      case 'repoComplete': {
        const { seq, receipt } = message
        const records = repo.did === receipt.did ? repo.records : []
        store.closeRepo(backfill, seq, receipt.did, () => store.replaceRepo(receipt, records))
        break
      }
      case 'repoUnavailable': {
        const { seq, did, reason } = message
        const isDeleted = reason === 'deleted' || reason === 'tombstoned'
        store.closeRepo(backfill, seq, did, () => (isDeleted ? store.forgetRepo(did) : store.hideRepo(did)))
        break
      }
      case 'repoFailed': {
        const { seq, did } = message
        console.error(`${did}: ${message.class} (${message.message})`)
        store.closeRepo(backfill, seq, did, () => store.postponeRepo(did))
        break
      }
      case 'jobCompleted':
        // Repos may be missing that nobody knows of: "aquifer jobs retry" goes on with the search for them.
        if (message.status !== 'completed')
          throw new Error(`job ${job.id} ${message.status}: ${message.error}`)
    }
  }

  // Repos that were read beside the live stream: from where that was before the job was there.
  if (backfill.positions) return backfill.positions
  const { startCursors = [] } = await client.getJobStatus(job.id)
  if (startCursors.length === 0) throw new Error(`job ${job.id} does not know where any relay was`)
  return startCursors
}
