import { createHash } from 'node:crypto'
import { pipeline, Readable, type Transform } from 'node:stream'
import { constants, createGzip, createZstdCompress } from 'node:zlib'
import { InvalidRequestError, XRPCError } from '@atproto/xrpc-server'
import type {
  QueryParams,
  RecordDeleted,
  RepoComplete,
  RepoRestarted,
  RepoUnavailable,
  Trailer,
} from '../../codegen/server/types/network/example/backfill/exportRecords.js'
import type { Caller } from '../auth/verifier.js'
import { Delivery } from '../jobs/delivery.js'
import { FeedError } from '../jobs/feed-error.js'
import { unlessAborted } from '../jobs/feed-wait.js'
import { openManifest } from '../jobs/manifest-document.js'
import { hasEnded } from '../jobs/state.js'
import { AnySignal } from '../signals.js'
import type { DeliveredRepo } from '../store/delivery.js'
import type { DeletedRecord } from '../store/delivery-lines.js'
import { type ApiContext, askerOf } from './context.js'
import type { Methods } from './index.js'
import { checkCursor, Rights, type Streams } from './streams.js'
import { deletedRecordView, receiptView } from './view.js'

/** What a stream may be compressed by, the better one first: quickly rather than well, it is made while it is sent. */
const ENCODERS: Readonly<Record<string, () => Transform>> = {
  zstd: () => createZstdCompress({ params: { [constants.ZSTD_c_compressionLevel]: 1 } }),
  gzip: () => createGzip({ level: constants.Z_BEST_SPEED }),
}

/** A piece goes out when it is about as long as this. */
const PIECE_LENGTH = 256 * 1024

export function exportRecords(methods: Methods, ctx: ApiContext, streams: Streams): void {
  const rights = new Rights(ctx)

  /** What was asked for, and what it is called. */
  async function open(params: QueryParams, credentials: Caller, signal: AbortSignal) {
    if (params.manifest) {
      checkIsWhole(params)
      const pieces = await openManifest(ctx, askerOf(credentials), params.job)
      return { pieces, filename: `${params.job}.manifest.jsonl` }
    }
    const context = { ...ctx, places: streams.places }
    const delivery = await Delivery.open(context, askerOf(credentials), params).catch((error: unknown) => {
      if (error instanceof FeedError) throw new XRPCError(400, error.message, error.code)
      throw error
    })
    const assertMay = rights.ofFollower(credentials.did, delivery.job)
    const pieces = linesOf(delivery, params.cursor ?? 0, { assertMay, signal })
    return { pieces, filename: `${delivery.job.id}.jsonl` }
  }

  methods.exportRecords({
    auth: ctx.auth('read'),
    handler: async ({ params, auth, req, signal }) => {
      checkCursor(req.url)
      const coding = preferredCoding(req.headers['accept-encoding'])
      const end = await streams.begin(auth.credentials.did)
      const ends = new AnySignal(signal, ctx.stopping)
      const over = () => {
        ends[Symbol.dispose]()
        end()
      }
      try {
        const { pieces, filename } = await open(params, auth.credentials, ends.signal)
        const lines = await begun(pieces, ends.signal)
        const stream = Readable.from(lines, { objectMode: false, signal: ends.signal }).once('close', over)
        return answer(stream, filename, coding)
      } catch (error) {
        over()
        throw ends.signal.aborted ? endedEarly(ctx.stopping) : error
      }
    },
  })
}

/** Nobody is told of a client that has left. */
function endedEarly(stopping: AbortSignal): XRPCError {
  if (stopping.aborted) return new XRPCError(503, 'The service is about to stop', 'ServiceUnavailable')
  return new InvalidRequestError('The request was given up before its answer began')
}

/** @throws InvalidRequestError for a part of a manifest: it is signed as a whole */
function checkIsWhole({ collection, repo, cursor, changes }: QueryParams): void {
  const parts = { collection, repo, cursor, changes: changes || undefined }
  const part = Object.entries(parts).find(([, value]) => value !== undefined)
  if (part) throw new InvalidRequestError(`manifest is for the whole job: it cannot go with ${part[0]}`)
}

function answer(stream: Readable, filename: string, coding: string | null) {
  const encoder = coding === null ? null : ENCODERS[coding]!()
  return {
    encoding: 'application/jsonl' as const,
    body: encoder === null ? stream : pipeline(stream, encoder, () => {}),
    headers: {
      'content-disposition': `attachment; filename="${filename}"`,
      vary: 'accept-encoding',
      ...(coding !== null && { 'content-encoding': coding }),
    },
  }
}

