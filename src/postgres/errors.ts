/**
 * The embedded Postgres cannot be used, and a person has to do something about it.
 * The message says what is wrong and what to do; it is meant to be shown as it is, without a stack.
 */
export class EmbeddedPostgresError extends Error {
  override readonly name = 'EmbeddedPostgresError'
}

/** The code of a system error (`ENOENT`, `EACCES`, …), or undefined when `error` is not one. */
export function systemErrorCode(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('code' in error)) return undefined
  return typeof error.code === 'string' ? error.code : undefined
}

/** Whether `error` says that this user may not write there (`EACCES`, `EPERM`, `EROFS`). */
export function isPermissionError(error: unknown): boolean {
  return ['EACCES', 'EPERM', 'EROFS'].includes(systemErrorCode(error) ?? '')
}

/** Whether `error` says that the disk, or this user's share of it, is full. */
export function isDiskFull(error: unknown): boolean {
  return ['ENOSPC', 'EDQUOT'].includes(systemErrorCode(error) ?? '')
}

/** What `error` says, as text. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

/** What programs say last is what stopped them; more than this is no help. */
const LINES_MAX = 12

/** The end of what a program wrote, for an error message. */
export function lastLines(output: string): string {
  return output.trim().split('\n').slice(-LINES_MAX).join('\n')
}
