import { isObject, type Json, type JsonObject, objectFields, objectItems, strings } from './lexicons/json.js'

/** Where the page lies, below the project's root. */
export const LEXICON_DOCS = 'docs/lexicons.md'

const KINDS: Readonly<Record<string, string>> = {
  query: 'Query',
  procedure: 'Procedure',
  subscription: 'Subscription',
  'permission-set': 'Permission set',
}

/**
 * The page that shows all lexicons to people: each method with what goes in and comes out, then the types. Pure.
 * @param documents the documents of one authority's folder, in any order
 */
export function renderLexicons(documents: readonly JsonObject[]): string {
  const sorted = documents.toSorted((a, b) => (String(a.id) < String(b.id) ? -1 : 1))
  const folder = String(sorted[0]?.id).split('.').slice(0, -1).join('.')
  const methods = sorted.filter((document) => mainOf(document) !== null)
  const others = sorted.filter((document) => mainOf(document) === null)
  return `${[
    '# Lexicons',
    '<!-- Written by `npm run codegen` from lexicons/: change those. -->',
    `Everything under \`${folder}\`. Fields that are not marked as required may be left out; a string without a format`.concat(
      ' has at most so many bytes as are named. Lists of known values may grow.',
    ),
    listOf(methods),
    ...methods.flatMap((document) => [...renderDocument(document)]),
    ...others.flatMap((document) => [`## ${nameOf(document)}`, ...renderDocument(document)]),
  ].join('\n\n')}\n`
}

function mainOf({ defs }: JsonObject): JsonObject | null {
  const main = isObject(defs) ? defs.main : null
  return isObject(main) ? main : null
}

function nameOf({ id }: JsonObject): string {
  return String(id).split('.').at(-1)!
}

function listOf(methods: readonly JsonObject[]): string {
  const rows = methods.map((document) => {
    const name = nameOf(document)
    return [`[\`${name}\`](#${slug(name)})`, kindOf(mainOf(document)!), firstSentence(mainOf(document)!)]
  })
  return table(['', 'kind', ''], rows)
}

function kindOf({ type }: JsonObject): string {
  return KINDS[String(type)] ?? String(type)
}

function firstSentence({ description }: JsonObject): string {
  return /^.*?[.:](?= |$)/.exec(String(description ?? ''))?.[0].replace(/:$/, '.') ?? ''
}

function* renderDocument(document: JsonObject): Generator<string> {
  const name = nameOf(document)
  for (const [definition, schema] of objectFields(document.defs)) {
    if (definition === 'main') {
      yield `## ${name}`
      yield* renderMain(name, schema)
    } else yield* renderDefinition(name, definition, schema)
  }
}

function* renderMain(owner: string, main: JsonObject): Generator<string> {
  yield `${kindOf(main)}. ${description(main)}`
  for (const permission of objectItems(main.permissions)) {
    const methods = strings(permission.lxm).map((nsid) => nsid.split('.').at(-1)!)
    yield `Methods: ${methods.map((name) => `[\`${name}\`](#${slug(name)})`).join(', ')}.`
  }
  yield* renderFields(owner, '**Parameters**', main.parameters)
  yield* renderBody(owner, '**Input**', main.input)
  yield* renderBody(owner, '**Output**', main.output)
  if (isObject(main.message)) yield `**Messages**: ${typeOf(owner, main.message.schema)}`
  const errors = objectItems(main.errors).map((error) => [`\`${error.name}\``, description(error)])
  if (errors.length > 0) yield `**Errors**\n\n${table(['name', ''], errors)}`
}

function* renderBody(owner: string, title: string, body: Json | undefined): Generator<string> {
  if (!isObject(body)) return
  const { schema, encoding } = body
  const told = description(body)
  const about = [
    `${title}: \`${encoding}\``,
    isObject(schema) && schema.type !== 'object' ? typeOf(owner, schema) : '',
  ]
  yield [about.filter(Boolean).join(', '), told].filter(Boolean).join('. ')
  if (isObject(schema) && schema.type === 'object') yield* renderFields(owner, '', schema)
}

function* renderDefinition(owner: string, name: string, schema: JsonObject): Generator<string> {
  yield `### ${owner}#${name}`
  const told = description(schema)
  if (schema.type === 'object') {
    if (told !== '') yield told
    yield* renderFields(owner, '', schema)
  } else yield `${capital(typeOf(owner, schema))}. ${told}`.trim()
}

function* renderFields(owner: string, title: string, schema: Json | undefined): Generator<string> {
  if (!isObject(schema)) return
  const required = new Set(strings(schema.required))
  const rows = objectFields(schema.properties).map(([name, field]) => [
    `\`${name}\`${required.has(name) ? ' (required)' : ''}`,
    typeOf(owner, field),
    description(field) || description(isObject(field.items) ? field.items : {}),
  ])
  const fields = rows.length === 0 ? 'Nothing.' : table(['field', 'type', ''], rows)
  yield title === '' ? fields : `${title}\n\n${fields}`
}

/** A type in a few words, with links to the ones that have a name. */
function typeOf(owner: string, schema: Json | undefined): string {
  if (!isObject(schema)) return ''
  const { type, format, items, ref, refs, default: fallback } = schema
  const ending = fallback === undefined ? '' : `, else \`${JSON.stringify(fallback)}\``
  if (type === 'ref') return linkTo(owner, String(ref)) + ending
  if (type === 'union')
    return strings(refs)
      .map((each) => linkTo(owner, each))
      .join(', ')
  if (type === 'array') {
    return `list${range(schema.minLength, schema.maxLength)} of ${typeOf(owner, items)}`
  }
  if (type === 'integer') {
    return `integer${range(schema.minimum, schema.maximum)}${ending}`
  }
  if (type !== 'string') return `${type}${ending}`
  const known = strings(schema.knownValues).map((value) => `\`${value}\``)
  const kind = known.length > 0 ? known.join(', ') : format !== undefined ? String(format) : 'string'
  const bytes = known.length === 0 ? range(undefined, schema.maxLength) : ''
  return kind + bytes + ending
}

function range(min: Json | undefined, max: Json | undefined): string {
  if (min !== undefined && max !== undefined) return ` (${number(min)} to ${number(max)})`
  if (max !== undefined) return ` (at most ${number(max)})`
  return min !== undefined ? ` (at least ${number(min)})` : ''
}

function number(value: Json): string {
  return Number(value).toLocaleString('en-GB')
}

function linkTo(owner: string, ref: string): string {
  const [id = '', name = 'main'] = ref.split('#')
  const document = id === '' ? owner : id.split('.').at(-1)!
  const heading = name === 'main' ? document : `${document}#${name}`
  return `[${name === 'main' ? document : name}](#${slug(heading)})`
}

/** The anchor that a heading gets. */
function slug(heading: string): string {
  return heading.toLowerCase().replaceAll('#', '')
}

function description({ description: text }: JsonObject): string {
  return typeof text === 'string' ? text : ''
}

function capital(text: string): string {
  return text.replace(/^[a-z]/, (letter) => letter.toUpperCase())
}

function table(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) =>
    `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`
  return [line(header), line(header.map(() => '---')), ...rows.map(line)].join('\n')
}
