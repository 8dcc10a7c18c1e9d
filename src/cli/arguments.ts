import { isValidDid, isValidHandle, isValidNsid, isValidTid } from '@atproto/syntax'
import { InvalidArgumentError } from 'commander'
import { repoOf } from '../client/repo.js'

/** Arguments as people write them; each throws InvalidArgumentError, which commander prints with its place. */

const quoted = (text: string) => JSON.stringify(text.length > 100 ? `${text.slice(0, 100)}…` : text)

/** An account: a DID, a handle or an `at://` URI, of which the account counts. */
export function readRepo(text: string): string {
  const repo = repoOf(text)
  if (isValidDid(repo) || isValidHandle(repo)) return repo
  throw new InvalidArgumentError(
    `${quoted(text)} names no account. Give a DID (did:plc:…), a handle (alice.example.com) or an at:// URI.`,
  )
}

export function readDid(text: string): string {
  if (isValidDid(text)) return text
  throw new InvalidArgumentError(`${quoted(text)} is not a DID such as did:web:app.example.com.`)
}

/** Collects the accounts of an option that takes several. */
export function readRepos(text: string, before: readonly string[] = []): string[] {
  return [...before, readRepo(text)]
}

export function readJobId(text: string): string {
  if (isValidTid(text)) return text
  throw new InvalidArgumentError(
    `${quoted(text)} is not the id of a job (13 letters and digits). "aquifer jobs list" shows the ids.`,
  )
}

export function readCollection(text: string): string {
  if (isValidNsid(text)) return text
  throw new InvalidArgumentError(`${quoted(text)} is not a collection such as com.example.post.`)
}

export function readLimit(text: string): number {
  const limit = Number(text)
  if (/^\d{1,9}$/.test(text) && limit > 0) return limit
  throw new InvalidArgumentError(`${quoted(text)} is not a whole number of at least 1.`)
}

/** The origin of a PDS, from its host name or its address. */
export function readHost(text: string): string {
  const address = /^https?:\/\//i.test(text) ? text : `https://${text}`
  if (URL.canParse(address)) {
    const url = new URL(address)
    if (url.href === `${url.origin}/`) return url.origin
  }
  throw new InvalidArgumentError(`${quoted(text)} is not a host such as pds.example.com.`)
}

/** Collects the hosts of an option that takes several, by their names. */
export function readHostnames(text: string, before: readonly string[] = []): string[] {
  return [...before, new URL(readHost(text)).host]
}
