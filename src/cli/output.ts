import { once } from 'node:events'
import { createWriteStream } from 'node:fs'
import { rename, rm } from 'node:fs/promises'
import { finished } from 'node:stream/promises'
import { SetupError } from '../errors.js'
import { recordLine } from '../jobs/record-json.js'
import type { StoredRecord } from '../store/records.js'

/** Where a run's records go: whole lines only, and a file only when it is whole. */
export interface RecordOutput {
  /** The file's name; null for standard output. */
  readonly path: string | null
  write(records: readonly StoredRecord[]): Promise<void>
  finish(): Promise<void>
  abandon(): Promise<void>
}

/** @throws SetupError when the file cannot be written */
export async function openOutput(path: string | undefined): Promise<RecordOutput> {
  if (path === undefined) return standardOutput()
  // Written beside its name and renamed at the end: an interrupted run leaves no half file under it.
  const partial = `${path}.partial`
  const file = createWriteStream(partial)
  try {
    await once(file, 'open')
  } catch (error) {
    throw new SetupError(`${path} cannot be written: ${(error as Error).message}`, { cause: error })
  }
  const ended = finished(file)
  ended.catch(() => {})
  return {
    path,
    write: (records) => writeLines(file, records, ended),
    async finish() {
      file.end()
      await ended
      await rename(partial, path)
    },
    async abandon() {
      file.destroy()
      await rm(partial, { force: true })
    },
  }
}

function standardOutput(): RecordOutput {
  const ended = finished(process.stdout, { readable: false })
  ended.catch(() => {})
  return {
    path: null,
    write: (records) => writeLines(process.stdout, records, ended),
    finish: async () => {},
    abandon: async () => {},
  }
}

async function writeLines(
  out: NodeJS.WritableStream,
  records: readonly StoredRecord[],
  ended: Promise<void>,
) {
  if (records.length === 0) return
  const lines = records.map((record) => `${recordLine(record)}\n`).join('')
  // A reader that went away (`| head`) or a full disk ends the stream: its error, not a wait for ever.
  if (!out.write(lines)) await Promise.race([once(out, 'drain'), ended])
}
