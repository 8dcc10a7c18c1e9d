import { RequestError } from '../errors.js'
import { ManifestGone, readManifest } from '../store/manifest.js'
import type { Asker, JobsContext } from './context.js'
import { getJobWithDetails } from './read.js'

/**
 * The manifest of a job, piece by piece.
 * @throws RequestError `JobNotFound`, `DetailsDeleted`; `ManifestNotReady`, also for the first piece. Later ones end
 *   with ManifestGone if it is removed before the last
 */
export async function openManifest(
  ctx: JobsContext,
  asker: Asker,
  id: string,
): Promise<AsyncGenerator<Buffer, void, undefined>> {
  const job = await getJobWithDetails(ctx, asker, id)
  const pieces = await readManifest(ctx.db, job.key)
  if (pieces === null) throw notReady(id)
  return startedAgain(id, pieces)
}

async function* startedAgain(id: string, pieces: AsyncIterable<Buffer>) {
  let isFirst = true
  try {
    for await (const piece of pieces) {
      isFirst = false
      yield piece
    }
  } catch (error) {
    // Removed between two statements: whoever had asked a moment later would have been told the same.
    throw isFirst && error instanceof ManifestGone ? notReady(id) : error
  }
}

function notReady(id: string): RequestError {
  const said = `Job ${id} has no manifest: it has not ended, or the manifest is still being made`
  return new RequestError('ManifestNotReady', said)
}
