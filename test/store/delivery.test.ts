import { Kysely, PostgresDialect, type PostgresPoolClient } from 'kysely'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { tellAccounts } from '../../src/store/accounts.js'
import { type DeliveredRepo, DeliveryReader, DetailsGone } from '../../src/store/delivery.js'
import { deleteDetails } from '../../src/store/details.js'
import type { HostClaim } from '../../src/store/hosts.js'
import type { Database } from '../../src/store/schema.js'
import { createStore } from '../support/database.js'
import {
  addJob,
  completeJob,
  completion,
  didOf,
  didsOf,
  drive,
  LIKE,
  POST,
  posts,
  randomOf,
  record,
  resolution,
  revOf,
  step,
  type TestJob,
  writeSteps,
} from '../support/fixtures.js'

/** What a job has come to, read page by page. */

const MiB = 1024 * 1024

let store: Awaited<ReturnType<typeof createStore>>
let host: HostClaim

beforeAll(async () => {
  store = await createStore()
  host = await drive(store.db)
})

afterAll(() => store[Symbol.asyncDispose]())

function readerOf(job: TestJob, wish: { collection?: string; did?: string; after?: number } = {}) {
  const { collection = null, did = null, after = 0 } = wish
  const query = { job: job.key, scope: job.scope, collection, did, through: null }
  return new DeliveryReader(store.db, query, after)
}

interface Line {
  readonly uri: string
  readonly cid: string
  readonly value?: unknown
}

const linesOf = ({ lines }: DeliveredRepo): Line[] =>
  lines.flatMap(({ bytes }) =>
    bytes
      .toString()
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line)),
  )

/** All there is now, repo by repo, as somebody has it who takes back what he is told to. */
async function readAll(reader: DeliveryReader): Promise<{ repo: DeliveredRepo; records: Line[] }[]> {
  const closed: { repo: DeliveredRepo; records: Line[] }[] = []
  let open: Line[] = []
  for (let more = true; more; ) {
    const page = await reader.page()
    for (const repo of page.repos) {
      if (repo.begins) open = []
      open.push(...linesOf(repo))
      if (repo.ends) closed.push({ repo, records: open })
    }
    more = page.more
  }
  return closed
}

/** Stores a repo as another job fetches it later: all of its records with one number in their values. */
async function replace(did: string, version: number, count: number): Promise<void> {
  const other = await addJob(store, { repos: [did], collections: [POST] })
  const rows = Array.from({ length: count }, (_, n) => {
    const rkey = `r${String(n).padStart(5, '0')}`
    return record(other.collections.get(POST)!, rkey, `bafy-${version}-${n}`, `{"version":${version}}`)
  })
  await writeSteps(store, completion(other, did, host, rows, { rev: revOf(version) }))
}

