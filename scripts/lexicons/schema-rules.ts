import { validateLanguage } from '@atproto/common-web'
import { isValidNsid } from '@atproto/syntax'
import { isObject, type Json, strings } from './json.js'
import type { Part } from './walk.js'

/**
 * Looks at one part of a document and says what is wrong with it, once for each thing.
 * Here: the lexicon language itself, where `@atproto/lexicon`'s parser lets something through that other
 * implementations refuse (https://atproto.com/specs/lexicon).
 */
export type Check = (part: Part) => Iterable<string>

const CONCRETE = ['boolean', 'integer', 'string', 'bytes', 'cid-link', 'blob']
const FIELD_TYPES = new Set([...CONCRETE, 'array', 'object', 'ref', 'union', 'unknown'])
const PARAMETER_TYPES = new Set(['boolean', 'integer', 'string'])
const BODY_TYPES = new Set(['object', 'ref', 'union'])
const PRIMARY_TYPES = new Set(['record', 'query', 'procedure', 'subscription', 'permission-set'])
const DEFINITION_TYPES = new Set([...PRIMARY_TYPES, ...CONCRETE, 'array', 'object', 'token'])
const REPO_ACTIONS = new Set(['create', 'update', 'delete'])

function* wrongDefinition(part: Part): Generator<string> {
  if (part.role !== 'definition') return
  if (!DEFINITION_TYPES.has(part.type)) yield `a "${part.type}" cannot be a definition of its own`
}

/** What can be called, recorded or granted is the document's own subject. */
export function* primaryNotMain(part: Part): Generator<string> {
  if (part.role === 'definition' && PRIMARY_TYPES.has(part.type) && part.name !== 'main') {
    yield `a ${part.type} must be the definition "main"`
  }
}

function* wrongFieldType({ role, type, value }: Part): Generator<string> {
  if ((role === 'field' || role === 'item') && !FIELD_TYPES.has(type)) yield `a ${role} cannot be a "${type}"`
  if (role === 'body-schema' && !BODY_TYPES.has(type)) yield `a body cannot be a "${type}"`
  if (role !== 'parameter') return
  const simple = type === 'array' && isObject(value.items) ? value.items.type : type
  if (typeof simple !== 'string' || !PARAMETER_TYPES.has(simple)) {
    yield 'a parameter is a boolean, an integer, a string, or an array of one of these'
  }
}

function* unknownProperty({ type, value }: Part): Generator<string> {
  if (type !== 'object' && type !== 'params') return
  const known = isObject(value.properties) ? value.properties : {}
  for (const list of ['required', 'nullable'] as const) {
    for (const name of strings(value[list])) {
      if (!Object.hasOwn(known, name)) yield `${list} names "${name}", which is not a property`
    }
  }
}

function* defaultAndConst({ value }: Part): Generator<string> {
  if (value.default !== undefined && value.const !== undefined) yield 'has both a default and a const'
}

function* wrongRange({ type, value }: Part): Generator<string> {
  const lengths = [
    ['minLength', 'maxLength'],
    ['minGraphemes', 'maxGraphemes'],
  ] as const
  for (const [min, max] of lengths) {
    yield* emptyRange(min, value[min], max, value[max])
    for (const name of [min, max]) if (below(value[name], 0)) yield `${name} is below zero`
  }
  yield* emptyRange('minimum', value.minimum, 'maximum', value.maximum)
  if (type === 'blob' && below(value.maxSize, 1)) yield 'maxSize is not above zero'
}

function* emptyRange(
  minName: string,
  min: Json | undefined,
  maxName: string,
  max: Json | undefined,
): Generator<string> {
  if (typeof min === 'number' && below(max, min)) yield `${maxName} is below ${minName}`
}

function below(value: Json | undefined, bound: number): boolean {
  return typeof value === 'number' && value < bound
}

function* wrongReference({ type, value }: Part): Generator<string> {
  if (type === 'ref' && value.ref === '') yield 'ref is empty'
  if (type !== 'union') return
  if (strings(value.refs).includes('')) yield 'a ref is empty'
  if (value.closed === true && strings(value.refs).length === 0) yield 'a closed union needs refs'
}

function* wrongRecordKey({ type, value }: Part): Generator<string> {
  if (type !== 'record') return
  const { key } = value
  if (typeof key !== 'string' || !(['tid', 'nsid', 'any'].includes(key) || key.startsWith('literal:'))) {
    yield 'key must be tid, nsid, any or literal:…'
  }
}

function* wrongPermission({ role, type, value }: Part): Generator<string> {
  if (role !== 'permission') return
  if (type !== 'permission') yield 'an entry of permissions has the type "permission"'
  if (value.resource === 'repo') yield* wrongRepoPermission(strings(value.collection), strings(value.action))
  else if (value.resource === 'rpc')
    yield* wrongRpcPermission(strings(value.lxm), value.aud, value.inheritAud === true)
  else yield `a permission set cannot grant the resource "${String(value.resource)}"`
}

function* wrongRepoPermission(collections: readonly string[], actions: readonly string[]): Generator<string> {
  if (collections.length === 0) yield 'a repo permission needs a collection'
  for (const nsid of collections) if (!isValidNsid(nsid)) yield `collection "${nsid}" is not an NSID`
  for (const action of actions) if (!REPO_ACTIONS.has(action)) yield `action "${action}" is not known`
}

function* wrongRpcPermission(
  methods: readonly string[],
  audience: Json | undefined,
  inherit: boolean,
): Generator<string> {
  if (methods.length === 0) yield 'an rpc permission needs lxm'
  for (const nsid of methods) if (nsid !== '*' && !isValidNsid(nsid)) yield `lxm "${nsid}" is not an NSID`
  const named = audience !== undefined && audience !== ''
  if (named === inherit) yield 'an rpc permission has either aud or inheritAud'
  if (named && audience !== '*') yield 'aud cannot name a service in a permission set'
  if (methods.includes('*') && audience === '*') yield 'lxm and aud cannot both be "*"'
}

function* wrongLanguage({ type, value }: Part): Generator<string> {
  if (type !== 'permission-set') return
  for (const field of ['title:lang', 'detail:lang'] as const) {
    const translations = value[field]
    const languages = isObject(translations) ? Object.keys(translations) : []
    for (const tag of languages)
      if (!validateLanguage(tag)) yield `${field} has "${tag}", which is not a language`
  }
}

/** All of them: the checks behind the rule `lexicon-schema`. */
export const SCHEMA_CHECKS: readonly Check[] = [
  wrongDefinition,
  wrongFieldType,
  unknownProperty,
  defaultAndConst,
  wrongRange,
  wrongReference,
  wrongRecordKey,
  wrongPermission,
  wrongLanguage,
]
