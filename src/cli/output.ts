import { type FileHandle, open, realpath, rename, rm, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { CommandError } from './exit.js'
import { print } from './stdout.js'

/** Where records go: whole lines only, and a file only when it is whole. */
export interface RecordOutput {
  /** The file's name; null for standard output. */
  readonly path: string | null
  /** Writes text that ends with a line. */
  write(lines: string): Promise<void>
  /** What was written so far stands. */
  keep(): void
  /** Takes back what was written since. @returns false where that is out of our hands */
  takeBack(): Promise<boolean>
  /** The file now has its name. */
  finish(): Promise<void>
  /** Leaves nothing behind. */
  abandon(): Promise<void>
  /** Leaves what there is under another name, which it gives: for records that are not all of them. */
  leave(): Promise<string | null>
}

/**
 * Opens a file for records; standard output when there is no name, or `-`.
 * @throws CommandError when the file cannot be written
 */
export async function openOutput(path: string | undefined): Promise<RecordOutput> {
  if (path === undefined || path === '-') return STANDARD_OUTPUT
  const target = await targetOf(path)
  try {
    // What is no file has no other name to be written under, and nothing must take its place.
    return target.isFile ? await openFile(path, target.path) : await openDevice(path)
  } catch (error) {
    throw unwritable(path, error)
  }
}

const STANDARD_OUTPUT: RecordOutput = {
  path: null,
  write: print,
  keep: () => {},
  takeBack: async () => false,
  finish: async () => {},
  abandon: async () => {},
  leave: async () => null,
}

/** What a name stands for: where it is a link, the file it leads to. */
async function targetOf(path: string): Promise<{ path: string; isFile: boolean }> {
  const found = await stat(path).catch(() => null)
  if (found === null) return { path, isFile: true }
  if (found.isDirectory()) throw new CommandError(`Cannot write ${path}: it is a folder. Name a file in it.`)
  return { path: await realpath(path), isFile: found.isFile() }
}

async function openFile(path: string, target: string): Promise<RecordOutput> {
  // Written beside its name and renamed at the end: an interrupted command leaves no half file under it.
  const partial = `${target}.partial`
  await rm(partial, { force: true })
  // Always at the end, also where something was taken back.
  const file = await open(partial, 'a')
  let [written, kept] = [0, 0]
  const abandon = async () => {
    await file.close().catch(() => {})
    await rm(partial, { force: true })
  }
  return {
    path,
    async write(lines) {
      await append(path, file, lines)
      written += Buffer.byteLength(lines)
    },
    keep() {
      kept = written
    },
    async takeBack() {
      await file.truncate(kept)
      written = kept
      return true
    },
    async finish() {
      try {
        await file.sync()
        await file.close()
        await rename(partial, target)
      } catch (error) {
        throw unwritable(path, error)
      }
    },
    abandon,
    async leave() {
      const { size } = await file.stat()
      await (size > 0 ? file.close() : abandon())
      return size > 0 ? partial : null
    },
  }
}

async function openDevice(path: string): Promise<RecordOutput> {
  const device = await open(path, 'w')
  const close = () => device.close()
  const leave = async () => {
    await close()
    return null
  }
  return {
    path,
    write: (lines) => append(path, device, lines),
    keep: () => {},
    takeBack: async () => false,
    finish: close,
    abandon: close,
    leave,
  }
}

async function append(path: string, file: FileHandle, lines: string): Promise<void> {
  try {
    await file.appendFile(lines)
  } catch (error) {
    throw unwritable(path, error)
  }
}

function unwritable(path: string, error: unknown): Error {
  if (error instanceof CommandError) return error
  const { code, message } = error as NodeJS.ErrnoException
  const reasons: Record<string, string> = {
    ENOENT: `there is no folder ${dirname(path)}. Make it, or name another file`,
    ENOTDIR: `${dirname(path)} is not a folder. Name another file`,
    EACCES: 'that is not allowed. Name another file, or change who may write there',
    EROFS: 'the file system cannot be written. Name another file',
    ENOSPC: 'the disk is full. Make room, or name a file on another disk',
    EDQUOT: 'the quota is used up. Make room, or name a file elsewhere',
  }
  return new CommandError(`Cannot write ${path}: ${reasons[code ?? ''] ?? message}.`, { cause: error })
}