describe('what a job has come to', () => {
  test('comes in the order in which repos ended, then by collection and record key', async () => {
    const job = await addJob(store, { repos: didsOf(5, 100) })
    const [a, b, c, d, e] = didsOf(5, 100) as [string, string, string, string, string]
    await writeSteps(store, ...[a, b, c, d].map((did) => resolution(job, did, host)))
    const like = record(job.collections.get(LIKE)!, 'z')
    await writeSteps(store, completion(job, c, host, [...posts(job, 'b', 'a'), like]))
    await writeSteps(store, step(job, d, host, { status: 'unavailable', reason: 'takendown' }))
    await writeSteps(store, completion(job, a, host, []))
    await writeSteps(store, step(job, b, host, { status: 'failed', failure: 'timeout', message: 'late' }))
    const read = await readAll(readerOf(job))
    expect(read.map(({ repo }) => [repo.did, repo.outcome.status])).toEqual([
      [c, 'completed'],
      [d, 'unavailable'],
      [a, 'completed'],
      [b, 'failed'],
    ])
    expect(read[0]!.records.map(({ uri }) => uri)).toEqual([
      `at://${c}/${LIKE}/z`,
      `at://${c}/${POST}/a`,
      `at://${c}/${POST}/b`,
    ])
    expect(read[0]!.repo.outcome).toMatchObject({
      receipt: { did: c, receipt_records: 3, receipt_origin: 'https://pds.example', level: 'content' },
    })
    const [, second] = read
    expect(await readAll(readerOf(job, { after: second!.repo.seq }))).toEqual(read.slice(2))
    expect((await readAll(readerOf(job, { did: c, collection: LIKE })))[0]!.records).toHaveLength(1)
    expect(await readAll(readerOf(job, { did: e }))).toEqual([])
  })

  test('a reader at the end goes on with what comes', async () => {
    const [a, b] = didsOf(2, 110) as [string, string]
    const job = await addJob(store, { repos: [a, b] })
    await writeSteps(store, completion(job, b, host, posts(job, 'x')))
    const reader = readerOf(job)
    expect(await readAll(reader)).toHaveLength(1)
    expect(await reader.page()).toMatchObject({ repos: [], more: false, status: 'running' })
    await writeSteps(store, completion(job, a, host, posts(job, 'y')))
    await completeJob(store.db, job.key)
    expect((await readAll(reader)).map(({ repo }) => repo.did)).toEqual([a])
    expect(await reader.page()).toMatchObject({ repos: [], more: false, status: 'completed' })
    await deleteDetails(store.db, { key: job.key }, ['completed'])
    await expect(reader.page()).rejects.toBeInstanceOf(DetailsGone)
  })

  test('pages are small, whatever is stored', async () => {
    const dids = didsOf(3, 120)
    const job = await addJob(store, { repos: dids, collections: [POST] })
    const large = (rkey: string, bytes: number) => ({
      ...posts(job, rkey)[0]!,
      value: JSON.stringify({ text: 'x'.repeat(bytes) }),
    })
    const many = posts(job, ...Array.from({ length: 9_000 }, (_, n) => `k${10_000 + n}`))
    await writeSteps(store, completion(job, dids[0]!, host, many))
    const rows = Array.from({ length: 12 }, (_, n) => large(`k${10 + n}`, n === 5 ? 3 * MiB : MiB / 2))
    await writeSteps(store, completion(job, dids[1]!, host, rows))
    await writeSteps(store, completion(job, dids[2]!, host, posts(job, 'only')))
    const reader = readerOf(job)
    const sizes: number[] = []
    const uris: string[] = []
    for (let more = true; more; ) {
      const page = await reader.page()
      const lines = page.repos.flatMap(linesOf)
      sizes.push(page.repos.flatMap((repo) => repo.lines).reduce((sum, { bytes }) => sum + bytes.length, 0))
      expect(lines.length).toBeLessThan(8_100)
      uris.push(...lines.map(({ uri }) => uri))
      more = page.more
    }
    expect(uris).toHaveLength(9_000 + 12 + 1)
    expect(new Set(uris).size).toBe(uris.length)
    // One large record more than a page holds at most.
    expect(Math.max(...sizes)).toBeLessThan(MiB + 3 * MiB + MiB / 2)
    expect(sizes.filter((size) => size > 2 * MiB)).toHaveLength(1)
  })

  test('a page that was given back is where another one lies, and no other page is touched', async () => {
    const dids = didsOf(6, 900)
    const job = await addJob(store, { repos: dids, collections: [POST] })
    for (const did of dids) {
      const rows = posts(job, ...Array.from({ length: 700 }, (_, n) => `k${10_000 + n}`))
      const value = JSON.stringify({ of: did, text: 'y'.repeat(1_500) })
      await writeSteps(
        store,
        completion(
          job,
          did,
          host,
          rows.map((row) => ({ ...row, value })),
        ),
      )
    }
    const whole = (await readAll(readerOf(job))).flatMap(({ records }) => records)
    const reader = readerOf(job)
    const places: (ArrayBufferLike | undefined)[] = []
    const read: Line[] = []
    let before = await reader.page()
    for (let more = before.more; more; ) {
      const page = await reader.page()
      read.push(...before.repos.flatMap(linesOf))
      reader.reuse(before)
      places.push(page.memory?.buffer)
      before = page
      more = page.more
    }
    read.push(...before.repos.flatMap(linesOf))
    expect(read).toEqual(whole)
    expect(places.length).toBeGreaterThan(3)
    expect(new Set(places).size).toBeLessThan(places.length)
  })

  test('collections that are cut, or hold large values, come whole and in their order', async () => {
    const dids = didsOf(3, 125)
    const job = await addJob(store, { repos: dids })
    const likes = (count: number) =>
      Array.from({ length: count }, (_, n) => record(job.collections.get(LIKE)!, `l${10_000 + n}`))
    const large = posts(job, 'b', 'd').map((row) => ({ ...row, value: `{"text":"${'x'.repeat(20_000)}"}` }))
    await writeSteps(store, completion(job, dids[0]!, host, [...likes(700), ...posts(job, 'a', 'b', 'c')]))
    await writeSteps(
      store,
      completion(job, dids[1]!, host, [...likes(150), ...posts(job, 'a', 'c', 'e'), ...large]),
    )
    await writeSteps(store, completion(job, dids[2]!, host, [...large, ...likes(2)]))
    const read = await readAll(readerOf(job))
    const { rows } = await store.pool.query<{ uri: string }>(
      `select uri from readable_record where did = any($1) order by did, collection, rkey`,
      [dids],
    )
    expect(read.flatMap(({ records }) => records.map(({ uri }) => uri))).toEqual(rows.map(({ uri }) => uri))
  })

  test.each([1, 2, 3, 4])('nothing is missed or doubled, wherever pages end: %i', async (seed) => {
    const random = randomOf(seed)
    const upTo = (most: number) => Math.floor(random() ** 3 * most)
    const dids = didsOf(40, 10_000 + 100 * seed)
    const job = await addJob(store, { repos: dids })
    for (const did of dids) {
      const rows = [POST, LIKE].flatMap((nsid) =>
        Array.from({ length: upTo(300) }, (_, n) => {
          const fill = 'y'.repeat(random() < 0.02 ? upTo(60_000) : upTo(200))
          const value = random() < 0.02 ? `{"fill":\n"${fill}"}` : `{"fill":"${fill}"}`
          return record(job.collections.get(nsid)!, `k${10_000 + n}`, `bafy-${n}`, value)
        }),
      )
      // A receipt may count fewer than there are by now, or more.
      const off = random() < 0.5 ? 1 : 0.2 + 2 * random()
      const counted = (nsid: string) =>
        Math.ceil(off * rows.filter(({ collection }) => collection === job.collections.get(nsid)).length)
      const counts = { [POST]: counted(POST), [LIKE]: counted(LIKE) }
      const receipt = { scope: job.scope, rev: null, dataCid: null, counts }
      await writeSteps(store, completion(job, did, host, rows, { receipt }))
    }
    const pageBytes = 500 + upTo(100_000)
    const query = { job: job.key, scope: job.scope, collection: null, did: null, through: null, pageBytes }
    const read = await readAll(new DeliveryReader(store.db, query, 0))
    const { rows } = await store.pool.query<{ uri: string }>(
      `select uri from readable_record where did = any($1) order by did, collection, rkey`,
      [dids],
    )
    expect(read.map(({ repo }) => repo.did)).toEqual(dids)
    expect(read.flatMap(({ records }) => records.map(({ uri }) => uri))).toEqual(rows.map(({ uri }) => uri))
  })

  test('a page comes again when the database goes away at the very end of its transaction', async () => {
    const dids = didsOf(90, 9_000)
    const job = await addJob(store, { repos: dids, collections: [POST] })
    for (const did of dids) await writeSteps(store, completion(job, did, host, posts(job, 'a', 'b')))
    const query = { job: job.key, scope: job.scope, collection: null, did: null, through: null }
    const reader = new DeliveryReader(dyingAtCommit(2), query, 0)
    const read: string[] = []
    let deaths = 0
    for (let more = true; more; ) {
      const page = await reader.page().catch(() => null)
      if (page === null) deaths += 1
      else more = page.more
      read.push(...(page?.repos ?? []).map(({ did }) => did))
    }
    expect(deaths).toBe(2)
    expect(read).toEqual(dids)
  })

  test('values come as they were stored, each on one line; none where there is none', async () => {
    const did = didOf(130)
    const job = await addJob(store, { repos: [did], collections: [POST] })
    const texts = ['{"__proto__":{"a":1},"b":"\\u0000\\ud800"}', '{\n  "a": 1\n}', '{"t":"\\n\\"é😀"}']
    const rows = texts.map((value, n) => ({ ...posts(job, `k${n}`)[0]!, value }))
    await writeSteps(store, completion(job, did, host, [...rows, ...posts(job, 'none')]))
    await store.pool.query(`update record set value = null where rkey = 'none'`)
    const [repo] = (await readerOf(job).page()).repos
    const lines = repo!.lines[0]!.bytes.toString().split('\n')
    expect(lines).toEqual([
      ...texts.map(
        (text, n) =>
          `{"uri":"at://${did}/${POST}/k${n}","cid":"bafyrei-k${n}","value":${text.replaceAll('\n', ' ')}}`,
      ),
      `{"uri":"at://${did}/${POST}/none","cid":"bafyrei-none"}`,
      '',
    ])
  })

  test('thousands of repos without records cost few pages', async () => {
    const dids = didsOf(3_000, 1_000)
    const job = await addJob(store, { repos: dids, collections: [POST] })
    await writeSteps(store, ...dids.map((did) => completion(job, did, host, [])))
    const reader = readerOf(job)
    let pages = 0
    let repos = 0
    for (let more = true; more; pages += 1) {
      const page = await reader.page()
      repos += page.repos.length
      more = page.more
    }
    expect(repos).toBe(3_000)
    expect(pages).toBeLessThan(12)
  })
})

