import { describe, expect, it } from 'vitest'
import { layerOf } from '../../src/atproto/repo/keys.js'
import { BLOCKS_AT_ONCE_MAX } from '../../src/atproto/sync.js'
import {
  afterProbe,
  costs,
  fallback,
  firstStep,
  type Obstacle,
  type PlanWish,
  type Probe,
  type ReadMethod,
  type Step,
} from '../../src/engine/plan.js'
import { type FailureClass, LEVELS, REQUESTABLE_METHODS } from '../../src/verdict.js'

const POST = 'com.example.post'

const wish = (of: Partial<PlanWish> = {}): PlanWish => ({
  method: 'auto',
  level: 'content',
  collections: [POST],
  unsupported: new Set(),
  ...of,
})

const without = (...methods: ('getRepo' | 'getRecord' | 'getBlocks' | 'listRecords')[]) => new Set(methods)
const tried = (...methods: ReadMethod[]) => new Set(methods)

type Became = Step | FailureClass
const became = (next: ReturnType<typeof firstStep>): Became =>
  typeof next === 'string' ? next : next.failure

const EVERYTHING = { collections: null }
const SIGNED = { level: 'signed' } as const
const NO_PROOFS = without('getRecord')
const NO_BLOCKS = without('getBlocks')
const NO_REPO = without('getRepo')
const NO_LIST = without('listRecords')
const ONLY_LIST = without('getRepo', 'getRecord', 'getBlocks')
const NOTHING = without('getRepo', 'getRecord', 'getBlocks', 'listRecords')

describe('the first step', () => {
  it.each<[string, Partial<PlanWish>, Became]>([
    ['named collections', {}, 'probe'],
    ['a prefix', { collections: ['com.example.*'] }, 'probe'],
    ['every collection', EVERYTHING, 'get-repo'],
    ['every collection, no whole repos', { ...EVERYTHING, unsupported: NO_REPO }, 'probe'],
    ['every collection, nothing but lists', { ...EVERYTHING, unsupported: ONLY_LIST }, 'list-records'],
    ['no proofs', { unsupported: NO_PROOFS }, 'list-records'],
    ['no blocks', { unsupported: NO_BLOCKS }, 'list-records'],
    ['no blocks, and a large part of the repo', { unsupported: NO_BLOCKS, lastRecords: 5_000 }, 'get-repo'],
    ['no blocks, and a small part of it', { unsupported: NO_BLOCKS, lastRecords: 4_999 }, 'list-records'],
    ['a large part, and blocks', { lastRecords: 5_000 }, 'probe'],
    ['no proofs and no lists', { unsupported: without('getRecord', 'listRecords') }, 'get-repo'],
    ['nothing but lists', { unsupported: ONLY_LIST }, 'list-records'],
    ['nothing at all', { unsupported: NOTHING }, 'unverifiable'],
    ['no level', { level: 'none' }, 'probe'],

    ['signed, named collections', SIGNED, 'probe'],
    ['signed, every collection', { ...SIGNED, ...EVERYTHING }, 'get-repo'],
    ['signed, every collection, no whole repos', { ...SIGNED, ...EVERYTHING, unsupported: NO_REPO }, 'probe'],
    ['signed, no blocks', { ...SIGNED, unsupported: NO_BLOCKS }, 'get-repo'],
    ['signed, no lists', { ...SIGNED, unsupported: NO_LIST }, 'probe'],
    ['signed, nothing but lists', { ...SIGNED, unsupported: ONLY_LIST }, 'unverifiable'],

    ['list-records', { method: 'list-records' }, 'list-records'],
    ['list-records, signed', { ...SIGNED, method: 'list-records' }, 'unverifiable'],
    ['list-records, no lists', { method: 'list-records', unsupported: NO_LIST }, 'unverifiable'],
    ['get-repo', { method: 'get-repo' }, 'get-repo'],
    ['get-repo, signed', { ...SIGNED, method: 'get-repo' }, 'get-repo'],
    ['get-repo, no whole repos', { method: 'get-repo', unsupported: NO_REPO }, 'unverifiable'],
    ['sparse', { method: 'sparse' }, 'probe'],
    ['sparse, every collection', { ...EVERYTHING, method: 'sparse' }, 'probe'],
    ['sparse, no blocks', { method: 'sparse', unsupported: NO_BLOCKS }, 'unverifiable'],
  ])('%s', (_, of, step) => {
    expect(became(firstStep(wish(of)))).toBe(step)
  })

  it('says what the host lacks', () => {
    expect(firstStep(wish({ ...SIGNED, unsupported: ONLY_LIST }))).toEqual({
      failure: 'unverifiable',
      message:
        'sparse: the host does not offer getRecord and getBlocks; ' +
        'get-repo: the host does not offer getRepo; list-records proves no signature',
    })
  })
})

