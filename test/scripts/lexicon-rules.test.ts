import { describe, expect, it } from 'vitest'
import { checkLexicons, pathOf } from '../../scripts/lexicons/check.js'

type Document = Record<string, unknown>

const ID = 'com.example.thing'

const document = (defs: Document, id = ID): Document => ({ lexicon: 1, id, defs })
const output = { encoding: 'application/json' }
const method = { type: 'query', description: 'Gets it. Requires no auth.', output }
const query = (changes: Document = {}) => document({ main: { ...method, ...changes } })
const procedure = (changes: Document) =>
  document({ main: { type: 'procedure', description: 'Does it. Requires no auth.', output, ...changes } })
const subscription = (refs: string[]) =>
  document({
    main: {
      type: 'subscription',
      description: 'Follows it. Requires no auth.',
      message: { schema: { type: 'union', refs } },
    },
    change: { type: 'object', properties: {} },
  })
const parameters = (properties: Document, changes: Document = {}) =>
  query({ parameters: { type: 'params', properties, ...changes } })
const object = (properties: Document, changes: Document = {}) =>
  document({ view: { type: 'object', properties, ...changes } })
const field = (schema: Document) => object({ it: schema })
const record = (changes: Document = {}) =>
  document({
    main: {
      type: 'record',
      description: 'It.',
      key: 'tid',
      record: { type: 'object', properties: {} },
      ...changes,
    },
  })
const permissionSet = (permissions: Document[], changes: Document = {}) =>
  document({ main: { type: 'permission-set', title: 'It', permissions, ...changes } })
const rpc = { type: 'permission', resource: 'rpc', lxm: ['com.example.getThing'], inheritAud: true }

/** Documents with nothing wrong. */
const GOOD: Record<string, Document> = {
  query: query(),
  procedure: procedure({ input: output }),
  subscription: subscription(['#change']),
  record: record(),
  'permission set': permissionSet([
    rpc,
    { type: 'permission', resource: 'repo', collection: ['com.example.post'] },
  ]),
  'strings of every kind': object({
    limited: { type: 'string', maxLength: 10, knownValues: ['two-words'] },
    shown: { type: 'string', maxGraphemes: 10 },
    formatted: { type: 'string', format: 'datetime' },
    list: { type: 'array', items: { type: 'ref', ref: `${ID}#view` }, maxLength: 3 },
  }),
}

