import { cidOfJson } from '../../src/atproto/content.js'
import type { HostClaim } from '../../src/store/hosts.js'
import type { RecordRow, RepoStep } from '../../src/store/steps.js'
import { addJob, completion, POST, revOf, type TestJob, writeSteps } from '../support/fixtures.js'
import type { Caller } from '../support/network/caller.js'
import type { TestService } from '../support/service.js'
import { openStream, type Stream } from './subscribeJob-support.js'
import { nsid } from './support.js'

/** Forgets what was stored and asked for, so that the same accounts can be used again. */
export async function forgetJobs(on: TestService): Promise<void> {
  await on.service.store.pool.query('truncate record, receipt, job cascade')
}

/** A line of an export; a record, or something with a `$type`. */
export interface Line {
  readonly $type?: string
  readonly uri?: string
  readonly cid?: string
  readonly value?: { readonly [field: string]: unknown }
  readonly [field: string]: unknown
}

/** A record with the CID that it must have. */
export function valued(collection: number, rkey: string, value: object): RecordRow {
  return { collection, rkey, cid: cidOfJson(value)!, value: JSON.stringify(value) }
}

/** So many posts, each with a text of some length. */
export function postsOf(job: TestJob, count: number, fields: object = {}): RecordRow[] {
  const collection = job.collections.get(POST)!
  return Array.from({ length: count }, (_, n) =>
    valued(collection, `k${String(n).padStart(6, '0')}`, { $type: POST, n, ...fields }),
  )
}

/** Stores a repo as another job fetches it later. */
export async function replaceRepo(
  on: TestService,
  did: string,
  host: HostClaim,
  wish: { readonly version: number; readonly count: number; readonly fields?: object },
): Promise<void> {
  const { version, count, fields = {} } = wish
  const other = await addJob(on.service.store, { repos: [did], collections: [POST] })
  const rows = postsOf(other, count, { ...fields, version })
  const move: Partial<RepoStep> = { rev: revOf(version) }
  const [isWritten] = await writeSteps(on.service.store, completion(other, did, host, rows, move))
  if (!isWritten) throw new Error(`${did} was not replaced`)
}

export async function requestExport(
  on: TestService,
  caller: Caller,
  params: Readonly<Record<string, string | number>>,
  headers: Readonly<Record<string, string>> = {},
): Promise<Response> {
  const query = new URLSearchParams(
    Object.entries(params).map(([name, value]): [string, string] => [name, String(value)]),
  )
  const authorization = await caller.authorization({ aud: on.did, lxm: nsid('exportRecords') })
  return fetch(`${on.url}/xrpc/${nsid('exportRecords')}?${query}`, {
    headers: { 'accept-encoding': 'identity', ...authorization, ...headers },
  })
}

/** All lines of an export, without looking whether it is whole. */
export async function exportLines(
  on: TestService,
  caller: Caller,
  params: Readonly<Record<string, string | number>>,
): Promise<Line[]> {
  return linesIn(await (await requestExport(on, caller, params)).text())
}

export function linesIn(text: string): Line[] {
  if (!text.endsWith('\n')) throw new Error('the last line has no end')
  return text
    .slice(0, -1)
    .split('\n')
    .map((line) => JSON.parse(line))
}

export const isRecord = ({ uri }: Line) => uri !== undefined

/** What the name of a line's type is. */
export const typeOf = ({ $type }: Line) => $type?.split('#')[1] ?? 'record'

export function openRecords(
  on: TestService,
  caller: Caller | null,
  wish: Readonly<Record<string, string | number>>,
): Promise<Stream> {
  return openStream(on, caller, wish, {}, nsid('subscribeRecords'))
}
