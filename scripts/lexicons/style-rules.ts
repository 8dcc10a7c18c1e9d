import { strings } from './json.js'
import type { Check } from './schema-rules.js'
import type { Part } from './walk.js'

const LOWER_CAMEL = /^[a-z][a-zA-Z0-9]*$/
const UPPER_CAMEL = /^[A-Z][a-zA-Z0-9]*$/
const KEBAB = /^[a-z][a-z0-9]*(-[a-z0-9]+)*$/

function* nameCase({ name }: Part): Generator<string> {
  if (name !== '' && !LOWER_CAMEL.test(name)) yield 'the name is not in lowerCamelCase'
}

function* errorName({ role, value }: Part): Generator<string> {
  if (role !== 'error') return
  if (typeof value.name !== 'string' || !UPPER_CAMEL.test(value.name))
    yield 'the name is not in UpperCamelCase'
}

function* undescribedError({ role, value }: Part): Generator<string> {
  if (role === 'error' && !value.description) yield 'has no description'
}

function* fixedString({ value }: Part): Generator<string> {
  for (const known of strings(value.knownValues))
    if (!KEBAB.test(known)) yield `"${known}" is not in kebab-case`
}

function* closedSet({ type, value }: Part): Generator<string> {
  if (value.enum !== undefined) yield 'an enum can never grow: use knownValues'
  if (type === 'union' && value.closed === true) yield 'a closed union can never grow'
}

function* authUnsaid({ type, value }: Part): Generator<string> {
  if (!['query', 'procedure', 'subscription'].includes(type)) return
  if (!(typeof value.description === 'string' && /\bauth\b/.test(value.description))) {
    yield 'the description does not say whether auth is needed'
  }
}

/** What the Lexicon Style Guide asks for and no linter checks. */
export const STYLE_RULES: Readonly<Record<string, Check>> = {
  'name-case': nameCase,
  'error-name-case': errorName,
  'undescribed-error': undescribedError,
  'known-value-case': fixedString,
  'closed-set': closedSet,
  'auth-unsaid': authUnsaid,
}
