import { TID } from '@atproto/common-web'
import { type Asked, answer, type Body, type Fault } from '../support/network/stand-in-faults.js'
import { LIKE, POST } from './support.js'

export const LIST = 'com.atproto.repo.listRecords'
const COMMIT = 'com.atproto.sync.getLatestCommit'
const STATUS = 'com.atproto.sync.getRepoStatus'
const MiB = 1024 * 1024

/** The attempts of a repo whose failure may go away; the others have one. */
const ALL = 3

export const change = (of: (body: Body) => unknown): Fault => ({ kind: 'change', change: of })
export const changeFirst = (of: (record: Body) => object) =>
  change((body) => ({
    ...body,
    records: body.records.map((record: Body, at: number) => (at === 0 ? of(record) : record)),
  }))
const after = (what: () => unknown): Fault => ({ kind: 'after', what })
const never = after(() => new Promise((resolve) => setTimeout(resolve, 5_000).unref()))
const status = (body: object) =>
  [
    [LIST, answer(400, {}, { error: 'InvalidRequest', message: 'Could not find repo' })],
    [STATUS, answer(200, {}, body)],
  ] satisfies [string, Fault][]

export type PlannedFaults = readonly (readonly [string | ((asked: Asked) => boolean), Fault])[]

export interface Case {
  /** What its DID document names; the stand-in when absent. */
  readonly endpoint?: string
  /** Records of the repo; 3 when absent. */
  readonly records?: number
  /** What the host does to requests of a method, or to those that a function picks. */
  readonly faults: PlannedFaults | ((did: string) => PlannedFaults)
  /** As `outcomes` has it, and the attempts it took. */
  readonly ends: readonly [string, number]
}

