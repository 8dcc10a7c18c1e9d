import { isDeepStrictEqual } from 'node:util'

/** How published lexicons differ from files. Pure. */

export type Json = null | boolean | number | string | readonly Json[] | JsonObject
export interface JsonObject {
  readonly [key: string]: Json | undefined
}

/** A lexicon as its file has it. */
export interface Lexicon {
  readonly nsid: string
  readonly document: JsonObject
}

/** A record of the collection in which lexicons are published. */
export interface PublishedLexicon {
  readonly nsid: string
  readonly cid: string
  readonly record: JsonObject
}

export interface FieldChange {
  /** Where it stands, such as `defs.main.parameters.properties.limit.maximum`. */
  readonly at: string
  /** Undefined where it is not there. */
  readonly before: Json | undefined
  readonly after: Json | undefined
}

export type LexiconState =
  | { readonly nsid: string; readonly state: 'new' }
  | {
      readonly nsid: string
      readonly state: 'changed'
      readonly cid: string
      readonly changes: readonly FieldChange[]
    }
  | { readonly nsid: string; readonly state: 'unchanged'; readonly cid: string }
  /** Published beside the others, and no file is left of it. */
  | { readonly nsid: string; readonly state: 'no-file'; readonly cid: string }

export const LEXICON_COLLECTION = 'com.atproto.lexicon.schema'

/** The record that publishes a lexicon (https://atproto.com/specs/lexicon#lexicon-publication-and-resolution). */
export function recordOf({ document }: Lexicon): JsonObject {
  return { $type: LEXICON_COLLECTION, ...document }
}

/** The part of an NSID that one DNS record answers for: all but the last segment. */
export function groupOf(nsid: string): string {
  return nsid.slice(0, nsid.lastIndexOf('.'))
}

/** What publishing has to do, by NSID. Lexicons of other groups in the same repo are nobody's business here. */
export function compareLexicons(
  files: readonly Lexicon[],
  published: readonly PublishedLexicon[],
): LexiconState[] {
  const known = new Map(published.map((lexicon) => [lexicon.nsid, lexicon]))
  const groups = new Set(files.map(({ nsid }) => groupOf(nsid)))
  const named = new Set(files.map(({ nsid }) => nsid))
  const states = files.map((file) => compareLexicon(file, known.get(file.nsid)))
  const left = published
    .filter(({ nsid }) => groups.has(groupOf(nsid)) && !named.has(nsid))
    .map(({ nsid, cid }): LexiconState => ({ nsid, state: 'no-file', cid }))
  return [...states, ...left].sort((one, other) => (one.nsid < other.nsid ? -1 : 1))
}

function compareLexicon(file: Lexicon, published: PublishedLexicon | undefined): LexiconState {
  const { nsid } = file
  if (published === undefined) return { nsid, state: 'new' }
  const { cid } = published
  const changes = fieldChanges(published.record, recordOf(file))
  return changes.length === 0 ? { nsid, state: 'unchanged', cid } : { nsid, state: 'changed', cid, changes }
}

/** Field by field; the order of an object's keys says nothing, that of an array's entries does. */
export function fieldChanges(before: Json | undefined, after: Json | undefined, at = ''): FieldChange[] {
  if (isDeepStrictEqual(before, after)) return []
  if (isObject(before) && isObject(after)) {
    // In the order of the file: a PDS gives keys in one of its own.
    const keys = [...new Set([...Object.keys(after), ...Object.keys(before)])]
    return keys.flatMap((key) => fieldChanges(before[key], after[key], at === '' ? key : `${at}.${key}`))
  }
  if (isObjectList(before) && isObjectList(after)) {
    const indices = Array.from({ length: Math.max(before.length, after.length) }, (_, index) => index)
    return indices.flatMap((index) => fieldChanges(before[index], after[index], `${at}[${index}]`))
  }
  return [{ at, before, after }]
}

function isObject(value: Json | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** Lists of words are shorter to read whole. */
function isObjectList(value: Json | undefined): value is readonly JsonObject[] {
  return Array.isArray(value) && value.length > 0 && value.every(isObject)
}
