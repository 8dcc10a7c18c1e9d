/**
 * Text as a text column takes it: without NUL, which Postgres refuses, and no longer than `lengthMax` UTF-16
 * units. For messages that repeat what a stranger said.
 */
export function printable(text: string, lengthMax: number): string {
  return text.replaceAll('\u0000', '').slice(0, lengthMax)
}