describe('a range without rows before one that begins with a large value', () => {
  const large = (collection: number) => record(collection, 'big', 'bafy', `{"text":"${'x'.repeat(9_000)}"}`)

  test('is passed where its rows are gone, though a receipt counts them', async () => {
    const did = didOf(300)
    const job = await addJob(store, { repos: [did] })
    const [like, post] = [job.collections.get(LIKE)!, job.collections.get(POST)!]
    const rows = [record(like, 'gone'), large(post)]
    await writeSteps(store, completion(job, did, host, rows, { rev: revOf(1) }))
    // As a later job leaves a record that is not there any more.
    await store.pool.query(`update record set cid = null, value = null, rev = $1 where rkey = 'gone'`, [
      revOf(2),
    ])
    const read = await readAll(readerOf(job))
    expect(read.map(({ records }) => records.map(({ uri }) => uri))).toEqual([[`at://${did}/${POST}/big`]])
  })

  test('is passed where nothing of it has changed', async () => {
    const did = didOf(301)
    const former = await addJob(store, { repos: [did] })
    const [like, post] = [former.collections.get(LIKE)!, former.collections.get(POST)!]
    const rows = [record(like, 'same'), record(post, 'same')]
    await writeSteps(store, completion(former, did, host, rows, { rev: revOf(1) }))
    const job = await addJob(store, { repos: [did] })
    await store.db
      .updateTable('job_repo')
      .set({ since_rev: revOf(1) })
      .where('job', '=', job.key)
      .execute()
    await writeSteps(store, completion(job, did, host, [...rows, large(post)], { rev: revOf(2) }))
    const query = {
      job: job.key,
      scope: job.scope,
      collection: null,
      did: null,
      through: null,
      changes: true,
    }
    const read = await readAll(new DeliveryReader(store.db, query, 0))
    expect(read.map(({ records }) => records.map(({ uri }) => uri))).toEqual([[`at://${did}/${POST}/big`]])
  })
})

