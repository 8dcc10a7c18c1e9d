import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { compareLexicons, fieldChanges } from '../../src/cli/lexicons-diff.js'
import { dnsNameOf, findDid } from '../../src/cli/lexicons-dns.js'
import { openOutput } from '../../src/cli/output.js'
import { describe as describeProgress, describeRecords, type Progress, Rate } from '../../src/cli/progress.js'
import { writePieces } from '../../src/cli/records.js'
import { exitCodeOf, summaryOf } from '../../src/cli/summary.js'
import { Table } from '../../src/cli/table.js'
import { count, duration, plain, truncate, widthOf } from '../../src/cli/text.js'

const progress = (parts: Partial<Progress> = {}): Progress => ({
  discoveryComplete: true,
  total: 1_000,
  processed: 250,
  unavailable: 3,
  failed: 2,
  records: 12_345,
  status: 'running',
  ...parts,
})

describe('a line of progress', () => {
  test('has a bar, counts, time left and rate on a terminal, and no bar elsewhere', () => {
    expect(describeProgress(progress(), 10, 200)).toBe(
      '[######------------------]  25%  250/1,000 repos  12,345 records  2 failed  2 min left  10 repos/s  3 unavailable',
    )
    expect(describeProgress(progress(), 10, null)).toBe(
      '25%  250/1,000 repos  12,345 records  2 failed  2 min left  10 repos/s  3 unavailable',
    )
  })

  test('promises nothing while repos are still being found, and says what a job waits for', () => {
    expect(
      describeProgress(progress({ discoveryComplete: false, unavailable: 0, failed: 0 }), 0.31, null),
    ).toBe('250/1,000+ repos  12,345 records  discovering  0.3 repos/s')
    expect(describeProgress(progress({ status: 'paused', unavailable: 0, failed: 0 }), 0, null)).toBe(
      '25%  250/1,000 repos  12,345 records  paused',
    )
  })

  test('fits every terminal, and has a bar as long as there is room', () => {
    for (let columns = 1; columns <= 120; columns += 1) {
      const line = describeProgress(progress(), 10, columns)
      expect(widthOf(line)).toBeLessThanOrEqual(columns)
      if (columns >= 60) expect(line).toMatch(/^\[/)
      if (columns >= 60) expect(line).toContain('records')
      expect(widthOf(describeRecords(5, 10, 1, columns))).toBeLessThanOrEqual(columns)
    }
  })

  test('is full only when everything is done', () => {
    expect(describeProgress(progress({ processed: 999 }), 0, 200)).toMatch(/^\[#{23}-\] {2}99%/)
    expect(describeProgress(progress({ processed: 1_000 }), 0, 200)).toMatch(/^\[#{24}\] {2}100%/)
    expect(describeProgress(progress({ processed: 0, total: 0 }), 0, 200)).toMatch(/^\[-{24}\] {2}0\/0 repos/)
  })

  test('knows the rate of the last while only', () => {
    const rate = new Rate()
    expect(rate.at(0)).toBe(0)
    for (let second = 0; second <= 100; second += 1)
      rate.add(second < 50 ? 0 : (second - 50) * 4, second * 1_000)
    expect(rate.at(100_000)).toBeCloseTo(4)
    expect(rate.at(140_000)).toBeLessThan(2)
  })
})

describe('a table', () => {
  interface Row {
    readonly id: string
    readonly size: number
    readonly note?: string
  }
  const columns = [
    { header: 'ID', value: ({ id }: Row) => id },
    { header: 'SIZE', value: ({ size }: Row) => count(size), align: 'right' as const },
    { header: 'NOTE', value: ({ note }: Row) => note, shrink: 1 },
  ]
  const rows = [
    { id: 'a', size: 1_234, note: 'a note that is rather long' },
    { id: 'bb', size: 5 },
  ]

  test('is aligned and not cut in a pipe; what is empty is a dash', () => {
    expect(new Table(columns, Number.POSITIVE_INFINITY).lines(rows)).toEqual([
      'ID   SIZE  NOTE',
      'a   1,234  a note that is rather long',
      'bb      5  -',
    ])
  })

  test('is cut to a terminal, with an ellipsis; later rows keep the widths', () => {
    const table = new Table(columns, 25)
    expect(table.lines(rows)).toEqual(['ID   SIZE  NOTE', 'a   1,234  a note that i…', 'bb      5  -'])
    expect(table.lines([{ id: 'a much longer id than before', size: 1 }])).toEqual([
      'a much longer id than be…',
    ])
    for (let width = 1; width < 60; width += 1) {
      for (const line of new Table(columns, width).lines(rows))
        expect(widthOf(line)).toBeLessThanOrEqual(width)
    }
  })

  test("cannot be broken by other people's text", () => {
    const [, line] = new Table(columns, 80).lines([
      { id: 'x\ny', size: 1, note: '\u001b[2J\u202Eevil\tname\u009b1m' },
    ])
    expect(line).toBe('x y     1  [2J evil name 1m')
  })
})

describe('text', () => {
  test('is measured in columns, and cut between characters', () => {
    expect(widthOf('日本')).toBe(4)
    expect(widthOf('👩‍👩‍👧é')).toBe(3)
    expect(truncate('日本語', 5)).toBe('日本…')
    expect(truncate('日本語', 4)).toBe('日…')
    expect(truncate('abc', 3)).toBe('abc')
    expect(truncate('abc', 0)).toBe('')
    expect(plain('a\r\nb\u0007')).toBe('a b')
  })

  test('a duration is rounded up', () => {
    expect([0.2, 59, 59.5, 61, 3_599, 3_600, 7_260].map(duration)).toEqual([
      '1 s',
      '59 s',
      '1 min',
      '2 min',
      '1 h 0 min',
      '1 h 0 min',
      '2 h 1 min',
    ])
  })
})

describe('what came of a job', () => {
  const ended = {
    status: 'completed',
    totalRepos: 1_234,
    processedRepos: 1_234,
    completedRepos: 1_230,
    unavailableRepos: 1,
    failedRepos: 3,
    totalRecords: 1,
    failures: [{ class: 'timeout', count: 3, retryable: true }],
  }

  test('is told in a few lines', () => {
    expect(summaryOf(ended, 'out.jsonl')).toBe(
      'Done, but not for every repo.\n' +
        '  1,230 of 1,234 repos completed, 1 record in out.jsonl\n' +
        '  1 unavailable (deactivated, taken down or deleted)\n' +
        '  3 failed: timeout (may go away by itself)\n',
    )
    expect(summaryOf({ ...ended, status: 'failed', error: 'the relay\n is gone' })).toMatch(
      /^Failed: the relay {2}is gone\n/,
    )
    expect(summaryOf({ ...ended, status: 'cancelled' })).toMatch(/^Cancelled\.\n/)
  })

  test('decides the exit code', () => {
    const codes = [
      { status: 'completed', failedRepos: 0 },
      { status: 'failed', failedRepos: 0 },
      { status: 'cancelled', failedRepos: 0 },
      { status: 'completed', failedRepos: 1 },
    ].map(exitCodeOf)
    expect(codes).toEqual([0, 1, 1, 3])
  })
})

describe('a file of records', () => {
  test('has of each repo what counts, and its name only when it is whole', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'aquifer-records-'))
    const file = join(folder, 'records.jsonl')
    const of = (...rkeys: string[]) =>
      rkeys.map((rkey) => ({
        uri: `at://did:web:a.example/com.example.post/${rkey}`,
        cid: 'bafy',
        value: { text: 'ß' },
      }))
    async function* pieces() {
      yield* [
        of('a', 'b'),
        'closed',
        of('c'),
        of('d'),
        'void',
        of('e'),
        'closed',
        'void',
        of('f'),
        'closed',
      ] as const
      expect(await readdir(folder)).toEqual(['records.jsonl.partial'])
    }
    const output = await openOutput(file)
    expect(await writePieces(pieces(), output, null)).toEqual({ records: 4, void: 0 })
    await output.finish()
    const lines = (await readFile(file, 'utf8')).trimEnd().split('\n')
    expect(lines.map((line) => JSON.parse(line).uri.at(-1))).toEqual(['a', 'b', 'e', 'f'])
    expect(await readdir(folder)).toEqual(['records.jsonl'])
    await rm(folder, { recursive: true })
  })
})

describe('comparing lexicons', () => {
  test('takes no notice of the order of keys, but of that of entries', () => {
    expect(fieldChanges({ a: 1, b: { c: [1, 2] } }, { b: { c: [1, 2] }, a: 1 })).toEqual([])
    expect(fieldChanges({ required: ['a', 'b'] }, { required: ['b', 'a'] })).toEqual([
      { at: 'required', before: ['a', 'b'], after: ['b', 'a'] },
    ])
    expect(fieldChanges({ errors: [{ name: 'A' }] }, { errors: [{ name: 'A' }, { name: 'B' }] })).toEqual([
      { at: 'errors[1]', before: undefined, after: { name: 'B' } },
    ])
  })

  test('leaves other groups of the repo out', () => {
    const published = ['network.example.other.get', 'network.example.notes.deep.get'].map((nsid) => ({
      nsid,
      cid: 'bafyreia',
      record: {},
    }))
    const nsid = 'network.example.notes.getNote'
    const document = { lexicon: 1, id: nsid, defs: {} }
    expect(compareLexicons([{ nsid, document }], published)).toEqual([{ nsid, state: 'new' }])
  })

  test('knows where DNS answers, and what counts as an answer', () => {
    expect(dnsNameOf('network.example.notes')).toBe('_lexicon.notes.example.network')
    expect(findDid([['did=did:plc:aaaaaaaa', 'aaaaaaaaaaaaaaaa']])).toEqual({
      state: 'found',
      did: 'did:plc:aaaaaaaaaaaaaaaaaaaaaaaa',
    })
    expect(findDid([['did=nobody']])).toEqual({ state: 'unusable', records: ['did=nobody'] })
    expect(findDid([])).toEqual({ state: 'missing' })
  })
})