/** A probe of a repo of about 50,000 records: its root is in layer 7, with a few entries. */
const LARGE = { height: 7, rootEntries: 2 }
/** One of about 200 records. */
const SMALL = { height: 3, rootEntries: 2 }

const probe = (of: Partial<Probe> = {}): Probe => ({
  ...LARGE,
  entriesInRange: 1,
  nodesMissing: [],
  recordsMissing: 1,
  ...of,
})

describe('after the probe', () => {
  const END = { entriesInRange: 0, recordsMissing: 0 }
  const BROAD = { entriesInRange: 3, recordsMissing: 3, nodesMissing: [1, 1, 1, 1, 1, 1, 2] }
  const DEEP = { entriesInRange: 1, recordsMissing: 1, nodesMissing: [0, 0, 0, 0, 0, 1] }

  it.each<[string, Partial<PlanWish>, Partial<Probe>, ReadMethod]>([
    ['nothing is there: it is done', {}, END, 'sparse'],
    ['nothing is there, in a small repo', {}, { ...SMALL, ...END }, 'sparse'],
    ['one record is to be fetched', {}, {}, 'sparse'],
    ['one record of a small repo', {}, SMALL, 'sparse'],
    ['some of a small repo, which is one request', {}, { ...SMALL, nodesMissing: [1, 1, 1] }, 'get-repo'],
    [
      'some of a small repo, no whole repos',
      { unsupported: NO_REPO },
      { ...SMALL, nodesMissing: [1, 1] },
      'sparse',
    ],
    ['a few of a large repo', {}, { nodesMissing: [2] }, 'sparse'],
    ['most of a large repo', {}, BROAD, 'get-repo'],
    ['most of it, the whole being too large', { tried: tried('get-repo') }, BROAD, 'sparse'],
    ['most of it, signed', SIGNED, BROAD, 'get-repo'],
    ['most of it, signed, no whole repos', { ...SIGNED, unsupported: NO_REPO }, BROAD, 'sparse'],
    ['most of it, no whole repos', { unsupported: NO_REPO }, BROAD, 'sparse'],
    ['a few far down, where a list needs less', {}, { ...DEEP, height: 11 }, 'sparse'],
    ['everything, no whole repos', { ...EVERYTHING, unsupported: NO_REPO }, BROAD, 'sparse'],
    [
      'sparse, where the whole is one request',
      { method: 'sparse' },
      { ...SMALL, nodesMissing: [1, 1, 1] },
      'sparse',
    ],
    ['sparse, most of a large repo', { method: 'sparse' }, BROAD, 'sparse'],
  ])('%s', (_, of, seen, method) => {
    expect(afterProbe(wish(of), probe(seen))).toBe(method)
  })
})

describe('a few records, as an earlier receipt tells', () => {
  /** The end of the range lies in a subtree of so many levels, where an answer is needed for each. */
  const deep = (levels: number) => probe({ nodesMissing: [...Array<number>(levels - 1).fill(0), 1] })
  const few = { lastRecords: 5, unsupported: NO_REPO }
  const chosen = (of: Partial<PlanWish>, levels: number) => afterProbe(wish(of), deep(levels))

  it('are listed when what is signed takes more than twice the requests', () => {
    expect(costs(wish(few), deep(3))).toMatchObject({
      sparse: { requests: 4 },
      'list-records': { requests: 2 },
    })
    expect([3, 4, 7].map((levels) => chosen(few, levels))).toEqual(['sparse', 'list-records', 'list-records'])
  })

  it('are listed later where each listing is bracketed', () => {
    expect([7, 8].map((levels) => chosen({ ...few, stored: true }, levels))).toEqual([
      'sparse',
      'list-records',
    ])
  })

  it('are not listed where a signature is wanted, no lists are offered, or one has failed', () => {
    expect(chosen({ ...few, ...SIGNED }, 7)).toBe('sparse')
    expect(chosen({ ...few, unsupported: without('getRepo', 'listRecords') }, 7)).toBe('sparse')
    expect(chosen({ ...few, tried: tried('list-records') }, 7)).toBe('sparse')
  })

  it('are not listed where it is not known that they are few', () => {
    expect(chosen({ unsupported: NO_REPO }, 7)).toBe('sparse')
  })
})

