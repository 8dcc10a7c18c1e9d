import { Resolver } from 'node:dns/promises'
import { isValidDid } from '@atproto/syntax'
import { groupOf } from './lexicons-diff.js'

/** Who DNS says publishes the lexicons of a group. */
export interface DnsAnswer {
  /** `network.example.backfill` */
  readonly group: string
  /** `_lexicon.backfill.example.network` */
  readonly name: string
  readonly found: DnsFinding
}

export type DnsFinding =
  | { readonly state: 'found'; readonly did: string }
  | { readonly state: 'missing' }
  /** There are records, but not exactly one that names a DID. */
  | { readonly state: 'unusable'; readonly records: readonly string[] }
  | { readonly state: 'unreachable'; readonly reason: string }

/** A server that does not answer is asked as often, each time for so long, ms. */
const TRIES = 2
const TIMEOUT_MS = 5_000

const PREFIX = 'did='

/** The groups of some lexicons, one TXT record each: these records are not inherited by what is below them. */
export function groupsOf(nsids: readonly string[]): string[] {
  return [...new Set(nsids.map(groupOf))].sort()
}

/** The name of the TXT record for a group (https://atproto.com/specs/lexicon#lexicon-publication-and-resolution). */
export function dnsNameOf(group: string): string {
  return `_lexicon.${group.split('.').reverse().join('.')}`
}

/** What the TXT record must say. */
export function dnsValueOf(did: string): string {
  return `${PREFIX}${did}`
}

/** What the TXT records under a name say. Pure. */
export function findDid(records: readonly (readonly string[])[]): DnsFinding {
  const texts = records.map((chunks) => chunks.join(''))
  const named = texts.filter((text) => text.startsWith(PREFIX))
  const did = named.length === 1 ? named[0]!.slice(PREFIX.length) : ''
  if (isValidDid(did)) return { state: 'found', did }
  return texts.length === 0 ? { state: 'missing' } : { state: 'unusable', records: texts }
}

/**
 * Asks DNS about each group.
 * @param server address of a DNS server, with or without a port; default: those of the system
 */
export async function askDns(groups: readonly string[], server: string | undefined): Promise<DnsAnswer[]> {
  const resolver = new Resolver({ timeout: TIMEOUT_MS, tries: TRIES })
  if (server !== undefined) resolver.setServers([server])
  return Promise.all(
    groups.map(async (group) => {
      const name = dnsNameOf(group)
      return { group, name, found: await ask(resolver, name) }
    }),
  )
}

async function ask(resolver: Resolver, name: string): Promise<DnsFinding> {
  try {
    return findDid(await resolver.resolveTxt(name))
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    if (code === 'ENOTFOUND' || code === 'ENODATA') return { state: 'missing' }
    return { state: 'unreachable', reason: code ?? message }
  }
}
