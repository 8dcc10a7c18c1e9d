import { type FailureClass, isRetryable, type UnavailableReason } from '../../../src/verdict.js'

/** What must become of a repo. */
export type Outcome =
  | { readonly status: 'completed' }
  | { readonly status: 'unavailable'; readonly reason: UnavailableReason }
  | { readonly status: 'failed'; readonly class: FailureClass }

export interface FaultSpec {
  /**
   * `request`: a PDS spoils an answer. `account`: something happens to the account while its PDS is asked about it. `document`: the account's DID document is wrong. `relay`: a relay spoils a page.
   */
  readonly where: 'request' | 'account' | 'document' | 'relay'
  /** The outcome of a repo that meets it again and again. */
  readonly ends: Outcome
  /** Of the methods it spoils; any where absent. */
  readonly methods?: readonly string[]
  /** The least records of the first collection that an account must have for it to show. */
  readonly records?: number
  /** Accounts it can happen to; any where absent. */
  readonly only?: 'plc' | 'web'
  /** The service's guards must be on, or it would connect to where the fault leads it. */
  readonly guarded?: boolean
  /** Happens as often as it is asked for, and never once only. */
  readonly always?: boolean
  /** The bytes are right somewhere else: a method that reads signed ones gets past it. */
  readonly unsignedOnly?: boolean
  /** Is not planned unless it is named: it takes a minute, or a method that not every job uses. */
  readonly onDemand?: boolean
}

const completed: Outcome = { status: 'completed' }
const fails = (failure: FailureClass): Outcome => ({ status: 'failed', class: failure })
const ends = (reason: UnavailableReason): Outcome => ({ status: 'unavailable', reason })

const LIST = ['com.atproto.repo.listRecords']
const CAR = ['com.atproto.sync.getRepo']
const PROOF = 'com.atproto.sync.getRecord'
const BLOCKS = 'com.atproto.sync.getBlocks'

const request = (outcome: Outcome, rest: Partial<FaultSpec> = {}) =>
  ({ where: 'request', ends: outcome, ...rest }) satisfies FaultSpec
const account = (outcome: Outcome) => ({ where: 'account', ends: outcome, always: true }) satisfies FaultSpec
const document = (outcome: Outcome, rest: Partial<FaultSpec> = {}) =>
  ({ where: 'document', ends: outcome, always: true, ...rest }) satisfies FaultSpec
const relay = () => ({ where: 'relay', ends: completed }) satisfies FaultSpec

const KINDS = {
  /** The connection is cut before any answer. */
  reset: request(fails('connection-failed')),
  /** No answer ever comes. */
  silence: request(fails('timeout')),
  /** The answer comes a byte at a time. */
  'slow-body': request(fails('too-slow')),
  'server-error': request(fails('host-error')),
  /** And so are the next of the host's answers, but no two for the same account. */
  'server-burst': request(completed),
  /** The connection is cut in the middle of the answer. */
  truncated: request(fails('connection-failed')),
  /** The answer is half of what it should be, and says that this is all. */
  'short-body': request(fails('bad-response'), { methods: LIST }),
  /** A page for humans, with status 200. */
  'wrong-content-type': request(fails('bad-response'), { methods: LIST }),
  oversized: request(fails('body-too-large'), { methods: LIST }),
  'wrong-cid': request(fails('cid-mismatch'), { methods: LIST, records: 1, unsignedOnly: true }),
  'foreign-uri': request(fails('bad-response'), { methods: LIST, records: 1 }),
  'repeated-cursor': request(fails('cursor-loop'), { methods: LIST, records: 1, always: true }),
  'endless-cursor': request(fails('cursor-loop'), { methods: LIST, always: true }),
  'unsorted-rkeys': request(fails('bad-response'), { methods: LIST, records: 3 }),
  /** Half of the CAR, as if it were all. */
  'short-car': request(fails('incomplete-car'), { methods: CAR, onDemand: true }),
  /** One byte of the CAR is another. */
  'flipped-car': request(fails('cid-mismatch'), { methods: CAR, onDemand: true }),
  /** The CAR lacks a block that another one names: of a whole repo the root of its tree. */
  'missing-block': request(fails('incomplete-car'), { methods: [...CAR, BLOCKS], onDemand: true }),
  /** One bit of the signature is another. */
  'bad-signature': request(fails('bad-signature'), { methods: [...CAR, PROOF], onDemand: true }),
  /** The whole answer is of another account that has the same key. */
  'foreign-repo': request(fails('did-mismatch'), { methods: [...CAR, PROOF], onDemand: true }),
  'private-redirect': request(fails('bad-response'), { guarded: true }),
  'limited-seconds': request(completed),
  'limited-date': request(completed),
  'limited-reset': request(completed),
  'limited-html': request(completed),
  /** Says neither until when nor why: the client waits for a minute. */
  'limited-bare': request(completed, { onDemand: true }),

  deactivated: account(ends('deactivated')),
  takendown: account(ends('takendown')),
  suspended: account(ends('suspended')),
  deleted: account(ends('deleted')),
  /** Its PDS does not know it any more, and no other does. */
  vanished: account(fails('repo-not-found')),
  /** It is deactivated where it was, and on another host. */
  migrated: account(completed),
  /** All of its host's accounts are found under another name of the host. */
  'host-moved': account(completed),
  'key-rotated': account(completed),
  /** Its repo changes. */
  edited: { ...account(completed), onDemand: true },

  tombstoned: document(ends('tombstoned'), { only: 'plc' }),
  'did-not-found': document(fails('did-not-found')),
  /** It is somebody else's. */
  'wrong-id': document(fails('did-invalid')),
  'no-pds': document(fails('did-invalid')),
  /** The PDS is no origin. */
  'bad-endpoint': document(fails('did-invalid')),
  /** The PDS is in no DNS. */
  'unknown-host': document(fails('dns-failure')),
  /** No handle, several, or none that is valid. */
  'odd-handle': document(completed),
  /** The host as the others name it, but in another spelling. */
  'odd-spelling': document(completed),
  'directory-error': document(completed, { only: 'plc', always: false }),
  'web-error': document(completed, { only: 'web', always: false }),
  'web-redirect': document(fails('bad-response'), { only: 'web' }),
  /** The PDS is at an address that is not public. */
  'private-endpoint': document(fails('did-invalid'), { guarded: true }),
  /** The PDS is at a name that leads to one. */
  'private-dns': document(fails('host-blocked'), { guarded: true }),

  'relay-error': relay(),
  'relay-reset': relay(),
  'relay-empty-page': relay(),
  /** Repos of the page before stand on the page again. */
  'relay-duplicates': relay(),
  /** Entries that are no DIDs stand among the others. */
  'relay-not-dids': relay(),
} satisfies Record<string, FaultSpec>

export type FaultKind = keyof typeof KINDS

/** Every way in which a simulation can go wrong, and what is right then. */
export const FAULT_KINDS: Readonly<Record<FaultKind, FaultSpec>> = KINDS

export const ALL_KINDS = Object.keys(KINDS) as FaultKind[]

/** How long a fault lasts: for one request of the account, or for all of them. */
export type Lasts = 'once' | 'always'

/** What must become of a repo that has met a fault. */
export function outcomeOf(kind: FaultKind, lasts: Lasts): Outcome {
  const { ends: always, ...spec } = FAULT_KINDS[kind]
  if (lasts === 'always' || spec.always || always.status !== 'failed') return always
  // A page that is too large is asked for again with fewer records.
  if (kind === 'oversized' || isRetryable(always.class)) return completed
  return always
}