test('receipts of very many collections are not read together', async () => {
  const dids = didsOf(150, 400)
  const job = await addJob(store, { repos: dids, collections: null })
  await writeSteps(store, ...dids.map((did) => completion(job, did, host, [])))
  await store.pool.query(
    `update receipt set records = 5000,
       counts = (select jsonb_object_agg('com.' || repeat(md5(n::text), 7) || n, 1) from generate_series(1, 5000) n)
     where scope = $1 and repo = any($2)`,
    [job.scope, dids.slice(20).map((did) => job.repos.get(did)!)],
  )
  const reader = readerOf(job)
  const names: number[] = []
  for (let more = true; more; ) {
    const page = await reader.page()
    const counts = page.repos.map(({ outcome }) =>
      outcome.status === 'completed' ? Object.keys(outcome.receipt.counts).length : 0,
    )
    names.push(counts.reduce((sum, count) => sum + count, 0))
    more = page.more
  }
  expect(names.reduce((sum, count) => sum + count, 0)).toBe(130 * 5_000)
  expect(Math.max(...names)).toBeLessThan(100_000)
}, 120_000)

test('what had ended when a reading began is read, whatever number it has by now', async () => {
  const dids = didsOf(30, 600)
  const job = await addJob(store, { repos: [...dids, didOf(640)] })
  for (const did of dids) await writeSteps(store, completion(job, did, host, posts(job, 'a')))
  const { seq: through } = await store.db
    .selectFrom('job_progress')
    .select('seq')
    .where('job', '=', job.key)
    .executeTakeFirstOrThrow()
  const query = { job: job.key, scope: job.scope, collection: null, did: null, through }
  const reader = new DeliveryReader(store.db, query, 0)
  const first = await reader.page()
  expect(first.more).toBe(true)
  const last = dids.at(-1)!
  // Taken down, and there again: of that account there is news.
  for (const isGone of [true, false]) {
    const other = await addJob(store, { repos: [last] })
    const move = { status: 'unavailable', reason: 'takendown' } as const
    const found = isGone ? step(other, last, host, move) : completion(other, last, host, posts(other, 'a'))
    await writeSteps(store, found)
    await tellAccounts(store.db)
  }
  await writeSteps(store, completion(job, didOf(640), host, posts(job, 'late')))
  const rest = await readAll(reader)
  const read = [...first.repos.map(({ did }) => did), ...rest.map(({ repo }) => repo.did)]
  expect(read).toEqual(dids)
  expect(rest.at(-1)!.records).toHaveLength(1)
})

