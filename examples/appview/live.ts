import { websocket } from '@atproto/ws-client'
import { STATUS } from './backfill.ts'
import { changesIn, type Event, isEmptyRepo, readFrame } from './firehose.ts'
import type { Store } from './store.ts'

/** Follows a relay from its position, until the signal says stop or events are missing. */
export async function follow(store: Store, relay: string, signal: AbortSignal): Promise<void> {
  // Made for each connection: after a lost one it goes on where the table is.
  const url = () => {
    const { seq } = store.positions().find((position) => position.relay === relay)!
    return `${relay.replace(/^http/, 'ws')}/xrpc/com.atproto.sync.subscribeRepos?cursor=${seq}`
  }
  const onReconnect = (error: unknown) => console.error(`${relay}: ${error}`)
  try {
    const frames = websocket(url, { dataMode: 'binary', signal, shouldReconnect: () => true, onReconnect })
    for await (const frame of frames) {
      const event = readFrame(frame)
      if (event.type !== 'notice') {
        if (!store.advance(relay, event.seq, () => apply(store, event))) return
      } else if (event.name === 'OutdatedCursor' || event.name === 'FutureCursor') {
        console.error(`${relay}: ${event.name}, everything is read again`)
        return store.startOver()
      }
    }
  } catch (error) {
    if (!signal.aborted) throw error
  }
}

/** What an event changes, in the transaction of its position. */
function apply(store: Store, event: Event): void {
  switch (event.type) {
    case '#commit': {
      const { repo, rev } = event
      const changes = changesIn(event, STATUS)
      // The rule of the cutover: what the backfill has seen does not count again. Where its receipt has no rev, every
      // event counts; the last one is right in the end.
      if (changes?.length === 0 || !store.isNews(repo, rev)) break
      if (changes) store.applyChanges(repo, rev, changes)
      else store.readAgain(repo)
      break
    }
    case '#sync':
      // The repo is not what its commits have made of it.
      if (!store.isNews(event.did, event.rev)) break
      if (isEmptyRepo(event.blocks)) store.replaceRepo(event, [])
      else store.readAgain(event.did)
      break
    case '#account':
      if (event.active) store.showRepo(event.did)
      else if (event.status === 'deleted') store.forgetRepo(event.did)
      else store.hideRepo(event.did)
      break
    case '#identity':
      if (event.handle) store.setHandle(event.did, event.handle)
  }
}
