import { createInterface } from 'node:readline/promises'
import { CommandError, UsageError } from './exit.js'

/**
 * That nobody can be asked is said before anything else is done.
 * @throws UsageError where there is no terminal
 */
export function assertCanAsk(): void {
  if (process.stdin.isTTY && process.stderr.isTTY) return
  throw new UsageError('There is no terminal to ask on whether that is meant: say so with --yes.')
}

/**
 * Asks for a yes on the terminal.
 * @throws CommandError for any other answer; the signal's reason when it aborts
 */
export async function confirm(question: string, otherwise: string, signal: AbortSignal): Promise<void> {
  // Left in its own mode, the terminal turns Ctrl-C into a signal as everywhere else.
  const lines = createInterface({ input: process.stdin, output: process.stderr, terminal: false })
  const { promise: closed, resolve } = Promise.withResolvers<string>()
  lines.once('close', () => resolve(''))
  try {
    const answer = await Promise.race([lines.question(`${question} [y/N] `, { signal }), closed])
    if (!/^y(es)?$/i.test(answer.trim())) throw new CommandError(otherwise)
  } finally {
    lines.close()
  }
}
