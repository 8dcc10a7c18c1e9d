import { randomBytes } from 'node:crypto'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { expect, test } from 'vitest'
import type { CarQuery } from '../../src/atproto/sync.js'
import { LargeRepos, WholeRepo } from '../../src/engine/large-repos.js'
import { client, httpServer } from '../atproto/http-support.js'
import { eventually } from '../support/wait.js'

const MiB = 1024 * 1024
const BYTES = 40 * MiB

const isAlmostLarge = (bytes: number) => bytes > 31 * MiB

/** Downloads from a host whose repos are all large, as many as wanted; each keeps its place until it is disposed of. */
async function downloads() {
  const piece = randomBytes(MiB)
  const { origin } = await httpServer((_request, response) => {
    // Fails where the download is given up.
    pipeline(Readable.from(Array(BYTES / MiB).fill(piece)), response).catch(() => {})
  })
  const http = client()
  const places = new LargeRepos()
  return function begin() {
    const gone = new AbortController()
    const download = { repo: new WholeRepo(places), gone, bytes: 0 }
    const car: CarQuery = async (_nsid, _params, maxBytes, sink) => {
      await http.get({ url: origin, maxBytes, timeoutMs: 20_000, sink, signal: gone.signal })
      return { ok: true, body: Buffer.alloc(0) }
    }
    const done = download.repo.watching(car)('com.atproto.sync.getRepo', {}, 64 * MiB, (chunk) => {
      download.bytes += chunk.length
    })
    done.catch(() => {})
    return Object.assign(download, { done })
  }
}

test('two large repos are read at a time; the next one waits for a place', async () => {
  const begin = await downloads()
  const [first, second] = [begin(), begin()]
  await Promise.all([first.done, second.done])
  const third = begin()
  await eventually(() => third.bytes, isAlmostLarge)
  first.repo[Symbol.dispose]()
  await third.done
  expect(third.bytes).toBe(BYTES)
})

test('one that waits for a place ends as soon as it is not wanted any more, and takes none', async () => {
  const begin = await downloads()
  const held = [begin(), begin()]
  await Promise.all(held.map(({ done }) => done))
  const [third, fourth] = [begin(), begin()]
  await eventually(() => Math.min(third.bytes, fourth.bytes), isAlmostLarge)
  third.gone.abort(new Error('shutting down'))
  await expect(third.done).rejects.toThrow('shutting down')
  third.repo[Symbol.dispose]()
  expect(fourth.bytes).toBeLessThanOrEqual(32 * MiB)
  // The place that becomes free is that of the next in line.
  held[0]!.repo[Symbol.dispose]()
  await fourth.done
  expect(fourth.bytes).toBe(BYTES)
})