describe('the receipt of a repo that another job has read again', () => {
  const [A, B] = ['network.example.a.one', 'network.example.a.two'] as const
  const NAMED = [{ collection: A, rkey: 'x', cid: 'bafy' }]
  const unreadable = { unreadable: 2, unreadableFirst: [...NAMED, { ...NAMED[0]!, collection: LIKE }] }
  let number = 700

  /** What is told of a repo with two records of A, after another job has found three, and two of others. */
  async function told(wish: {
    mine: string[]
    theirs: string[] | null
    rev?: number
    level?: 'none' | 'content' | 'signed'
    unreadable?: number
  }) {
    const { mine, theirs, rev = 2, level = 'content' } = wish
    const did = didOf(number++)
    const job = await addJob(store, { repos: [did], collections: mine })
    const own = { scope: job.scope, rev: revOf(1), dataCid: null, counts: { [A]: 2 } }
    await writeSteps(
      store,
      completion(job, did, host, [], { rev: revOf(1), receipt: own, records: 2, recordsAdded: 2 }),
    )
    const other = await addJob(store, { repos: [did], collections: theirs })
    const receipt = {
      ...{ scope: other.scope, rev: revOf(rev), dataCid: null, counts: { [A]: 3, [B]: 1, [LIKE]: 1 } },
      ...unreadable,
      ...(wish.unreadable !== undefined && { unreadable: wish.unreadable }),
    }
    await writeSteps(
      store,
      completion(other, did, host, [], { rev: revOf(rev), level, receipt, records: 5, recordsAdded: 5 }),
    )
    const { outcome } = (await readerOf(job).page()).repos[0]!
    return outcome.status === 'completed' ? outcome.receipt : null
  }

  const OWN = { rev: revOf(1), counts: { [A]: 2 }, receipt_records: 2, unreadable: 0 }
  const cut = (counts: Record<string, number>, receipt_records: number) => ({
    ...{ rev: revOf(2), counts, receipt_records, unreadable: 1, unreadable_first: NAMED },
  })

  test.each([
    ['of everything', { mine: [A], theirs: null }, cut({ [A]: 3 }, 3)],
    ['of a prefix', { mine: [A, POST], theirs: ['network.example.*'] }, cut({ [A]: 3, [POST]: 0 }, 3)],
    ['of more names', { mine: [A], theirs: [A, B, LIKE] }, cut({ [A]: 3 }, 3)],
    [
      'of a wider prefix',
      { mine: ['network.example.a.*'], theirs: ['network.example.*'] },
      cut({ [A]: 3, [B]: 1 }, 4),
    ],
    ['of names that a prefix may go beyond', { mine: ['network.example.a.*'], theirs: [A, B] }, OWN],
    ['of other names', { mine: [A], theirs: [B, LIKE] }, OWN],
    ['of an older rev', { mine: [A], theirs: null, rev: 0 }, OWN],
    ['that proves less', { mine: [A], theirs: null, level: 'none' }, OWN],
    ['that proves more', { mine: [A], theirs: null, level: 'signed' }, cut({ [A]: 3 }, 3)],
    [
      'with more unreadable records than it names',
      { mine: [A], theirs: null, unreadable: 7 },
      { ...cut({ [A]: 3 }, 3), unreadable: 7 },
    ],
  ] as const)('%s', async (_, { mine, theirs, ...wish }, receipt) => {
    const wanted = { mine: [...mine], theirs: theirs && [...theirs], ...wish }
    expect(await told(wanted)).toMatchObject(receipt)
  })
})

