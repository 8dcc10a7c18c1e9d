import { EventsMissing, followRelay, type RelayEvent } from 'aquifer/client'
import { STATUS } from './backfill.ts'
import type { Store } from './store.ts'

/** Follows a relay from its position, until the signal says stop or events are missing. */
export async function follow(store: Store, relay: string, signal: AbortSignal): Promise<void> {
  const cursor = store.positions().find((position) => position.relay === relay)!.seq
  const onReconnect = ({ error }: { error: Error }) => console.error(`${relay}: ${error.message}`)
  try {
    for await (const event of followRelay(relay, { cursor, collections: [STATUS], signal, onReconnect })) {
      if (!store.advance(relay, event.seq, () => apply(store, event))) return
    }
  } catch (error) {
    if (signal.aborted) return
    if (!(error instanceof EventsMissing)) throw error
    console.error(`${error.message}: everything is read again`)
    store.startOver()
  }
}

/** What an event changes, in the transaction of its position. */
function apply(store: Store, event: RelayEvent): void {
  const { did } = event
  switch (event.type) {
    case 'commit':
      // The rule of the cutover: what the backfill has seen does not count again. Where its receipt has no rev, every
      // event counts; the last one is right in the end.
      if (event.changes?.length === 0 || !store.isNews(did, event.rev)) break
      if (event.changes) store.changeRepo(did, event.rev, event.changes)
      else store.readAgain(did)
      break
    case 'sync':
      if (!store.isNews(did, event.rev)) break
      if (event.isEmpty) store.replaceRepo(event, [])
      else store.readAgain(did)
      break
    case 'account':
      if (event.active) store.showRepo(did)
      else store.loseRepo(did, event.status)
      break
    case 'identity':
      if (event.handle) store.setHandle(did, event.handle)
  }
}