describe('a method that did not get to its end', () => {
  const OBSTACLES: readonly Obstacle[] = [
    'unsupported',
    'moved',
    'too-large',
    'incomplete',
    'cid-mismatch',
    'unverifiable',
  ]

  it.each<[string, ReadMethod, Obstacle, Partial<PlanWish>, Became]>([
    ['moving under sparse', 'sparse', 'moved', {}, 'get-repo'],
    ['moving under sparse, signed', 'sparse', 'moved', SIGNED, 'get-repo'],
    ['moving under sparse, no whole repos', 'sparse', 'moved', { unsupported: NO_REPO }, 'list-records'],
    ['moving, no whole repos, signed', 'sparse', 'moved', { ...SIGNED, unsupported: NO_REPO }, 'too-slow'],
    ['moving under list-records', 'list-records', 'moved', {}, 'get-repo'],
    ['sparse, not offered', 'sparse', 'unsupported', { unsupported: NO_BLOCKS }, 'get-repo'],
    ['sparse and the whole not offered', 'sparse', 'unsupported', { unsupported: ONLY_LIST }, 'list-records'],
    [
      'nothing signed offered, signed',
      'sparse',
      'unsupported',
      { ...SIGNED, unsupported: ONLY_LIST },
      'unverifiable',
    ],
    ['sparse, incomplete', 'sparse', 'incomplete', {}, 'get-repo'],
    ['the whole not offered', 'get-repo', 'unsupported', { ...EVERYTHING, unsupported: NO_REPO }, 'probe'],
    ['the whole too large', 'get-repo', 'too-large', EVERYTHING, 'probe'],
    [
      'the whole too large, after sparse',
      'get-repo',
      'too-large',
      { tried: tried('sparse') },
      'list-records',
    ],
    ['all too large', 'get-repo', 'too-large', { ...SIGNED, tried: tried('sparse') }, 'body-too-large'],
    ['no such form', 'get-repo', 'unverifiable', { tried: tried('sparse') }, 'list-records'],
    [
      'no such form, signed',
      'get-repo',
      'unverifiable',
      { ...SIGNED, tried: tried('sparse') },
      'unverifiable',
    ],
    ['a wrong CID in a list', 'list-records', 'cid-mismatch', {}, 'get-repo'],
    ['a wrong CID, no whole repos', 'list-records', 'cid-mismatch', { unsupported: NO_REPO }, 'probe'],
    [
      'a wrong CID, nothing signed',
      'list-records',
      'cid-mismatch',
      { unsupported: ONLY_LIST },
      'cid-mismatch',
    ],
    ['lists not offered', 'list-records', 'unsupported', { unsupported: NO_LIST }, 'probe'],

    ['list-records, a wrong CID', 'list-records', 'cid-mismatch', { method: 'list-records' }, 'cid-mismatch'],
    ['list-records, moving', 'list-records', 'moved', { method: 'list-records' }, 'too-slow'],
    ['get-repo, not offered', 'get-repo', 'unsupported', { method: 'get-repo' }, 'unverifiable'],
    ['get-repo, too large', 'get-repo', 'too-large', { method: 'get-repo' }, 'body-too-large'],
    ['sparse, moving', 'sparse', 'moved', { method: 'sparse' }, 'get-repo'],
    [
      'sparse, moving, no whole repos',
      'sparse',
      'moved',
      { method: 'sparse', unsupported: NO_REPO },
      'too-slow',
    ],
    [
      'sparse, not offered either',
      'sparse',
      'unsupported',
      { method: 'sparse', unsupported: NO_BLOCKS },
      'unverifiable',
    ],
    ['sparse, incomplete, and nothing else', 'sparse', 'incomplete', { method: 'sparse' }, 'incomplete-car'],
  ])('%s', (_, from, why, of, step) => {
    expect(became(fallback(from, why, wish(of)))).toBe(step)
  })

  const all = REQUESTABLE_METHODS.flatMap((method) =>
    LEVELS.flatMap((level) => OBSTACLES.map((why) => ({ method, level, why }))),
  )

  it.each(all)('comes to an end: $method, $level, $why', ({ method, level, why }) => {
    const failed = new Set<ReadMethod>()
    let step = firstStep(wish({ method, level }))
    while (typeof step === 'string') {
      const from = step === 'probe' ? 'sparse' : step
      expect(failed).not.toContain(from)
      expect(level === 'signed' && from === 'list-records').toBe(false)
      step = fallback(from, why, wish({ method, level, tried: new Set(failed) }))
      failed.add(from)
    }
    expect(failed.size).toBeLessThanOrEqual(3)
    expect(step.message).not.toBe('')
  })
})

