import { createHash } from 'node:crypto'
import { ids } from '../../codegen/client/lexicons.js'
import type { RecordView } from '../../codegen/client/types/network/example/backfill/defs.js'
import type {
  RecordDeleted,
  RepoComplete,
  RepoRestarted,
  RepoUnavailable,
  Trailer,
} from '../../codegen/client/types/network/example/backfill/exportRecords.js'
import { BackfillError, IncompleteExport, ServiceUnreachable, TimeoutError } from './errors.js'
import { type ExchangeRequest, invalid } from './exchange.js'
import type { Named } from './job-messages.js'

/** What `exportRecords` gives: records as they come, then the receipt of their repo; at last the trailer. */
export type ExportMessage =
  | { readonly type: 'records'; readonly records: readonly RecordView[] }
  | Named<'recordDeleted', RecordDeleted>
  | Named<'repoComplete', RepoComplete>
  | Named<'repoUnavailable', RepoUnavailable>
  | Named<'repoRestarted', RepoRestarted>
  | Named<'trailer', Trailer>

/** Lines that are no records. */
const TYPES = ['recordDeleted', 'repoComplete', 'repoUnavailable', 'repoRestarted', 'trailer']

const NEWLINE = 0x0a
const PREFIX = `${ids.NetworkExampleBackfillExportRecords}#`
/** What the last line begins with; lines of records begin with their URI. */
const TRAILER = Buffer.from(`{"$type":"${PREFIX}trailer"`)

/** The longest line there may be: a record, or a receipt that names very many collections. */
const LINE_BYTES_MAX = 64 * 1024 * 1024

/**
 * Reads the lines of an export, and whether they are all that was sent.
 * @param cursor from which the export was asked for
 * @throws IncompleteExport, InvalidResponse; the reason of the request's signal when it aborts
 */
export async function* readExport(
  pieces: AsyncIterable<Uint8Array>,
  request: Pick<ExchangeRequest, 'peer' | 'url'>,
  cursor: number | undefined,
): AsyncGenerator<ExportMessage, void, undefined> {
  const hash = createHash('sha256')
  let whole = cursor
  let records = 0
  let trailer: Named<'trailer', Trailer> | null = null
  const broken = (how: string, cause?: unknown) => {
    const message = `The export of ${request.url.origin} ${how}`
    return new IncompleteExport({ name: 'IncompleteExport', message, cursor: whole, cause })
  }
  try {
    for await (const lines of wholeLines(pieces)) {
      if (trailer !== null) throw broken('goes on after its end')
      hash.update(lines.subarray(0, endOfContent(lines)))
      for (const message of messagesIn(lines, request)) {
        if (message.type === 'records') records += message.records.length
        if (message.type === 'trailer') trailer = message
        else yield message
        if (message.type === 'repoComplete' || message.type === 'repoUnavailable') whole = message.cursor
      }
    }
  } catch (error) {
    const isCut = error instanceof ServiceUnreachable || error instanceof TimeoutError
    throw isCut || error instanceof LineTooLong ? broken('was broken off', error) : error
  }
  if (trailer === null) throw broken('was broken off')
  if (trailer.records !== records) throw broken(`has ${records} records, and not ${trailer.records}`)
  if (trailer.sha256 !== hash.digest('hex')) throw broken('is not what was sent: its hash is another one')
  yield trailer
}

class LineTooLong extends Error {}

/** Whole lines, as many as there are at a time. What comes after the last of them is no line. */
async function* wholeLines(pieces: AsyncIterable<Uint8Array>): AsyncGenerator<Buffer, void, undefined> {
  let rest: Buffer[] = []
  let restBytes = 0
  for await (const piece of pieces) {
    const bytes = Buffer.from(piece.buffer, piece.byteOffset, piece.byteLength)
    const end = bytes.lastIndexOf(NEWLINE) + 1
    if (end > 0) {
      yield rest.length === 0 ? bytes.subarray(0, end) : Buffer.concat([...rest, bytes.subarray(0, end)])
      rest = []
      restBytes = 0
    }
    if (end === bytes.length) continue
    rest.push(bytes.subarray(end))
    restBytes += bytes.length - end
    if (restBytes > LINE_BYTES_MAX) throw new LineTooLong(`a line of more than ${LINE_BYTES_MAX} bytes`)
  }
}

/** Where the trailer begins, or else the lines end. */
function endOfContent(lines: Buffer): number {
  const last = lines.lastIndexOf(NEWLINE, lines.length - 2) + 1
  return lines.subarray(last, last + TRAILER.length).equals(TRAILER) ? last : lines.length
}

function* messagesIn(
  lines: Buffer,
  request: Pick<ExchangeRequest, 'peer' | 'url'>,
): Generator<ExportMessage, void, undefined> {
  let records: RecordView[] = []
  for (const line of parse(lines, request)) {
    if (isRecord(line)) {
      records.push(line)
      continue
    }
    if (records.length > 0) yield { type: 'records', records }
    records = []
    const { $type, ...fields } = line
    if (typeof $type !== 'string') throw invalid(request, 'has a line that is not what its lexicon says')
    const type = $type.startsWith(PREFIX) ? $type.slice(PREFIX.length) : ''
    // Of a kind that this version does not know.
    if (!TYPES.includes(type)) continue
    yield { type, ...fields } as ExportMessage
  }
  if (records.length > 0) yield { type: 'records', records }
}

const COMMA = 0x2c

/**
 * All lines at once: no line has a break in it, since JSON writes those in other ways. The breaks become commas where
 * they are, which spares another copy of everything.
 */
function parse(lines: Buffer, request: Pick<ExchangeRequest, 'peer' | 'url'>): Record<string, unknown>[] {
  try {
    for (let at = lines.indexOf(NEWLINE); at >= 0; at = lines.indexOf(NEWLINE, at + 1)) lines[at] = COMMA
    return JSON.parse(`[${lines.toString('utf8', 0, lines.length - 1)}]`)
  } catch (error) {
    throw error instanceof BackfillError ? error : invalid(request, 'has a line that is not JSON', error)
  }
}

function isRecord(line: object): line is RecordView {
  return 'uri' in line && typeof line.uri === 'string' && 'cid' in line && typeof line.cid === 'string'
}