/** How a host may fail one repo, and what is to be said of the repo then. */
export const CASES: Record<string, Case> = {
  'answers 500': { faults: [[LIST, answer(500)]], ends: ['failed host-error', ALL] },
  'answers 503 with a page for humans': {
    faults: [[LIST, answer(503, {}, '<html>Service Unavailable</html>')]],
    ends: ['failed host-error', ALL],
  },
  'answers 200 with a page for humans': {
    faults: [[LIST, answer(200, {}, '<html>Welcome</html>')]],
    ends: ['failed bad-response', ALL],
  },
  'answers 403 with a page for humans': {
    faults: [[LIST, answer(403, {}, '<html>Forbidden</html>')]],
    ends: ['failed bad-response', ALL],
  },
  'wants a session': {
    faults: [[LIST, answer(401, {}, { error: 'AuthMissing', message: 'Authentication Required' })]],
    ends: ['failed bad-response', ALL],
  },
  redirects: {
    faults: [[LIST, answer(302, { location: '/elsewhere' })]],
    ends: ['failed bad-response', ALL],
  },
  'cuts the answer short': {
    faults: [[LIST, { kind: 'truncated' }]],
    ends: ['failed connection-failed', ALL],
  },
  'resets the connection': { faults: [[LIST, { kind: 'reset' }]], ends: ['failed connection-failed', ALL] },
  'never answers': { faults: [[LIST, never]], ends: ['failed timeout', ALL] },
  'answers byte by byte': { faults: [[LIST, { kind: 'dribble' }]], ends: ['failed too-slow', ALL] },
  'has a name that does not exist': {
    endpoint: 'http://nowhere.test',
    faults: [],
    ends: ['failed dns-failure', ALL],
  },
  'the operator of this service blocks': {
    endpoint: 'http://blocked.test',
    faults: [],
    ends: ['failed host-blocked', 1],
  },
  'answers with a list': { faults: [[LIST, answer(200, {}, [])]], ends: ['failed bad-response', ALL] },
  'has no records in its answer': {
    faults: [[LIST, change(() => ({}))]],
    ends: ['failed bad-response', ALL],
  },
  'lists what is no record': {
    faults: [[LIST, change((body) => ({ ...body, records: [...body.records, null] }))]],
    ends: ['failed bad-response', ALL],
  },
  'lists a record of somebody else': {
    faults: [
      [LIST, changeFirst((record) => ({ ...record, uri: record.uri.replace('did:plc:s', 'did:plc:t') }))],
    ],
    ends: ['failed bad-response', ALL],
  },
  'lists a record of another collection': {
    faults: [[LIST, changeFirst((record) => ({ ...record, uri: record.uri.replace(POST, LIKE) }))]],
    ends: ['failed bad-response', ALL],
  },
  'lists a key that is none': {
    faults: [[LIST, changeFirst((record) => ({ ...record, uri: `${record.uri}/..` }))]],
    ends: ['failed bad-response', ALL],
  },
  'lists a record twice': {
    faults: [[LIST, change((body) => ({ ...body, records: [...body.records, body.records.at(-1)] }))]],
    ends: ['failed bad-response', ALL],
  },
  'lists keys in no order': {
    faults: [
      [LIST, change((body) => ({ ...body, records: [body.records[1], body.records[2], body.records[0]] }))],
    ],
    ends: ['failed bad-response', ALL],
  },
  'gives a record the CID of another': {
    faults: [[LIST, change((body) => ({ ...body, records: swapCids(body.records) }))]],
    ends: ['failed cid-mismatch', 1],
  },
  'gives a value nested without end': {
    faults: (did) => [[LIST, answer(200, {}, nested(did, 50_000))]],
    ends: ['failed bad-response', ALL],
  },
  'gives a cursor that is a number': {
    faults: [[LIST, change((body) => ({ ...body, cursor: 3 }))]],
    ends: ['failed bad-response', ALL],
  },
  'gives a cursor no database takes': {
    faults: [[LIST, change((body) => ({ ...body, cursor: 'a\u0000b' }))]],
    ends: ['failed bad-response', ALL],
  },
  'starts over whatever the cursor': {
    records: 150,
    faults: [[LIST, change((body) => ({ ...body, cursor: 'again' }))]],
    ends: ['failed cursor-loop', 1],
  },
  'repeats a cursor after the last record': {
    faults: [
      [
        ({ method, cursor }) => method === LIST && cursor !== null,
        change(() => ({ records: [], cursor: 'r000000' })),
      ],
    ],
    ends: ['failed cursor-loop', 1],
  },
  'gives empty pages without end': {
    faults: [[LIST, change(() => ({ records: [], cursor: String(Math.random()) }))]],
    ends: ['failed cursor-loop', 1],
  },
  'has pages larger than any limit': {
    faults: [[LIST, answer(200, {}, ' '.repeat(17 * MiB))]],
    ends: ['failed body-too-large', 1],
  },
  'changes the repo under every reading': {
    records: 150,
    faults: [[COMMIT, change((body) => ({ ...body, rev: revOfNow() }))]],
    ends: ['failed too-slow', ALL],
  },
  'gives no rev': {
    records: 150,
    faults: [[COMMIT, change(({ cid }) => ({ cid }))]],
    ends: ['failed bad-response', ALL],
  },
  'fails at the third page': {
    records: 250,
    faults: [[({ method, cursor }) => method === LIST && cursor === 'r000050', answer(500)]],
    ends: ['failed host-error', ALL],
  },
  'says the account is suspended': {
    faults: status({ active: false, status: 'suspended' }),
    ends: ['unavailable suspended', 0],
  },
  'says the account is deleted': {
    faults: status({ active: false, status: 'deleted' }),
    ends: ['unavailable deleted', 0],
  },
  'says the account is taken down': {
    faults: status({ active: false, status: 'takendown' }),
    ends: ['unavailable takendown', 0],
  },
  'says the account is in a state nobody knows': {
    faults: status({ active: false, status: 'desynchronized' }),
    ends: ['failed bad-response', ALL],
  },
  'says the account is active, but has no repo': {
    faults: status({ active: true, rev: '3kabcdefghij2' }),
    ends: ['failed bad-response', ALL],
  },
  'does not know the account': {
    faults: [
      [LIST, answer(400, {}, { error: 'InvalidRequest', message: 'Could not find repo' })],
      [STATUS, answer(400, {}, { error: 'RepoNotFound', message: 'Could not find repo' })],
    ],
    ends: ['failed repo-not-found', 1],
  },
}

let revs = 0
function revOfNow(): string {
  revs += 1
  return TID.fromTime(Date.now() * 1_000 + revs, 0).toString()
}

/** Gives each record the CID of its neighbour. */
export function swapCids(records: Body[]) {
  return records.map((record, at) => ({ ...record, cid: records[(at + 1) % records.length].cid }))
}

/** A page with one record, as text: no JSON writer goes that deep. */
function nested(did: string, levels: number): string {
  const value = `${'{"a":'.repeat(levels)}1${'}'.repeat(levels)}`
  return `{"records":[{"uri":"at://${did}/${POST}/r000001","cid":"bafyreigbtj4x7ip5legnfznufuopl4sg4knzc2cof6duas4b3q2fy6swua","value":${value}}]}`
}
