/**
 * The account that somebody means: a DID or handle as it is, without the `@` that people write, or the authority
 * of an `at://` URI. Whether it is well formed, the service says.
 */
export function repoOf(text: string): string {
  const trimmed = text.trim()
  const authority = /^at:\/\/([^/?#]*)/i.exec(trimmed)?.[1] ?? trimmed
  return authority.replace(/^@/, '')
}
