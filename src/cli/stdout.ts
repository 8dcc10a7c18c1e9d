import { SetupError } from '../errors.js'

/** Whoever read our output has gone away, as `head` does: nothing is wrong, and nothing is left to do. */
export class ReaderGone extends Error {
  override readonly name = 'ReaderGone'
}

/** Columns of the terminal that standard output is; Infinity where it is none. */
export function terminalWidth(out: NodeJS.WriteStream = process.stdout): number {
  // One less: some terminals wrap a line that fills the last column. A terminal of unknown size says 0.
  return out.isTTY ? (out.columns || 80) - 1 : Number.POSITIVE_INFINITY
}

/**
 * Writes to standard output, and waits until it is taken.
 * @throws ReaderGone; SetupError when it cannot be written
 */
export async function print(text: string): Promise<void> {
  const error = await new Promise<NodeJS.ErrnoException | null | undefined>((resolve) => {
    process.stdout.write(text, resolve)
  })
  if (!error) return
  // `EIO`: the terminal itself is gone.
  if (error.code === 'EPIPE' || error.code === 'EIO') throw new ReaderGone()
  throw new SetupError(`Standard output cannot be written: ${error.message}`, { cause: error })
}

export async function printLine(text: string): Promise<void> {
  await print(`${text}\n`)
}

/** One JSON document. */
export async function printJson(value: unknown): Promise<void> {
  await printLine(JSON.stringify(value, null, 2))
}

/** Failed writes are told by `print`; without this they would end the process a second time, with a stack. */
export function keepStreamErrorsQuiet(): void {
  process.stdout.on('error', () => {})
  process.stderr.on('error', () => {})
}

/** How many items are printed at once, at most. */
const PORTION = 100

/** Splits a listing into portions, the last one perhaps empty, so that there is always one. */
export async function* portions<Item>(items: AsyncIterable<Item>, limit: number): AsyncGenerator<Item[]> {
  let portion: Item[] = []
  let taken = 0
  for await (const item of items) {
    portion.push(item)
    taken += 1
    if (taken >= limit) break
    if (portion.length < PORTION) continue
    yield portion
    portion = []
  }
  yield portion
}
