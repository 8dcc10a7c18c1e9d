/** The file that the server writes its messages to. */
import { type FileHandle, open, rename, stat } from 'node:fs/promises'
import { lastLines, systemErrorCode } from './errors.js'
import type { ServerUser } from './server-user.js'

/** A log longer than this at the start of a server is put aside as `server.log.1`, in place of the one before. */
const LOG_BYTES_MAX = 16 * 1024 * 1024
/** Of what a server said before it ended, at most this much is read. */
const TAIL_BYTES_MAX = 8 * 1024

/** Opens the log for appending, for the server to inherit. */
export async function openServerLog(path: string, user: ServerUser | undefined): Promise<FileHandle> {
  if ((await sizeOf(path)) > LOG_BYTES_MAX) await rename(path, `${path}.1`)
  const log = await open(path, 'a', 0o600)
  // Also when the next one to start it is the server's own user instead of root.
  if (user !== undefined) await log.chown(user.uid, user.gid)
  return log
}

/** The last lines that were written to the log since it was `since` bytes long. */
export async function readLogTail(path: string, since: number): Promise<string> {
  const size = await sizeOf(path)
  const start = Math.max(since, size - TAIL_BYTES_MAX)
  const log = await open(path, 'r')
  try {
    const { buffer, bytesRead } = await log.read({
      buffer: Buffer.alloc(Math.max(0, size - start)),
      position: start,
    })
    return lastLines(buffer.subarray(0, bytesRead).toString('utf8'))
  } finally {
    await log.close()
  }
}

async function sizeOf(path: string): Promise<number> {
  try {
    return (await stat(path)).size
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return 0
    throw error
  }
}
