import type {
  DeletedRecordView,
  RecordView,
} from '../../codegen/client/types/network/example/backfill/defs.js'
import type { RepoComplete } from '../../codegen/client/types/network/example/backfill/subscribeRecords.js'
import type { Named } from './job-messages.js'
import type { RecordMessage } from './record-messages.js'

/** A repo that is complete, with its records: all of them, or with `since` what has changed. */
export type WholeRepo = Named<'repo', RepoComplete> & {
  readonly did: string
  readonly records: readonly RecordView[]
  /** Records that are gone, where only changes were asked for. */
  readonly deleted: readonly DeletedRecordView[]
}

/** What `repos` gives: each repo once, when it is closed. */
export type RepoMessage =
  | WholeRepo
  | Exclude<RecordMessage, { type: 'records' | 'recordsDeleted' | 'repoComplete' }>

/**
 * Gathers the records of each repo until it is closed.
 * @param open makes the stream; calls back when a lost connection is made again
 */
export async function* wholeRepos(
  open: (onReconnect: () => void) => AsyncIterable<RecordMessage>,
): AsyncGenerator<RepoMessage, void, undefined> {
  let did = ''
  let records: RecordView[] = []
  let deleted: DeletedRecordView[] = []
  const begin = (next: string) => {
    did = next
    records = []
    deleted = []
  }
  // The repo under way begins anew, and may have no records left that would say so.
  for await (const message of open(() => begin(''))) {
    switch (message.type) {
      case 'records':
      case 'recordsDeleted':
        // What came of a repo that begins anew, or was left for another one, does not count.
        if (message.part === 0 || message.did !== did) begin(message.did)
        if (message.type === 'records') records.push(...message.records)
        else deleted.push(...message.records)
        break
      case 'repoComplete': {
        const { type: _, ...closing } = message
        if (closing.receipt.did !== did) begin(closing.receipt.did)
        yield { type: 'repo', ...closing, did, records, deleted }
        begin('')
        break
      }
      default:
        begin('')
        yield message
    }
  }
}
