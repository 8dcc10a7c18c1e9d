import { MessageFrame } from '@atproto/xrpc-server'
import type {
  JobCompleted,
  RecordsDeleted,
  RepoComplete,
  RepoFailed,
  RepoUnavailable,
} from '../../codegen/server/types/network/example/backfill/subscribeRecords.js'
import { Delivery, takenInTime } from '../jobs/delivery.js'
import { textItem } from '../jobs/delivery-bytes.js'
import { CborWriter } from '../jobs/delivery-cbor.js'
import { RecordEncoder } from '../jobs/delivery-records.js'
import { hasEnded } from '../jobs/state.js'
import { AnySignal } from '../signals.js'
import type { DeliveredRepo, DeliveryPage } from '../store/delivery.js'
import type { DeletedRecord } from '../store/delivery-lines.js'
import type { DeliveredReceipt } from '../store/outcomes.js'
import { isRetryable } from '../verdict.js'
import { type ApiContext, askerOf } from './context.js'
import type { Methods } from './index.js'
import { EncodedMessage } from './messages.js'
import { checkCursor, isTooSlow, Rights, refuse, type Streams } from './streams.js'
import { deletedRecordView, receiptView } from './view.js'

/** What a message holds at most; the bytes are those of its records, which leaves some for the rest. */
const RECORDS_MAX = 500
const BYTES_MAX = 1024 * 1024 - 1024

export function subscribeRecords(methods: Methods, ctx: ApiContext, streams: Streams): void {
  const rights = new Rights(ctx)
  const auth = ctx.auth('read')
  methods.subscribeRecords({
    auth: (request) => auth(request).catch((error: unknown) => refuse(ctx, error)),
    handler: async function* ({ params, auth, req, signal }) {
      using ends = new AnySignal(signal, ctx.stopping)
      let end: (() => void) | null = null
      try {
        checkCursor(req.url)
        end = await streams.begin(auth.credentials.did)
        const delivery = await Delivery.open(
          { ...ctx, places: streams.places },
          askerOf(auth.credentials),
          params,
        )
        const assertMay = rights.ofFollower(auth.credentials.did, delivery.job)
        const messages = takenInTime(messagesOf(delivery.follow(ends.signal)))
        for await (const message of ctx.metrics.followed('subscribeRecords', messages, isTooSlow)) {
          await assertMay()
          yield message
        }
      } catch (error) {
        refuse(ctx, error)
      } finally {
        end?.()
      }
    },
  })
}

/** Everything that is in the pages, and the end of the job after the last one, unless the pages were broken off. */
async function* messagesOf(pages: AsyncIterable<DeliveryPage>) {
  const parts = new Parts()
  let last: DeliveryPage | null = null
  for await (const page of pages) {
    last = page
    for (const repo of page.repos) {
      yield* parts.of(repo)
      if (repo.ends) yield closing(repo)
    }
  }
  if (last !== null && !last.more && hasEnded(last.status)) yield ending(last)
}

/** Records in messages, repo by repo. */
class Parts {
  readonly #encoder = new RecordEncoder()
  readonly #head = new CborWriter()
  /** Repos of which some has been handed over, and not all: one may come again much later, under another number. */
  readonly #open = new Set<string>()
  /** The number of the next message. */
  #part = 0

  #message({ seq, did }: DeliveredRepo, { rev, level }: DeliveredReceipt): RecordsMessage {
    const fields = { seq, part: this.#part, did, ...(rev !== null && { rev }), level }
    this.#part += 1
    this.#head.at = 0
    this.#head.write(Buffer.from(JSON.stringify(fields)), 0)
    const head = this.#head.out.subarray(0, this.#head.at)
    // One field more, whose name is the longest and comes last.
    head[0]! += 1
    return new RecordsMessage(this.#encoder.take(FRAME_HEAD, head, RECORDS_FIELD))
  }

  #deletion({ seq, did }: DeliveredRepo, deleted: readonly DeletedRecord[]): EncodedMessage<RecordsDeleted> {
    const part = this.#part
    this.#part += 1
    const records = deleted.map(deletedRecordView)
    return new EncodedMessage<RecordsDeleted>('#recordsDeleted', { seq, part, did, records })
  }

  /** The messages with the records of a repo, and those that are gone: as few as hold them. */
  *of(repo: DeliveredRepo): Generator<RecordsMessage | EncodedMessage<RecordsDeleted>, void, undefined> {
    const isRestarted = repo.begins && this.#open.has(repo.did)
    if (repo.ends) this.#open.delete(repo.did)
    else this.#open.add(repo.did)
    if (repo.outcome.status !== 'completed') return
    const { receipt } = repo.outcome
    if (repo.begins) this.#part = 0
    for (const { bytes } of repo.lines) {
      for (let from = 0; from < bytes.length; ) {
        const next = this.#encoder.add(bytes, from, BYTES_MAX)
        from = next ?? from
        if (next === null || this.#encoder.count === RECORDS_MAX) yield this.#message(repo, receipt)
      }
    }
    // Of a repo that has nothing left, what there was before must be taken back, too.
    const isEmptied = isRestarted && this.#part === 0
    if (this.#encoder.count > 0 || isEmptied) yield this.#message(repo, receipt)
    const deleted = repo.lines.flatMap((lines) => lines.deleted ?? [])
    for (let from = 0; from < deleted.length; from += RECORDS_MAX) {
      yield this.#deletion(repo, deleted.slice(from, from + RECORDS_MAX))
    }
  }
}

const RECORDS_FIELD = textItem('records')

/** `{ "t": "#records", "op": 1 }` */
const FRAME_HEAD = Buffer.concat([
  Buffer.of(0xa2),
  textItem('t'),
  textItem('#records'),
  textItem('op'),
  Buffer.of(1),
])

/** A message whose bytes are there already. */
class RecordsMessage extends MessageFrame {
  readonly $type = '#records'
  readonly #bytes: Uint8Array

  constructor(bytes: Uint8Array) {
    super({}, { type: '#records' })
    this.#bytes = bytes
  }

  override toBytes(): Uint8Array {
    return this.#bytes
  }
}

function closing({ seq, did, outcome }: DeliveredRepo) {
  switch (outcome.status) {
    case 'completed': {
      const receipt = receiptView(outcome.receipt)!
      const { since } = outcome
      return new EncodedMessage<RepoComplete>('#repoComplete', { seq, ...(since && { since }), receipt })
    }
    case 'unavailable':
      return new EncodedMessage<RepoUnavailable>('#repoUnavailable', { seq, did, reason: outcome.reason })
    case 'failed': {
      const { failure, message } = outcome
      const retryable = isRetryable(failure)
      return new EncodedMessage<RepoFailed>('#repoFailed', { seq, did, class: failure, message, retryable })
    }
  }
}

function ending({ status, error }: DeliveryPage) {
  return new EncodedMessage<JobCompleted>('#jobCompleted', { status, ...(error !== null && { error }) })
}
