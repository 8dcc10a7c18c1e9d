import { createHash } from 'node:crypto'
import { isValidDid, isValidHandle } from '@atproto/syntax'
import { type HostOptions, hostnameToOrigin } from '../atproto/host.js'
import { RequestError } from '../errors.js'
import { LEVELS, type Level, REQUESTABLE_METHODS, type RequestedMethod } from '../verdict.js'
import { isPrefix, namesEveryCollection, patternProblem } from './scope.js'

/**
 * What may be asked of `createJob`: checked here rather than by the lexicon alone, because a caller with a
 * thousand entries wants to hear of every bad one.
 */

export const COLLECTIONS_MAX = 100
export const REPOS_MAX = 1_000
export const HOSTS_MAX = 100

export interface JobInput {
  readonly collections?: readonly string[]
  readonly repos?: readonly string[]
  readonly hosts?: readonly string[]
  readonly method?: string
  readonly level?: string
  readonly clientToken?: string
  readonly name?: string
}

export interface CheckedInput {
  /** Without duplicates, in the caller's order; null for every collection. */
  readonly collections: readonly string[] | null
  /** DIDs and handles, without duplicates, handles in lower case; null to discover. */
  readonly repos: readonly string[] | null
  /** Each host once, however it was spelled; null when the job is not limited to hosts. */
  readonly hosts: readonly NamedHost[] | null
  readonly method: RequestedMethod
  readonly level: Level
  readonly clientToken: string | null
  readonly name: string | null
}

/** A PDS as the caller sees it, and where it is asked. */
export interface NamedHost {
  readonly hostname: string
  readonly origin: string
}

const PUBLIC_ONLY: HostOptions = { allowPrivateNetwork: false }

/** @throws RequestError that names everything wrong with the first bad field */
export function checkInput(input: JobInput, options: HostOptions = PUBLIC_ONLY): CheckedInput {
  // The lexicon's check lets a list through, and a list has none of the fields.
  if (Array.isArray(input))
    throw new RequestError('InvalidRequest', 'The input is a list; it must be an object')
  const collections = checkCollections(input.collections)
  const repos = checkRepos(input.repos)
  const hosts = checkHosts(input.hosts, options)
  if (repos !== null && hosts !== null) {
    throw new RequestError(
      'InvalidRequest',
      'repos and hosts are both given; a job is limited to one of them',
    )
  }
  const method = oneOf('method', input.method ?? 'auto', REQUESTABLE_METHODS)
  const level = oneOf('level', input.level ?? 'content', LEVELS)
  if (level === 'signed' && method === 'list-records') {
    throw new RequestError(
      'LevelNotOffered',
      'level signed is not to be had by list-records: nothing signed comes with it. Leave method out, or ask for get-repo or sparse',
    )
  }
  return {
    collections,
    repos,
    hosts,
    method,
    level,
    clientToken: checkText('clientToken', input.clientToken),
    name: checkText('name', input.name),
  }
}

/** Of what and whom a job is. */
export type Scope = Pick<CheckedInput, 'collections' | 'repos' | 'hosts'>

/** Whether a job means the whole network: nothing limits its repos, and no relay lists them by collection. */
export function isWholeNetwork({ collections, repos, hosts }: Scope): boolean {
  return repos === null && hosts === null && !namesEveryCollection(collections)
}

/** @throws RequestError `ScopeTooBroad` when the job means the whole network and the asker may not have that */
export function assertScope(input: Scope, { admin }: { readonly admin: boolean }): void {
  if (admin || !isWholeNetwork(input)) return
  const what =
    input.collections === null
      ? 'None of collections, repos and hosts given'
      : `A prefix (${input.collections.filter(isPrefix).join(', ')}) without repos or hosts`
  throw new RequestError(
    'ScopeTooBroad',
    `${what}: this would mean crawling the whole network, which takes the permission 'admin'. Name the repos, or collections that relays list repos for, or hosts.`,
  )
}