/** Documents with one thing wrong, by the rule that must say so. */
const BAD: Record<string, Record<string, Document>> = {
  'invalid-nsid': { 'not an NSID': document({}, 'thing') },
  'lexicon-version': { 'version 2': { ...query(), lexicon: 2 } },
  'invalid-lexicon': {
    'unknown type': document({ main: { type: 'qery' } }),
    'unknown format': field({ type: 'string', format: 'phone-number' }),
    'a length in words': field({ type: 'string', maxLength: 'ten' }),
  },
  'lexicon-schema': {
    'required is no property': object({}, { required: ['it'] }),
    'nullable is no property': object({}, { nullable: ['it'] }),
    'required is no parameter': parameters({}, { required: ['it'] }),
    'default and const': field({ type: 'integer', default: 1, const: 1 }),
    'empty range': field({ type: 'integer', minimum: 2, maximum: 1 }),
    'empty length': field({ type: 'string', minLength: 2, maxLength: 1 }),
    'empty grapheme range': field({ type: 'string', minGraphemes: 2, maxGraphemes: 1, maxLength: 9 }),
    'negative length': field({ type: 'string', minLength: -1, maxLength: 1 }),
    'array of negative length': field({ type: 'array', items: { type: 'boolean' }, minLength: -1 }),
    'blob of no size': field({ type: 'blob', maxSize: 0 }),
    'closed empty union': field({ type: 'union', refs: [], closed: true }),
    'empty ref': field({ type: 'ref', ref: '' }),
    'empty ref in a union': field({ type: 'union', refs: [''] }),
    'token as a field': field({ type: 'token', description: 'It.' }),
    'unknown as a parameter': parameters({ it: { type: 'unknown' } }),
    'list of unknown as a parameter': parameters({ it: { type: 'array', items: { type: 'unknown' } } }),
    'string as a body': query({ output: { ...output, schema: { type: 'string', maxLength: 1 } } }),
    'ref as a definition': document({ it: { type: 'ref', ref: `${ID}#it` } }),
    'record without a key': record({ key: undefined }),
    'unknown record key': record({ key: 'uuid' }),
    'permission without methods': permissionSet([{ ...rpc, lxm: [] }]),
    'permission for no method': permissionSet([{ ...rpc, lxm: ['getThing'] }]),
    'a method as a permission': permissionSet([{ ...rpc, type: 'query' }]),
    'permission without audience': permissionSet([{ ...rpc, inheritAud: false }]),
    'permission for one service': permissionSet([{ ...rpc, inheritAud: false, aud: 'did:web:a.example#b' }]),
    'permission for everything': permissionSet([{ ...rpc, inheritAud: false, aud: '*', lxm: ['*'] }]),
    'permission for no collection': permissionSet([{ type: 'permission', resource: 'repo', collection: [] }]),
    'permission for every collection': permissionSet([
      { type: 'permission', resource: 'repo', collection: ['*'] },
    ]),
    'unknown action': permissionSet([
      { type: 'permission', resource: 'repo', collection: ['com.example.post'], action: ['read'] },
    ]),
    'unknown resource': permissionSet([{ type: 'permission', resource: 'account' }]),
    'unknown language': permissionSet([rpc], { 'title:lang': { '?': 'It' } }),
  },
  'non-main-primary': { 'a query by another name': document({ it: method }) },
  'def-name-syntax': { 'a dash': document({ 'a-view': { type: 'object', properties: {} } }) },
  'field-name-syntax': {
    'a dot': object({ 'a.b': { type: 'boolean' } }),
    'a dash in a parameter': parameters({ 'a-b': { type: 'boolean' } }),
  },
  'defs-main-definition': {
    main: document({ main: { type: 'object', properties: {} } }, 'com.example.defs'),
  },
  'missing-primary-description': {
    none: query({ description: undefined }),
    'an empty one': record({ description: '' }),
  },
  'endpoint-output-undefined': {
    query: query({ output: undefined }),
    procedure: procedure({ output: undefined }),
  },
  'subscription-no-messages': { none: subscription([]) },
  'permissionset-no-title': { none: permissionSet([rpc], { title: undefined }) },
  'permissionset-no-permissions': { none: permissionSet([]) },
  'unlimited-string': {
    field: field({ type: 'string' }),
    parameter: parameters({ cursor: { type: 'string' } }),
    'item of an input': procedure({
      input: {
        ...output,
        schema: { type: 'object', properties: { it: { type: 'array', items: { type: 'string' } } } },
      },
    }),
    definition: document({ word: { type: 'string', knownValues: ['a'] } }),
  },
  'large-string': { '20 KiB and one': field({ type: 'string', maxLength: 20_481 }) },
  'unlimited-bytes': { field: field({ type: 'bytes' }) },
  'large-bytes': { '20 KiB and one': field({ type: 'bytes', maxLength: 20_481 }) },
  'known-string-local-ref': { '#it': field({ type: 'string', maxLength: 9, knownValues: ['#it'] }) },
  'nullable-and-optional': { both: object({ it: { type: 'boolean' } }, { nullable: ['it'] }) },
  'undescribed-token': { none: document({ it: { type: 'token' } }) },
  'unspecified-encoding': { 'an empty one': query({ output: { encoding: '' } }) },
  'unexpected-field': {
    'of the document': { ...query(), revision: 1 },
    misspelt: field({ type: 'string', maxLenght: 10, format: 'did' }),
    'of a method': query({ input: output }),
  },
  'unresolved-ref': {
    'no such definition': field({ type: 'ref', ref: '#nothing' }),
    'no such document': field({ type: 'ref', ref: 'com.example.nothing#view' }),
    'in a union': field({ type: 'union', refs: [`${ID}#nothing`] }),
    'a method': document({
      main: method,
      view: { type: 'object', properties: { it: { type: 'ref', ref: ID } } },
    }),
  },
  'name-case': { 'a capital': object({ It: { type: 'boolean' } }) },
  'error-name-case': {
    'a small letter': query({ errors: [{ name: 'notFound', description: 'Not there.' }] }),
  },
  'undescribed-error': { none: query({ errors: [{ name: 'NotFound' }] }) },
  'known-value-case': { 'an underscore': field({ type: 'string', maxLength: 9, knownValues: ['in_use'] }) },
  'closed-set': {
    enum: field({ type: 'string', maxLength: 9, enum: ['a'] }),
    union: field({ type: 'union', refs: [`${ID}#view`], closed: true }),
  },
  'auth-unsaid': { 'says nothing': query({ description: 'Gets it.' }) },
}

const rulesOf = (value: Document) =>
  checkLexicons(new Map([[pathOf(String(value.id)), JSON.stringify(value)]])).map((problem) => problem.rule)

describe('a lexicon document', () => {
  for (const [name, value] of Object.entries(GOOD)) {
    it(`is accepted: ${name}`, () => {
      expect(rulesOf(value)).toEqual([])
    })
  }

  for (const [rule, documents] of Object.entries(BAD)) {
    for (const [name, value] of Object.entries(documents)) {
      it(`is refused by ${rule}: ${name}`, () => {
        expect(rulesOf(value)).toContain(rule)
      })
    }
  }

  it('is refused if it is not JSON, and the others are still looked at', () => {
    const problems = checkLexicons(
      new Map([
        ['com/example/broken.json', '{"lexicon": 1,'],
        ['com/example/list.json', '[]'],
        [pathOf(ID), JSON.stringify(query({ description: '' }))],
      ]),
    )
    expect(problems).toContainEqual(
      expect.objectContaining({ file: 'lexicons/com/example/broken.json', rule: 'invalid-json' }),
    )
    expect(problems).toContainEqual(
      expect.objectContaining({ file: 'lexicons/com/example/list.json', rule: 'invalid-json' }),
    )
    expect(problems).toContainEqual(
      expect.objectContaining({ at: 'defs.main', rule: 'missing-primary-description' }),
    )
  })

  it('is refused where its id says it should not be', () => {
    const problems = checkLexicons(new Map([['com/example/other.json', JSON.stringify(query())]]))
    expect(problems).toEqual([
      expect.objectContaining({
        rule: 'id-is-not-path',
        message: expect.stringContaining('lexicons/com/example/thing.json'),
      }),
    ])
  })

  it('may refer to another document of the set', () => {
    const files = new Map([
      [pathOf(ID), JSON.stringify(field({ type: 'ref', ref: 'com.example.defs#view' }))],
      [
        'com/example/defs.json',
        JSON.stringify(document({ view: { type: 'object', properties: {} } }, 'com.example.defs')),
      ],
    ])
    expect(checkLexicons(files)).toEqual([])
  })
})
