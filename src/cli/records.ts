import { fstatSync } from 'node:fs'
import type { BackfillClient, ExportMessage, JobView, RecordView } from '../client/index.js'
import { withConnectionTo } from './connection.js'
import { EXIT, Interrupted } from './exit.js'
import type { CommonOptions } from './jobs.js'
import { openOutput, type RecordOutput } from './output.js'
import { describeRecords, Rate } from './progress.js'
import { StatusLine } from './status-line.js'
import { portions, printJson } from './stdout.js'
import { counted } from './text.js'

export interface RecordsOptions extends CommonOptions {
  readonly collection?: string
  readonly repo?: string
  readonly output?: string
  readonly limit?: number
}

/** The most records on a page. */
const PAGE_RECORDS = 500

/** Streams a job's records as JSON lines. */
export function streamRecords(id: string, options: RecordsOptions): Promise<number> {
  return withConnectionTo(options, async ({ client, signal }) => {
    // Asked first: a job that is not there must not leave a file, or an empty stream that looks like an answer.
    const job = await client.getJobStatus(id, { signal })
    const output = await openOutput(options.output)
    const isAll = !options.collection && !options.repo && options.limit === undefined
    const written = await allOrNothing(output, signal, () => {
      const pieces = piecesOf(client, id, options, signal)
      return writePieces(pieces, output, isAll ? job.totalRecords : null)
    })
    await conclude(job, written.records, output, options)
    if (written.void === 0) return EXIT.done
    process.stderr.write(
      `${counted(written.void, 'repo')} changed under way, so that some of these records do not count: ` +
        'of what is here twice the later does. A file given with --output has only what counts.\n',
    )
    return EXIT.incomplete
  })
}

/** Writes what the service has signed of a job, as it is. */
export function streamManifest(id: string, options: RecordsOptions): Promise<number> {
  return withConnectionTo(options, async ({ client, signal }) => {
    const output = await openOutput(options.output)
    await allOrNothing(output, signal, async () => {
      for await (const lines of wholeLines(client.exportManifest(id, { signal }))) await output.write(lines)
    })
    if (output.path !== null)
      process.stderr.write(
        `The manifest is in ${output.path}; "aquifer manifest verify ${output.path}" checks it.\n`,
      )
    return EXIT.done
  })
}

/** Writes a file that is there in the end or not at all. */
async function allOrNothing<T>(
  output: RecordOutput,
  signal: AbortSignal,
  write: () => Promise<T>,
): Promise<T> {
  try {
    const written = await write()
    signal.throwIfAborted()
    await output.finish()
    return written
  } catch (error) {
    await output.abandon()
    if (!signal.aborted) throw error
    throw new Interrupted(
      output.path === null ? 'Interrupted.' : `Interrupted: ${output.path} was not written.`,
    )
  }
}

/** Text in pieces that end with a line. */
async function* wholeLines(pieces: AsyncIterable<Uint8Array>): AsyncGenerator<string, void, undefined> {
  const decoder = new TextDecoder()
  let rest = ''
  for await (const piece of pieces) {
    const text = rest + decoder.decode(piece, { stream: true })
    const end = text.lastIndexOf('\n') + 1
    rest = text.slice(end)
    if (end > 0) yield text.slice(0, end)
  }
}

/** A part of what is asked for: `closed` after the last records of a repo, `void` where those since do not count. */
type Piece = readonly RecordView[] | 'closed' | 'void'

/** All of them in one stream; few of them by pages, as a stream would be broken off. */
function piecesOf(
  client: BackfillClient,
  id: string,
  { collection, repo, limit }: RecordsOptions,
  signal: AbortSignal,
): AsyncIterable<Piece> {
  const filter = { ...(collection && { collection }), ...(repo && { repo }) }
  if (limit === undefined) return exported(client.exportRecords(id, filter, { signal }))
  const paged = { ...filter, limit: Math.min(limit, PAGE_RECORDS) }
  return portions(client.allRecords(id, paged, { signal }), limit)
}

async function* exported(messages: AsyncIterable<ExportMessage>): AsyncGenerator<Piece, void, undefined> {
  for await (const message of messages) {
    if (message.type === 'records') yield message.records
    else if (message.type === 'repoComplete') yield 'closed'
    else if (message.type === 'repoRestarted' || message.type === 'repoUnavailable') yield 'void'
  }
}

/** How many records were written, and of how many repos some that do not count. */
interface Written {
  readonly records: number
  readonly void: number
}

/** Writes records as they come; from a file it takes back what turns out not to count. */
export async function writePieces(
  pieces: AsyncIterable<Piece>,
  output: RecordOutput,
  total: number | null,
): Promise<Written> {
  const line = new StatusLine(process.stderr)
  const rate = new Rate()
  // Whoever reads a pipe may write to the same terminal, as `jq` does: it would only be in the way there.
  const isShown = output.path !== null || fstatSync(process.stdout.fd).isFile()
  let [records, kept, voided] = [0, 0, 0]
  try {
    for await (const piece of pieces) {
      if (piece === 'closed') {
        output.keep()
        kept = records
        continue
      }
      if (piece === 'void') {
        if (records > kept && !(await output.takeBack())) voided += 1
        else records = kept
        continue
      }
      await output.write(piece.map(recordLine).join(''))
      records += piece.length
      const now = Date.now()
      rate.add(records, now)
      if (isShown) line.show((columns) => describeRecords(records, total, rate.at(now), columns), now)
    }
  } finally {
    line.clear()
  }
  return { records, void: voided }
}

function recordLine({ uri, cid, value }: RecordView): string {
  return `${JSON.stringify({ uri, cid, value })}\n`
}

async function conclude(job: JobView, records: number, output: RecordOutput, options: RecordsOptions) {
  if (output.path !== null) {
    process.stderr.write(`${counted(records, 'record')} in ${output.path}\n`)
    if (options.json) await printJson({ job: job.id, status: job.status, records, file: output.path })
  }
  if (!['completed', 'failed', 'cancelled'].includes(job.status)) {
    process.stderr.write(
      `The job is ${job.status}: these are the records so far. "aquifer jobs watch ${job.id}" waits for all.\n`,
    )
  } else if (job.failedRepos > 0 || job.status !== 'completed') {
    process.stderr.write(
      `The job is ${job.status} with ${counted(job.failedRepos, 'failed repo')}: their records are not among these.\n`,
    )
  }
}