/** One value for all inputs that ask for the same thing, whatever the order of their entries. */
export function inputHash(input: CheckedInput): string {
  const sorted = (values: readonly string[] | null) => values && [...values].sort()
  const hosts = input.hosts && sorted(input.hosts.map(({ origin }) => origin))
  const { method, level, name } = input
  const asked = [
    sorted(input.collections),
    sorted(input.repos),
    method,
    level,
    name,
    ...(hosts ? [hosts] : []),
  ]
  return createHash('sha256').update(JSON.stringify(asked)).digest('base64url')
}

function checkCollections(collections: readonly string[] | undefined): readonly string[] | null {
  if (collections === undefined) return null
  assertCount('collections', collections, COLLECTIONS_MAX, 'every collection')
  const unique = [...new Set(collections)]
  const problems = unique.flatMap((pattern) => {
    const problem = patternProblem(pattern)
    return problem ? [`${quoted(pattern)} is ${problem}`] : []
  })
  if (problems.length > 0) throw new RequestError('InvalidCollection', `collections: ${problems.join('; ')}`)
  return unique
}

function checkRepos(repos: readonly string[] | undefined): readonly string[] | null {
  if (repos === undefined) return null
  assertCount('repos', repos, REPOS_MAX, 'every repo')
  const unique = [...new Set(repos.map((repo) => (isValidHandle(repo) ? repo.toLowerCase() : repo)))]
  const problems = unique.flatMap((repo) => {
    const problem = repoProblem(repo)
    return problem ? [`${quoted(repo)} ${problem}`] : []
  })
  if (problems.length > 0) throw new RequestError('InvalidRepo', `repos: ${problems.join('; ')}`)
  return unique
}

function checkHosts(hosts: readonly string[] | undefined, options: HostOptions): readonly NamedHost[] | null {
  if (hosts === undefined) return null
  assertCount('hosts', hosts, HOSTS_MAX, 'every host')
  const found = new Map<string, NamedHost>()
  const bad = new Set<string>()
  for (const name of hosts) {
    const origin = hostnameToOrigin(name, options)
    if (origin === null) bad.add(name)
    else found.set(origin, { hostname: new URL(origin).host, origin })
  }
  if (bad.size > 0) {
    const problems = [...bad].map((name) => `${quoted(name)} is not the name of a host that may be asked`)
    throw new RequestError('InvalidHost', `hosts: ${problems.join('; ')} (such as pds.example.com)`)
  }
  return [...found.values()]
}

function repoProblem(repo: string): string | null {
  if (!repo.startsWith('did:')) return isValidHandle(repo) ? null : 'is neither a DID nor a handle'
  if (!isValidDid(repo)) return 'is not a valid DID'
  return /^did:(plc|web):/.test(repo)
    ? null
    : 'has a DID method that atproto does not use (did:plc and did:web)'
}

/** Text of the caller's own must come back as it was given: the database takes no NUL, UTF-8 no lone surrogate. */
export function checkText(field: string, text: string | undefined): string | null {
  if (text === undefined) return null
  if (text.isWellFormed() && !text.includes('\u0000')) return text
  throw new RequestError('InvalidRequest', `${field} holds a character that cannot be stored`)
}

function assertCount(field: string, entries: readonly string[], max: number, everything: string): void {
  if (entries.length === 0) {
    throw new RequestError('InvalidRequest', `${field} is empty. Leave it out to ask for ${everything}.`)
  }
  if (entries.length > max) {
    throw new RequestError(
      'InvalidRequest',
      `${field} has ${entries.length} entries; at most ${max} are allowed`,
    )
  }
}

function oneOf<T extends string>(field: string, value: string, known: readonly T[]): T {
  const choice = known.find((word) => word === value)
  if (choice === undefined) {
    throw new RequestError(
      'InvalidRequest',
      `${field} is ${quoted(value)}, but must be one of ${known.join(', ')}`,
    )
  }
  return choice
}

/** A value as a message repeats it: visible and short. */
function quoted(value: string): string {
  return JSON.stringify(value.length > 100 ? `${value.slice(0, 100)}…` : value)
}
