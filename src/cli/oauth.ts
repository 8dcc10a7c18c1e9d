import {
  type AtprotoDid,
  type AtprotoOAuthScope,
  buildAtprotoLoopbackClientMetadata,
  NodeOAuthClient,
  type NodeSavedSession,
  type NodeSavedState,
  OAuthCallbackError,
  type OAuthSession,
  requestLocalLock,
} from '@atproto/oauth-client-node'
import { unlessAborted } from '../client/abort.js'
import type { LocatedAccount } from '../client/locate.js'
import { CommandError } from './exit.js'
import { type CallbackListener, listenForCallback } from './oauth-callback.js'
import { plain } from './text.js'

export interface OAuthOptions {
  readonly account: LocatedAccount
  /** What the account is asked for, `atproto` in it, and nothing that is not needed. */
  readonly scope: AtprotoOAuthScope
  /** Finds an account by its DID: whoever signed in is looked up anew. */
  locate(did: string): Promise<LocatedAccount>
  /** Tells the user where to sign in. */
  show(url: URL): void
  readonly signal: AbortSignal
}

/** Of one request, ms. */
const TIMEOUT_MS = 30_000
/** How long somebody may take to sign in, ms; the request at the server is over sooner as a rule. */
const SIGN_IN_MS = 15 * 60_000
/** Told to the server in the place of a handle: the DID is meant. */
const NO_HANDLE = 'handle.invalid'

/**
 * Has an account sign in with its browser (OAuth as the atproto specification has it: PAR, PKCE, DPoP), for as long as
 * it takes to use the session, which is ended after. Nothing of it is written down.
 * @param use gets a `fetch` that makes requests to the account's PDS in its name
 * @throws CommandError when nobody signs in, it is refused, or somebody else signs in; the signal's reason
 */
export async function withOAuthSession<T>(
  options: OAuthOptions,
  use: (fetch: typeof globalThis.fetch) => Promise<T>,
): Promise<T> {
  const sessions = new Map<string, NodeSavedSession>()
  const session = await signIn(options, sessions)
  try {
    options.signal.throwIfAborted()
    if (session.did !== options.account.did) throw signedInAs(session.did, options.account)
    return await use(fetchOf(session))
  } finally {
    await end(session, sessions, options.account)
  }
}

async function signIn(options: OAuthOptions, sessions: Map<string, NodeSavedSession>): Promise<OAuthSession> {
  const { account, scope, show, signal } = options
  const states = new Map<string, NodeSavedState>()
  await using listener = await listenForCallback((params) => states.has(params.get('state') ?? ''))
  const client = new NodeOAuthClient({
    clientMetadata: buildAtprotoLoopbackClientMetadata({ scope, redirect_uris: [listener.redirectUri] }),
    stateStore: storeIn(states),
    sessionStore: storeIn(sessions),
    requestLock: requestLocalLock,
    identityResolver: { resolve: async (did) => identityOf(await options.locate(did)) },
    // That of an account is only http on this machine: `locateAccount` takes no other.
    allowHttp: account.pds.startsWith('http:'),
    fetch: patientFetch,
  })
  try {
    show(await unlessAborted(client.authorize(account.did), signal))
    const answer = await answerOf(listener, signal)
    // Not left when the user interrupts: a session that comes of it must be ended.
    return (await client.callback(answer)).session
  } catch (error) {
    signal.throwIfAborted()
    throw error instanceof CommandError ? error : refusedBy(account, error)
  }
}

async function answerOf({ answer }: CallbackListener, signal: AbortSignal): Promise<URLSearchParams> {
  const patience = new AbortController()
  const late = () => patience.abort(new CommandError('Nobody has signed in: give the command again.'))
  const timer = setTimeout(late, SIGN_IN_MS)
  try {
    return await unlessAborted(answer, AbortSignal.any([signal, patience.signal]))
  } finally {
    clearTimeout(timer)
  }
}

/** Ends the session on the server. What is published is published, so a failure is only told. */
async function end(
  session: OAuthSession,
  sessions: ReadonlyMap<string, NodeSavedSession>,
  { pds }: LocatedAccount,
): Promise<void> {
  const token = sessions.get(session.did)?.tokenSet.access_token
  try {
    // `signOut` would not say whether it came to anything.
    if (token !== undefined) await session.server.request('revocation', { token })
  } catch (error) {
    process.stderr.write(
      `The session at ${pds} could not be ended (${reasonsOf(error)}): the settings of the account show it.\n`,
    )
  }
}

/** The library puts the token and its proof into the headers. */
function fetchOf(session: OAuthSession): typeof globalThis.fetch {
  return (input, init) => {
    const { pathname, search } = new URL(input instanceof Request ? input.url : input)
    return session.fetchHandler(`${pathname}${search}`, init)
  }
}

/** An authorization server is asked for small things. */
const patientFetch: typeof globalThis.fetch = (input, init) => {
  const own = init?.signal ?? (input instanceof Request ? input.signal : null)
  const late = AbortSignal.timeout(TIMEOUT_MS)
  return globalThis.fetch(input, { ...init, signal: own === null ? late : AbortSignal.any([own, late]) })
}

function storeIn<Value>(map: Map<string, Value>) {
  return {
    get: async (key: string) => map.get(key),
    set: async (key: string, value: Value) => void map.set(key, value),
    del: async (key: string) => void map.delete(key),
  }
}

/** As much of a DID document as is looked at: who an account is was found out already. */
function identityOf({ did, pds }: LocatedAccount) {
  const service = { id: '#atproto_pds', type: 'AtprotoPersonalDataServer', serviceEndpoint: pds } as const
  const id = did as AtprotoDid
  const context = 'https://www.w3.org/ns/did/v1'
  return {
    did: id,
    handle: NO_HANDLE,
    didDoc: { '@context': [context] as [typeof context], id, service: [service] },
  }
}

function signedInAs(did: string, account: LocatedAccount): CommandError {
  return new CommandError(
    `You signed in as ${did}, but it must be ${account.did}. Nothing was done; give the command again.`,
  )
}

function refusedBy({ did, pds }: LocatedAccount, error: unknown): CommandError {
  const isDenied = error instanceof OAuthCallbackError && error.params.get('error') === 'access_denied'
  const message = isDenied
    ? `It was refused to act for ${did} at ${pds}.`
    : `Nobody could be signed in at ${pds}: ${reasonsOf(error)}. An app password will do, with --login.`
  return new CommandError(message, { cause: error })
}

/** The library says in the causes what happened. */
function reasonsOf(error: unknown): string {
  const reasons: string[] = []
  for (let at = error; at instanceof Error && reasons.length < 5; at = at.cause) {
    const reason = plain(at.message).replace(/\.$/, '')
    if (!reasons.some((said) => said.includes(reason))) reasons.push(reason)
  }
  return reasons.length === 0 ? plain(String(error)) : reasons.join(': ')
}