describe('a repo that is replaced while it is read', () => {
  test('is begun again, and ends with what its receipt says', async () => {
    const did = didOf(200)
    const job = await addJob(store, { repos: [did], collections: [POST] })
    await replace(did, 1, 6_000)
    await writeSteps(
      store,
      completion(job, did, host, [], { receipt: receiptFor(job, 6_000), rev: revOf(1) }),
    )
    const reader = readerOf(job)
    const first = await reader.page()
    expect(first.repos).toMatchObject([{ begins: true, ends: false }])
    await replace(did, 2, 6_000)
    const [{ repo, records } = { repo: null, records: [] }] = await readAll(reader)
    expect(records).toHaveLength(6_000)
    expect(new Set(records.map(({ value }) => JSON.stringify(value)))).toEqual(new Set(['{"version":2}']))
    expect(repo?.outcome).toMatchObject({ receipt: { rev: revOf(2) } })
  })

  test('never comes with a receipt that describes other rows, whenever it happens', async () => {
    const did = didOf(201)
    const job = await addJob(store, { repos: [did], collections: [POST] })
    await replace(did, 1, 4_500)
    await writeSteps(
      store,
      completion(job, did, host, [], { receipt: receiptFor(job, 4_500), rev: revOf(1) }),
    )
    let over = false
    const replacing = (async () => {
      for (let version = 2; !over; version += 1) {
        await replace(did, version, 4_500)
        await new Promise((resolve) => setTimeout(resolve, 40))
      }
    })()
    const seen = new Set<string>()
    for (let round = 0; round < 12 || seen.size === 1; round += 1) {
      const [{ repo, records } = { repo: null, records: [] }] = await readAll(readerOf(job))
      const { outcome } = repo!
      if (outcome.status !== 'completed') throw new Error(outcome.status)
      const versions = new Set(records.map(({ value }) => revOf((value as { version: number }).version)))
      expect(records).toHaveLength(4_500)
      expect([...versions]).toEqual([outcome.receipt.rev])
      seen.add(outcome.receipt.rev!)
    }
    over = true
    await replacing
    expect(seen.size).toBeGreaterThan(1)
  })
})

const receiptFor = (job: TestJob, count: number) => ({
  scope: job.scope,
  rev: revOf(1),
  dataCid: null,
  counts: { [POST]: count },
})

/** The same database, which so many times does not say how a transaction ended. */
function dyingAtCommit(times: number): Kysely<Database> {
  let left = times
  const connect = async () => {
    const client = await store.pool.connect()
    const query = async (asked: string | { text: string }, values: unknown[]) => {
      const answer = await client.query(asked as string, values)
      const text = typeof asked === 'string' ? asked : asked.text
      if (text.endsWith('commit') && left-- > 0) throw new Error('Connection terminated unexpectedly')
      return answer
    }
    return { query, release: () => client.release() } as unknown as PostgresPoolClient
  }
  return new Kysely({ dialect: new PostgresDialect({ pool: { connect, end: async () => {}, options: {} } }) })
}
