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
import { Delivery } from '../jobs/delivery.js'
import { FeedError } from '../jobs/feed-error.js'
import { openManifest } from '../jobs/manifest-document.js'
import { hasEnded } from '../jobs/state.js'
import { AnySignal } from '../signals.js'
import type { DeliveredRepo } from '../store/delivery.js'
import type { DeletedRecord } from '../store/delivery-lines.js'
import { type ApiContext, askerOf } from './context.js'
import type { Methods } from './index.js'
import { checkCursor, Rights } from './streams.js'
import { deletedRecordView, receiptView } from './view.js'

/** What a stream may be compressed by, the better one first: quickly rather than well, it is made while it is sent. */
const ENCODERS: Readonly<Record<string, () => Transform>> = {
  zstd: () => createZstdCompress({ params: { [constants.ZSTD_c_compressionLevel]: 1 } }),
  gzip: () => createGzip({ level: constants.Z_BEST_SPEED }),
}

/** Shorter pieces are put together; a longer one goes out as it is. */
const PIECE_LENGTH = 256 * 1024

export function exportRecords(methods: Methods, ctx: ApiContext): void {
  const rights = new Rights(ctx)
  methods.exportRecords({
    auth: ctx.auth('read'),
    handler: async ({ params, auth, req, signal }) => {
      const { credentials } = auth
      checkCursor(req.url)
      const acceptEncoding = req.headers['accept-encoding']
      if (params.manifest) {
        checkIsWhole(params)
        // Stored in this form: to send it costs nothing.
        const coding = preferredCoding(acceptEncoding, ['gzip'])
        const form = coding === null ? 'lines' : 'gzip'
        const pieces = await openManifest(ctx, askerOf(credentials), params.job, form)
        const stream = streamOf(await begun(pieces), [signal, ctx.stopping])
        return answer(stream, `${params.job}.manifest.jsonl`, coding)
      }
      const delivery = await Delivery.open(ctx, askerOf(credentials), params).catch((error: unknown) => {
        if (error instanceof FeedError) throw new XRPCError(400, error.message, error.code)
        throw error
      })
      const assertMay = rights.ofFollower(credentials.did, delivery.job)
      const lines = linesOf(delivery, params.cursor ?? 0, assertMay)
      const stream = streamOf(await begun(lines), [signal, ctx.stopping])
      const coding = preferredCoding(acceptEncoding)
      const encoder = coding === null ? null : ENCODERS[coding]!()
      const body = encoder === null ? stream : pipeline(stream, encoder, () => {})
      return answer(body, `${delivery.job.id}.jsonl`, coding)
    },
  })
}

/** @throws InvalidRequestError for a part of a manifest: it is signed as a whole */
function checkIsWhole({ collection, repo, cursor, changes }: QueryParams): void {
  const parts = { collection, repo, cursor, changes: changes || undefined }
  const part = Object.entries(parts).find(([, value]) => value !== undefined)
  if (part) throw new InvalidRequestError(`manifest is for the whole job: it cannot go with ${part[0]}`)
}

/** A stream that ends when one of the signals says so. */
function streamOf(pieces: AsyncIterable<Buffer>, signals: readonly AbortSignal[]): Readable {
  const ends = new AnySignal(...signals)
  const stream = Readable.from(pieces, { objectMode: false, signal: ends.signal })
  stream.once('close', () => ends[Symbol.dispose]())
  return stream
}

function answer(body: Readable, filename: string, coding: string | null) {
  return {
    encoding: 'application/jsonl' as const,
    body,
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
  assertMay: () => Promise<void>,
): AsyncGenerator<Buffer, void, undefined> {
  const hash = createHash('sha256')
  let records = 0
  let through = cursor
  let open: string | null = null
  for await (const page of delivery.soFar()) {
    await assertMay()
    for (const piece of pieces(page.repos, open)) {
      const bytes = Buffer.from(piece)
      hash.update(bytes)
      yield bytes
    }
    for (const repo of page.repos) {
      for (const lines of repo.lines) records += lines.records
      open = repo.ends ? null : repo.did
    }
    through = page.through
  }
  const jobEnded = hasEnded(delivery.job.status)
  yield Buffer.from(
    line<Trailer>('trailer', { records, sha256: hash.digest('hex'), cursor: through, jobEnded }),
  )
}

/** The lines of repos, some of them together. @param before the repo that was not at its end before */
function* pieces(repos: readonly DeliveredRepo[], before: string | null): Generator<string, void, undefined> {
  let open = before
  let piece = ''
  for (const repo of repos) {
    if (open !== null && (repo.begins || repo.did !== open)) piece += restartedLine(open)
    for (const { text, deleted = [] } of repo.lines) {
      piece += text
      for (const each of deleted) piece += deletedLine(each)
      if (piece.length < PIECE_LENGTH) continue
      yield piece
      piece = ''
    }
    if (repo.ends) piece += closingLine(repo)
    open = repo.ends ? null : repo.did
  }
  if (piece !== '') yield piece
}

/** Pieces whose first one is there: what goes wrong at once is still an answer of its own. */
async function begun<T>(pieces: AsyncGenerator<T, void, undefined>): Promise<AsyncIterable<T>> {
  return withFirst(await pieces.next(), pieces)
}

async function* withFirst<T>(first: IteratorResult<T, void>, rest: AsyncGenerator<T, void, undefined>) {
  try {
    if (!first.done) yield first.value
    yield* rest
  } finally {
    await rest.return()
  }
}

function closingLine({ seq, did, outcome }: DeliveredRepo): string {
  switch (outcome.status) {
    case 'completed': {
      const { since } = outcome
      const receipt = receiptView(outcome.receipt)!
      return line<RepoComplete>('repoComplete', { cursor: seq, ...(since && { since }), receipt })
    }
    case 'unavailable':
      return line<RepoUnavailable>('repoUnavailable', { cursor: seq, did, reason: outcome.reason })
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
 * @param offered of two that are wanted alike the first one is taken
 */
export function preferredCoding(
  header: string | string[] | undefined,
  offered: readonly string[] = Object.keys(ENCODERS),
): string | null {
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