/** A whole stream as it goes out, in pieces of whole lines. */
async function* linesOf(
  delivery: Delivery,
  cursor: number,
  { assertMay, signal }: { readonly assertMay: () => Promise<void>; readonly signal: AbortSignal },
): AsyncGenerator<Buffer, void, undefined> {
  const { seq, status } = delivery.job
  const hash = createHash('sha256')
  const counts = { records: 0, failedRepos: 0, unavailableRepos: 0 }
  let through = cursor
  let open: string | null = null
  for await (const page of delivery.soFar(signal)) {
    await assertMay()
    for (const piece of pieces(page.repos, open, seq)) {
      hash.update(piece)
      yield piece
    }
    for (const repo of page.repos) {
      count(counts, repo)
      open = repo.ends ? null : repo.did
    }
    through = Math.min(page.through, seq)
  }
  // What was handed over of a repo that is not there any more must not be taken for all of it.
  if (open !== null) {
    const last = Buffer.from(restartedLine(open))
    hash.update(last)
    yield last
  }
  const { records, ...repos } = counts
  const sha256 = hash.digest('hex')
  const trailer = { records, sha256, cursor: through, jobEnded: hasEnded(status), ...repos }
  yield Buffer.from(line<Trailer>('trailer', trailer))
}

function count(
  counts: { records: number; failedRepos: number; unavailableRepos: number },
  repo: DeliveredRepo,
) {
  for (const lines of repo.lines) counts.records += lines.records
  if (!repo.ends) return
  if (repo.outcome.status === 'failed') counts.failedRepos += 1
  if (repo.outcome.status === 'unavailable') counts.unavailableRepos += 1
}

/**
 * The lines of repos, some of them together, copied: their page holds no longer than until the next one is asked for.
 * @param before the repo that was not at its end before
 * @param through the number to go on after; a repo beyond it may have come before
 */
function* pieces(
  repos: readonly DeliveredRepo[],
  before: string | null,
  through: number,
): Generator<Buffer, void, undefined> {
  let open = before
  let parts: Buffer[] = []
  let length = 0
  const add = (part: Buffer) => {
    parts.push(part)
    length += part.length
  }
  for (const repo of repos) {
    if (open !== null && (repo.begins || repo.did !== open)) add(Buffer.from(restartedLine(open)))
    const mayHaveCome = repo.begins && repo.seq > through && repo.outcome.status === 'completed'
    if (mayHaveCome && repo.did !== open) add(Buffer.from(restartedLine(repo.did)))
    for (const { bytes, deleted = [] } of repo.lines) {
      add(bytes)
      for (const each of deleted) add(Buffer.from(deletedLine(each)))
      if (length < PIECE_LENGTH) continue
      yield Buffer.concat(parts)
      parts = []
      length = 0
    }
    if (repo.ends) add(Buffer.from(closingLine(repo, Math.min(repo.seq, through))))
    open = repo.ends ? null : repo.did
  }
  if (length > 0) yield Buffer.concat(parts)
}

/**
 * Pieces whose first one is there: what goes wrong at once is still an answer of its own.
 * @throws what the first piece does; the reason of the signal
 */
async function begun<T>(
  pieces: AsyncGenerator<T, void, undefined>,
  signal: AbortSignal,
): Promise<AsyncIterable<T>> {
  const first = await unlessAborted(pieces.next(), signal)
  if (first !== undefined) return withFirst(first, pieces)
  // What is under way ends by itself.
  pieces.return().catch(() => {})
  throw signal.reason
}

async function* withFirst<T>(first: IteratorResult<T, void>, rest: AsyncGenerator<T, void, undefined>) {
  try {
    if (!first.done) yield first.value
    yield* rest
  } finally {
    await rest.return()
  }
}

/** @param cursor to go on after it */
function closingLine({ did, outcome }: DeliveredRepo, cursor: number): string {
  switch (outcome.status) {
    case 'completed': {
      const { since } = outcome
      const receipt = receiptView(outcome.receipt)!
      return line<RepoComplete>('repoComplete', { cursor, ...(since && { since }), receipt })
    }
    case 'unavailable':
      return line<RepoUnavailable>('repoUnavailable', { cursor, did, reason: outcome.reason })
    case 'failed':
      return ''
  }
}

function deletedLine(deleted: DeletedRecord): string {
  return line<RecordDeleted>('recordDeleted', deletedRecordView(deleted))
}

function restartedLine(did: string): string {
  return line<RepoRestarted>('repoRestarted', { did })
}

/** A line that is no record. */
function line<T extends object>(name: string, fields: Omit<T, '$type'>): string {
  return `${JSON.stringify({ $type: `network.example.backfill.exportRecords#${name}`, ...fields })}\n`
}

/**
 * The coding to compress by, as a header asks for it (RFC 9110 §12.5.3): the one with the highest weight. Only what it
 * names counts; null for none, which is always taken. Pure.
 */
export function preferredCoding(header: string | string[] | undefined): string | null {
  // Of two that are wanted alike the first one is taken.
  const offered = Object.keys(ENCODERS)
  const weights = new Map<string, number>()
  for (const entry of String(header ?? '').split(',')) {
    const [coding = '', ...parameters] = entry.split(';').map((part) => part.trim().toLowerCase())
    const weight = parameters.find((parameter) => parameter.startsWith('q='))?.slice(2) ?? '1'
    if (offered.includes(coding) || coding === 'identity') weights.set(coding, Number(weight))
  }
  let best: string | null = null
  let bestWeight = weights.get('identity') ?? 0
  for (const coding of offered) {
    const weight = weights.get(coding) ?? 0
    const isBetter = best === null ? weight > 0 && weight >= bestWeight : weight > bestWeight
    if (isBetter) [best, bestWeight] = [coding, weight]
  }
  return best
}