/** A repo's tree, as far as it matters which nodes a reading needs. */
interface Node {
  readonly layer: number
  /** The keys between which all of it lies. */
  readonly after: string
  readonly before: string
  readonly keys: readonly string[]
  readonly below: readonly Node[]
}

const LAST = '\uffff'

function treeOf(keys: readonly string[], layers: ReadonlyMap<string, number>, at?: Node): Node {
  const layer = at ? at.layer - 1 : keys.reduce((top, key) => Math.max(top, layers.get(key)!), 0)
  const place = { layer, after: at?.after ?? '', before: at?.before ?? LAST }
  const own = keys.flatMap((key, index) => (layers.get(key) === layer ? [index] : []))
  const below = [-1, ...own].flatMap((start, index) => {
    const end = own[index] ?? keys.length
    const between = keys.slice(start + 1, end)
    if (between.length === 0) return []
    const edges = { ...place, after: keys[start] ?? place.after, before: keys[end] ?? place.before }
    return [treeOf(between, layers, { ...edges, keys: [], below: [] })]
  })
  return { ...place, keys: own.map((index) => keys[index]!), below }
}

/** What the proof of the first possible key of a range shows, and what the rest then takes. */
function readSparse(
  root: Node,
  { from, to }: { from: string; to: string },
): { seen: Probe; requests: number } {
  const overlaps = (node: Node) => node.before > from && node.after < to
  const inRange = (node: Node) => node.keys.filter((key) => key >= from && key < to).length
  const path: Node[] = []
  for (let node: Node | undefined = root; node; ) {
    path.push(node)
    node = node.below.find((below) => below.after < from && below.before > from)
  }
  let level = path.flatMap((node) => node.below).filter((node) => overlaps(node) && !path.includes(node))
  const nodesMissing = Array.from(
    { length: root.layer },
    (_, layer) => level.filter((node) => node.layer === layer).length,
  )
  let records = path.reduce((sum, node) => sum + inRange(node), 0)
  const seen = {
    height: root.layer,
    rootEntries: root.keys.length,
    pathEntries: path.slice(1).map((node) => node.keys.length),
    entriesInRange: records,
    nodesMissing,
    recordsMissing: records,
  }
  let requests = 0
  while (level.length > 0) {
    requests += Math.ceil(level.length / BLOCKS_AT_ONCE_MAX)
    records += level.reduce((sum, node) => sum + inRange(node), 0)
    level = level.flatMap((node) => node.below).filter(overlaps)
  }
  return { seen, requests: requests + Math.ceil(records / BLOCKS_AT_ONCE_MAX) }
}

describe('what is expected of a collection', () => {
  const REPO = 50_000
  const TREES = 4
  const layers = new Map<string, number>()
  const keysOf = (collection: string, count: number) => {
    const keys = Array.from({ length: count }, (_, n) => `${collection}/${String(n).padStart(6, '0')}`)
    for (const key of keys) if (!layers.has(key)) layers.set(key, layerOf(key))
    return keys
  }

  /** Repos of 50,000 records with a collection of so many in the midst of them. */
  function readings(records: number) {
    return Array.from({ length: TREES }, (_, tree) => {
      const others = (REPO - records) / 2
      const own = `com.example.p${tree}`
      const keys = [
        ...keysOf(`com.a.p${tree}`, others),
        ...keysOf(own, records),
        ...keysOf(`com.z.p${tree}`, others),
      ]
      const { seen, requests } = readSparse(treeOf(keys, layers), { from: `${own}/`, to: `${own}0` })
      return { requests, expected: costs(wish(), seen), chosen: afterProbe(wish(), seen) }
    })
  }
  const mean = (numbers: readonly number[]) =>
    Math.exp(numbers.reduce((sum, each) => sum + Math.log(each), 0) / numbers.length)

  it.each<[number, ReadMethod]>([
    [2, 'sparse'],
    [10, 'sparse'],
    [100, 'sparse'],
    [1_000, 'sparse'],
    [30_000, 'get-repo'],
  ])('of %i records is about what it takes, and most are read by %s', (records, method) => {
    const all = readings(records)
    const taken = mean(all.map(({ requests }) => requests))
    const expected = mean(all.map((reading) => reading.expected.sparse.requests))
    expect(expected).toBeGreaterThan(taken / 2)
    expect(expected).toBeLessThan(taken * 2)
    const bytes = mean(all.map((reading) => reading.expected['get-repo'].bytes))
    expect(bytes).toBeGreaterThan((REPO * 650) / 2)
    expect(bytes).toBeLessThan(REPO * 650 * 2)
    const chosen = all.filter((reading) => reading.chosen === method)
    expect(chosen.length).toBeGreaterThan(TREES / 2)
  })
})
