import { serveByHand } from './http-by-hand.js'
import { COLLECTION, makePosts } from './posts.js'
import { didOfNumber, numberOfDid } from './tiny-dids.js'

/**
 * A program that stands in for a network of tiny accounts: `tiny-pds.ts ORIGINS REPOS`. Accounts are numbers, so any
 * count of them takes no memory: every other one has a single record, the rest have none. The first origin is the
 * relay too. It tells its parent its origins. HTTP is spoken by hand: what this program takes from the machine is
 * missing to those who are measured.
 */

/** What the relay gives at once, whatever it is asked for: it must not outrun a short job's queue by far. */
const PAGE_REPOS = 1_000

const DID = /[?&]repo=(did(?:%3A|:)plc(?:%3A|:)[a-z2-7]{24})/
const CURSOR = /[?&]cursor=(\d+)/

const [origins, repos] = process.argv.slice(2).map(Number) as [number, number]
const [post] = makePosts(1, 0)

function answerTo(request: string): string {
  if (request.startsWith('GET /xrpc/com.atproto.repo.listRecords?')) return withBody(listRecords(request))
  if (request.startsWith('GET /xrpc/com.atproto.sync.listReposByCollection?'))
    return withBody(listRepos(request))
  return 'HTTP/1.1 501 Not Implemented\r\ncontent-length: 0\r\n\r\n'
}

function listRecords(request: string): object {
  const did = DID.exec(request)![1]!.replaceAll('%3A', ':')
  if (numberOfDid(did) % 2 === 0) return { records: [] }
  const { rkey, cid, value } = post!
  return { records: [{ uri: `at://${did}/${COLLECTION}/${rkey}`, cid, value }] }
}

function listRepos(request: string): object {
  const from = Number(CURSOR.exec(request)?.[1] ?? 0)
  const to = Math.min(from + PAGE_REPOS, repos)
  const page = Array.from({ length: to - from }, (_, index) => ({ did: didOfNumber(from + index) }))
  return to < repos ? { repos: page, cursor: String(to) } : { repos: page }
}

function withBody(body: object): string {
  const json = JSON.stringify(body)
  return `HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: ${Buffer.byteLength(json)}\r\n\r\n${json}`
}

process.on('disconnect', () => process.exit())
process.send?.(await serveByHand(origins, answerTo))
