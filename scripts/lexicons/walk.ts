import { isObject, type Json, type JsonObject, objectFields, objectItems } from './json.js'

/** What a part of a document is to the part that holds it. */
export type Role =
  | 'document'
  | 'definition'
  | 'record'
  | 'parameters'
  | 'parameter'
  | 'field'
  | 'item'
  | 'body'
  | 'body-schema'
  | 'message'
  | 'message-schema'
  | 'error'
  | 'permission'

/** One part of a lexicon document. */
export interface Part {
  readonly role: Role
  /** Where it stands, such as `defs.main.parameters.properties.limit`. */
  readonly at: string
  /** The name of a definition, parameter or field; else empty. */
  readonly name: string
  /** A schema's `type`; the role for the parts that have none (document, body, message, error). */
  readonly type: string
  readonly value: JsonObject
}

/**
 * Every part of a lexicon document, from the outside in. What is not shaped like a part is left out: the parser
 * complains of that.
 */
export function* walk(document: JsonObject): Generator<Part> {
  yield { role: 'document', at: '', name: '', type: 'document', value: document }
  for (const [name, definition] of objectFields(document.defs)) {
    yield* walkSchema('definition', `defs.${name}`, name, definition)
  }
}

function* walkSchema(role: Role, at: string, name: string, value: JsonObject): Generator<Part> {
  const type = typeof value.type === 'string' ? value.type : ''
  yield { role, at, name, type, value }
  yield* child('record', `${at}.record`, value.record)
  yield* child('parameters', `${at}.parameters`, value.parameters)
  yield* child('item', `${at}.items`, value.items)
  for (const [field, schema] of objectFields(value.properties)) {
    yield* walkSchema(type === 'params' ? 'parameter' : 'field', `${at}.properties.${field}`, field, schema)
  }
  yield* container('body', 'body-schema', `${at}.input`, value.input)
  yield* container('body', 'body-schema', `${at}.output`, value.output)
  yield* container('message', 'message-schema', `${at}.message`, value.message)
  for (const [index, error] of objectItems(value.errors).entries()) {
    yield { role: 'error', at: `${at}.errors.${index}`, name: '', type: 'error', value: error }
  }
  for (const [index, permission] of objectItems(value.permissions).entries()) {
    yield* walkSchema('permission', `${at}.permissions.${index}`, '', permission)
  }
}

function* child(role: Role, at: string, value: Json | undefined): Generator<Part> {
  if (isObject(value)) yield* walkSchema(role, at, '', value)
}

/** A part without a type of its own around a schema. */
function* container(
  role: 'body' | 'message',
  inner: Role,
  at: string,
  value: Json | undefined,
): Generator<Part> {
  if (!isObject(value)) return
  yield { role, at, name: '', type: role, value }
  yield* child(inner, `${at}.schema`, value.schema)
}
