import { cidOfJson } from '../../src/atproto/content.js'
import { serveByHand } from './http-by-hand.js'
import { COLLECTION, makePosts, type Post, tidOf } from './posts.js'

/**
 * A program that stands in for many PDSs: `fake-pds.ts ORIGINS RECORDS`. It tells its parent its origins, and has
 * every did:plc there is, each with so many posts. Answers are made beforehand but for the DID in them, and HTTP
 * is spoken by hand: what this program takes from the machine is missing to those who are measured.
 */

const PAGE_RECORDS = 100

/** Accounts that differ from each other; all others are like one of them. */
const SMALL_ACCOUNTS = 40
const LARGE_ACCOUNTS = 4

const ANY_DID = `did:plc:${'a'.repeat(24)}`
const DID = /[?&](?:repo|did)=(did(?:%3A|:)plc(?:%3A|:)[a-z2-7]{24})/
const CURSOR = /[?&]cursor=(\d+)/

/** An answer, and where in it the DID has to stand. */
interface Answer {
  readonly bytes: Buffer
  readonly places: readonly number[]
}

/** A page starts where its cursor says, and the last one has none. */
function makePages(posts: readonly Post[]): Answer[] {
  return Array.from({ length: Math.ceil(posts.length / PAGE_RECORDS) }, (_, page) => {
    const end = (page + 1) * PAGE_RECORDS
    const records = posts.slice(end - PAGE_RECORDS, end).map(({ rkey, cid, value }) => {
      return { uri: `at://${ANY_DID}/${COLLECTION}/${rkey}`, cid, value }
    })
    return answerOf(end < posts.length ? { records, cursor: String(page + 1) } : { records })
  })
}

function answerOf(body: object): Answer {
  const json = Buffer.from(JSON.stringify(body))
  const head = `HTTP/1.1 200 OK\r\ncontent-type: application/json; charset=utf-8\r\ncontent-length: ${json.length}\r\n\r\n`
  const bytes = Buffer.concat([Buffer.from(head), json])
  const places: number[] = []
  for (let at = bytes.indexOf(ANY_DID); at !== -1; at = bytes.indexOf(ANY_DID, at + 1)) places.push(at)
  return { bytes, places }
}

function withDid({ bytes, places }: Answer, did: string): Buffer {
  const copy = Buffer.from(bytes)
  for (const place of places) copy.write(did, place, 'latin1')
  return copy
}

const [origins, records] = process.argv.slice(2).map(Number) as [number, number]
const accounts = Array.from({ length: records > PAGE_RECORDS ? LARGE_ACCOUNTS : SMALL_ACCOUNTS }, (_, seed) =>
  makePages(makePosts(records, seed)),
)
/** Its accounts are not to be counted. */
const noRepos = answerOf({ repos: [] })
const latestCommit = answerOf({ cid: cidOfJson({}), rev: tidOf(1.7e12) })

function answerTo(request: string): Buffer {
  if (request.startsWith('GET /xrpc/com.atproto.sync.listRepos?')) return noRepos.bytes
  const did = DID.exec(request)![1]!.replaceAll('%3A', ':')
  if (request.startsWith('GET /xrpc/com.atproto.sync.getLatestCommit?')) return withDid(latestCommit, did)
  const account = accounts[(did.charCodeAt(30) * 32 + did.charCodeAt(31)) % accounts.length]!
  return withDid(account[Number(CURSOR.exec(request)?.[1] ?? 0)]!, did)
}

process.on('disconnect', () => process.exit())
process.send?.(await serveByHand(origins, answerTo))
