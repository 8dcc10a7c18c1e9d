import {
  AuthenticationFailed,
  type BackfillError,
  CallerNotFound,
  ClientTokenConflict,
  DetailsDeleted,
  DirectoryUnavailable,
  IncompleteExport,
  InvalidCollection,
  InvalidHost,
  InvalidPermission,
  InvalidRepo,
  InvalidRequest,
  InvalidResponse,
  InvalidState,
  JobNotFound,
  LevelNotOffered,
  LoginFailed,
  ManifestNotReady,
  NotPermitted,
  QuotaExceeded,
  RateLimitExceeded,
  ScopeTooBroad,
  ServiceUnreachable,
  SessionExpired,
  TimeoutError,
} from '../client/index.js'
import { CommandError, UsageError } from './exit.js'
import { plain } from './text.js'

/** What is known of a call when it fails. */
export interface CallContext {
  readonly service: string
  readonly did: string | undefined
  /** Called with an account's session, not with a service's own key. */
  readonly isAccount: boolean
}

/** A service's refusal as a person can act on it: what happened, and what to do next. Pure. */
export function explain(error: BackfillError, context: CallContext): CommandError | UsageError {
  const message = plain(error.message)
  const isUsage = USAGE_ERRORS.some((kind) => error instanceof kind)
  const advice = adviceFor(error, context)
  const text = advice === '' ? message : `${message}\n${advice}`
  return isUsage ? new UsageError(text, { cause: error }) : new CommandError(text, { cause: error })
}

/** What another way to call the command would mend. */
const USAGE_ERRORS = [
  InvalidRequest,
  InvalidCollection,
  InvalidHost,
  InvalidPermission,
  InvalidRepo,
  ScopeTooBroad,
  ClientTokenConflict,
  LevelNotOffered,
]

type Kind = new (...details: never[]) => BackfillError
type Advice = (error: BackfillError, context: CallContext) => string

const ADVICE: readonly (readonly [Kind, Advice])[] = [
  [ServiceUnreachable, unreachable],
  [TimeoutError, () => 'Try again in a while; if it stays like this, its operator should know.'],
  [AuthenticationFailed, notRecognised],
  [NotPermitted, notPermitted],
  [JobNotFound, (_, { did }) => `"aquifer jobs list" shows the jobs that ${did ?? 'you'} may see.`],
  [DetailsDeleted, () => 'The details of this job were deleted. The same job can be created anew.'],
  [ManifestNotReady, () => '"aquifer jobs watch" waits for the end of the job; its manifest follows soon.'],
  [IncompleteExport, () => 'What came is not all there is. Try again.'],
  [InvalidState, () => '"aquifer jobs status" shows how the job is now.'],
  [
    QuotaExceeded,
    () =>
      'The operator of the service sets how much a caller may have. Jobs that have not ended count:\n' +
      '"aquifer jobs list" shows them, and "aquifer jobs cancel" ends one.',
  ],
  [CallerNotFound, () => '"aquifer callers list" shows who may call.'],
  [ScopeTooBroad, () => 'Name collections with --collection, or accounts with --repo.'],
  [ClientTokenConflict, () => 'Take another --client-token, or the same input as before.'],
  [RateLimitExceeded, ({ retryAfter }) => `Too many requests: try again in ${retryAfter ?? 'some'} seconds.`],
  [DirectoryUnavailable, () => 'Whoever knows DIDs and handles does not answer. Try again in a while.'],
  [
    InvalidResponse,
    ({ cause }) => (cause === undefined ? 'Its operator should know.' : 'Is --service right?'),
  ],
  [LoginFailed, loginFailed],
  [SessionExpired, () => 'Give the command again to log in anew.'],
]

function adviceFor(error: BackfillError, context: CallContext): string {
  for (const [kind, advice] of ADVICE) if (error instanceof kind) return advice(error, context)
  if (error.status === 404 || error.status === 501) return `Is --service right? It is ${context.service}.`
  if (error.status < 500) return ''
  const request = error.requestId ? ` Its log has the reason under request ${plain(error.requestId)}.` : ''
  return `The service has a fault of its own; try again, and tell its operator.${request}`
}

/** The message names who does not answer: the service, a PDS or the directory. */
function unreachable({ message }: BackfillError, { service }: CallContext): string {
  if (!message.includes(service)) return 'Try again in a while, or name the PDS with --pds.'
  return 'Start one with "aquifer serve", or name another with --service or AQUIFER_SERVICE.'
}

function notRecognised(error: BackfillError, { did, isAccount }: CallContext): string {
  const who = did ?? 'the caller'
  const where = did === undefined ? 'its DID document' : documentOf(did)
  switch (error.name) {
    case 'BadJwtSignature':
    case 'BadJwtKey':
      return isAccount
        ? `The PDS of ${who} signed with another key than the DID document names. Try again in a while.`
        : `The key is not the one that the DID document of ${who} names as #atproto, perhaps not any more.\n` +
            `Compare it with ${where}; "aquifer callers new" makes another.`
    case 'UnknownIssuer':
      return (
        `The service finds no #atproto key for ${who}: the DID does not exist, or its document has no such key.\n` +
        `Look at ${where}; "aquifer callers new" shows what it must hold.`
      )
    case 'JwtExpired':
    case 'JwtNotYetValid':
    case 'BadJwtLifetime':
      return "Is this machine's clock right? Tokens hold for a minute."
    case 'BadJwtAudience':
      return 'The service calls itself by another DID than it accepts: its operator should look at PUBLIC_URL.'
    default:
      return `The service did not accept who is calling (${error.name}).`
  }
}

/** Where everybody finds the DID document. */
function documentOf(did: string): string {
  if (!did.startsWith('did:web:')) return `https://plc.directory/${did}`
  const host = did.slice('did:web:'.length).replace(/%3A/gi, ':')
  return `${host.startsWith('localhost') ? 'http' : 'https'}://${host}/.well-known/did.json`
}

function notPermitted(_: BackfillError, { did, service }: CallContext): string {
  return (
    `The service at ${service} knows who is calling, but ${did ?? 'the caller'} may not do this.\n` +
    'Its operator can add the DID to BACKFILL_ALLOW; an admin of it can use "aquifer callers put".'
  )
}

function loginFailed({ name }: BackfillError): string {
  if (name === 'AuthFactorTokenRequired')
    return 'Call it from a terminal to be asked for the code, or use an app password.'
  return 'Is the handle right, and the password? An app password from the account settings is enough.'
}
