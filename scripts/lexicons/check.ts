import { parseLexiconDoc } from '@atproto/lexicon'
import { isObject, type Json, type JsonObject, strings } from './json.js'
import { LINT_RULES } from './lint-rules.js'
import type { Problem } from './problem.js'
import { STYLE_RULES } from './style-rules.js'
import { walk } from './walk.js'

const RULES = Object.entries({ ...LINT_RULES, ...STYLE_RULES })

/** What a reference may not point at: these are called or granted, not held. */
const NOT_DATA = new Set(['query', 'procedure', 'subscription', 'permission-set'])

/**
 * Everything that is wrong with a set of lexicon files, taken by itself.
 * @param files their text by path below `lexicons/`
 */
export function checkLexicons(files: ReadonlyMap<string, string>): Problem[] {
  const documents = new Map<string, JsonObject>()
  const problems: Problem[] = []
  for (const [path, text] of files) {
    const document = parse(text)
    if (isObject(document)) documents.set(path, document)
    else problems.push(problem(path, '', 'invalid-json', document))
  }
  const ids = new Map([...documents.values()].map((document) => [document.id, document]))
  for (const [path, document] of documents) {
    problems.push(
      ...checkPath(path, document),
      ...checkWithParser(path, document),
      ...lint(path, document),
      ...checkReferences(path, document, ids),
    )
  }
  return problems
}

/** Where the document of an NSID belongs, below `lexicons/`. */
export function pathOf(nsid: string): string {
  return `${nsid.split('.').join('/')}.json`
}

/** @returns the document, or why there is none */
function parse(text: string): JsonObject | string {
  try {
    const value: Json = JSON.parse(text)
    return isObject(value) ? value : 'not a JSON object'
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  }
}

function checkPath(path: string, { id }: JsonObject): Problem[] {
  if (typeof id !== 'string' || pathOf(id) === path) return []
  return [problem(path, 'id', 'id-is-not-path', `"${id}" belongs in lexicons/${pathOf(id)}`)]
}

/** lex-cli leaves out what this parser refuses, and says so only in passing. */
function checkWithParser(path: string, document: JsonObject): Problem[] {
  try {
    parseLexiconDoc(structuredClone(document))
    return []
  } catch (error) {
    const issues = issuesOf(error)
    if (issues === null) throw error
    return issues.map((issue) => problem(path, issue.path.join('.'), 'invalid-lexicon', issue.message))
  }
}

/** The parser throws an error of zod, which is a dependency of its own, not of ours. */
function issuesOf(error: unknown): { path: (string | number)[]; message: string }[] | null {
  return error instanceof Error && 'issues' in error && Array.isArray(error.issues) ? error.issues : null
}

function lint(path: string, document: JsonObject): Problem[] {
  return [...walk(document)].flatMap((part) =>
    RULES.flatMap(([rule, check]) =>
      [...check(part)].map((message) => problem(path, part.at, rule, message)),
    ),
  )
}

function checkReferences(
  path: string,
  document: JsonObject,
  ids: ReadonlyMap<Json | undefined, JsonObject>,
): Problem[] {
  return [...walk(document)].flatMap(({ at, type, value }) => {
    const refs = type === 'ref' ? strings([value.ref ?? null]) : type === 'union' ? strings(value.refs) : []
    return refs.flatMap((ref) => {
      const target = resolve(ref, document, ids)
      if (target === null) return [problem(path, at, 'unresolved-ref', `nothing in lexicons/ is "${ref}"`)]
      const wrong = typeof target.type === 'string' && NOT_DATA.has(target.type)
      return wrong
        ? [problem(path, at, 'unresolved-ref', `"${ref}" is a ${target.type}, not a type of data`)]
        : []
    })
  })
}

function resolve(
  ref: string,
  document: JsonObject,
  ids: ReadonlyMap<Json | undefined, JsonObject>,
): JsonObject | null {
  const [id, name = 'main'] = ref.split('#')
  const { defs } = (id === '' ? document : ids.get(id)) ?? {}
  const target = isObject(defs) && Object.hasOwn(defs, name) ? defs[name] : null
  return isObject(target ?? null) ? (target as JsonObject) : null
}

function problem(path: string, at: string, rule: string, message: string): Problem {
  return { file: `lexicons/${path}`, at, rule, message }
}
