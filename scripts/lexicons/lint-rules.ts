import { isValidNsid } from '@atproto/syntax'
import { isObject, strings } from './json.js'
import { type Check, primaryNotMain, SCHEMA_CHECKS } from './schema-rules.js'
import type { Part } from './walk.js'

/** Bytes; longer strings and bytes belong in blobs. */
const LENGTH_MAX = 20 * 1024

const NAME = /^[a-zA-Z][a-zA-Z0-9]{0,254}$/

function* invalidNsid({ role, value }: Part): Generator<string> {
  if (role === 'document' && !(typeof value.id === 'string' && isValidNsid(value.id)))
    yield 'id is not an NSID'
}

function* lexiconVersion({ role, value }: Part): Generator<string> {
  if (role === 'document' && value.lexicon !== 1) yield 'lexicon must be 1'
}

function* lexiconSchema(part: Part): Generator<string> {
  for (const check of SCHEMA_CHECKS) yield* check(part)
}

function* definitionName({ role, name }: Part): Generator<string> {
  if (role === 'definition' && !NAME.test(name)) yield 'the name must be a letter, then letters and digits'
}

function* fieldName({ role, name }: Part): Generator<string> {
  if ((role === 'field' || role === 'parameter') && !NAME.test(name)) {
    yield 'the name must be a letter, then letters and digits'
  }
}

function* mainInDefs({ role, value }: Part): Generator<string> {
  if (role !== 'document' || typeof value.id !== 'string' || !value.id.endsWith('.defs')) return
  if (isObject(value.defs) && value.defs.main !== undefined) yield 'a defs document has no "main"'
}

function* undescribedPrimary({ type, value }: Part): Generator<string> {
  if (['record', 'query', 'procedure', 'subscription'].includes(type) && !value.description)
    yield 'has no description'
}

function* noOutput({ type, value }: Part): Generator<string> {
  if ((type === 'query' || type === 'procedure') && !isObject(value.output))
    yield 'has no output (an empty one is fine)'
}

function* noMessages({ role, value }: Part): Generator<string> {
  if (role === 'message-schema' && strings(value.refs).length === 0) yield 'the subscription has no messages'
}

function* permissionSetTitle({ type, value }: Part): Generator<string> {
  if (type === 'permission-set' && !value.title) yield 'has no title'
}

function* emptyPermissionSet({ type, value }: Part): Generator<string> {
  if (type !== 'permission-set') return
  if (!Array.isArray(value.permissions) || value.permissions.length === 0) yield 'grants nothing'
}

function* unlimitedString({ type, value }: Part): Generator<string> {
  if (type !== 'string') return
  const limits = [value.format, value.maxLength, value.maxGraphemes]
  if (limits.every((limit) => limit === undefined)) yield 'has no format, maxLength or maxGraphemes'
}

function* unlimitedBytes({ type, value }: Part): Generator<string> {
  if (type === 'bytes' && value.maxLength === undefined) yield 'has no maxLength'
}

const tooLong = (wanted: string): Check =>
  function* ({ type, value }) {
    if (type === wanted && typeof value.maxLength === 'number' && value.maxLength > LENGTH_MAX) {
      yield `maxLength is above ${LENGTH_MAX} bytes: use a blob`
    }
  }

function* localKnownValue({ type, value }: Part): Generator<string> {
  if (type !== 'string') return
  for (const known of strings(value.knownValues)) {
    if (known.startsWith('#')) yield `knownValues has "${known}", which looks like a local reference`
  }
}

function* nullableAndOptional({ type, value }: Part): Generator<string> {
  if (type !== 'object') return
  const required = strings(value.required)
  for (const name of strings(value.nullable)) {
    if (!required.includes(name)) yield `"${name}" is both nullable and optional`
  }
}

function* undescribedToken({ type, value }: Part): Generator<string> {
  if (type === 'token' && !value.description) yield 'has no description'
}

function* noEncoding({ role, value }: Part): Generator<string> {
  if (role === 'body' && !value.encoding) yield 'has no encoding'
}

const REFERENCE = ['type', 'description', 'ref']
const PRIMITIVE = ['type', 'description', 'default', 'const']
const ENDPOINT = ['type', 'description', 'parameters', 'errors']

/** The keys of each kind of part, as the lexicon language has them. */
const KEYS: Readonly<Record<string, readonly string[]>> = {
  document: ['$type', 'lexicon', 'id', 'description', 'defs'],
  body: ['description', 'encoding', 'schema'],
  message: ['description', 'schema'],
  error: ['name', 'description'],
  record: ['type', 'description', 'key', 'record'],
  query: [...ENDPOINT, 'output'],
  procedure: [...ENDPOINT, 'input', 'output'],
  subscription: [...ENDPOINT, 'message'],
  'permission-set': ['type', 'description', 'title', 'title:lang', 'detail', 'detail:lang', 'permissions'],
  permission: ['type', 'description', 'resource', 'collection', 'action', 'lxm', 'aud', 'inheritAud'],
  params: ['type', 'description', 'properties', 'required'],
  object: ['type', 'description', 'properties', 'required', 'nullable'],
  array: ['type', 'description', 'items', 'minLength', 'maxLength'],
  boolean: PRIMITIVE,
  integer: [...PRIMITIVE, 'minimum', 'maximum', 'enum'],
  string: [
    ...[...PRIMITIVE, 'format', 'enum', 'knownValues'],
    ...['minLength', 'maxLength', 'minGraphemes', 'maxGraphemes'],
  ],
  bytes: ['type', 'description', 'minLength', 'maxLength'],
  blob: ['type', 'description', 'accept', 'maxSize'],
  ref: REFERENCE,
  union: ['type', 'description', 'refs', 'closed'],
  'cid-link': ['type', 'description'],
  token: ['type', 'description'],
  unknown: ['type', 'description'],
}

/** goat looks at the document's own keys only; a misspelt `maxLenght` further in does as much harm. */
function* unexpectedField({ type, value }: Part): Generator<string> {
  const known = KEYS[type]
  for (const key of Object.keys(value))
    if (known && !known.includes(key)) yield `the field "${key}" is not known`
}

/** The rules of `goat lex lint`, errors and warnings, by the names it gives them. */
export const LINT_RULES: Readonly<Record<string, Check>> = {
  'invalid-nsid': invalidNsid,
  'lexicon-version': lexiconVersion,
  'lexicon-schema': lexiconSchema,
  'non-main-primary': primaryNotMain,
  'def-name-syntax': definitionName,
  'field-name-syntax': fieldName,
  'defs-main-definition': mainInDefs,
  'missing-primary-description': undescribedPrimary,
  'endpoint-output-undefined': noOutput,
  'subscription-no-messages': noMessages,
  'permissionset-no-title': permissionSetTitle,
  'permissionset-no-permissions': emptyPermissionSet,
  'unlimited-string': unlimitedString,
  'large-string': tooLong('string'),
  'unlimited-bytes': unlimitedBytes,
  'large-bytes': tooLong('bytes'),
  'known-string-local-ref': localKnownValue,
  'nullable-and-optional': nullableAndOptional,
  'undescribed-token': undescribedToken,
  'unspecified-encoding': noEncoding,
  'unexpected-field': unexpectedField,
}
