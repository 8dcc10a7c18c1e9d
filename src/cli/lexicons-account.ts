import type { PdsSession } from '../client/index.js'
import { type LocatedAccount, locateAccount } from '../client/locate.js'
import { openIdentity } from './credentials.js'
import { UsageError } from './exit.js'
import { LEXICON_COLLECTION } from './lexicons-diff.js'
import type { LexiconAuthor, LexiconRepo } from './lexicons-repo.js'

/** Who publishes lexicons, and how they are known to be it: by a password, or by signing in with a browser. */
export interface AccountOptions {
  readonly login?: string
  readonly oauth?: string
  /** Only with `login`. */
  readonly pds?: string
}

/** An account whose repo can be written into. */
export interface LexiconAccount extends LexiconRepo {
  write(use: (author: LexiconAuthor) => Promise<void>): Promise<void>
}

/** Of one request while an account is looked up, ms. */
const LOOKUP_MS = 30_000
const PLC_URL = 'https://plc.directory'

/** All that publishing needs: to write records of this one collection, and to delete none. */
const SCOPE = `atproto repo:${LEXICON_COLLECTION}?action=create&action=update` as const

/**
 * Logs in with a password; with OAuth an account is only found for now, and signs in when there is something to write.
 * @throws UsageError; BackfillError
 */
export async function openAccount(options: AccountOptions, signal: AbortSignal): Promise<LexiconAccount> {
  const { login, oauth, pds } = options
  if (login !== undefined && oauth === undefined) return withPassword(await logIn(login, pds, signal))
  if (login !== undefined || oauth === undefined) throw new UsageError(ONE_WAY)
  if (pds !== undefined)
    throw new UsageError('--pds is for --login: with --oauth the PDS is found by the DID.')
  return withBrowser(await locate(oauth.replace(/^@/, ''), signal, process.env.HANDLE_RESOLVER_URL), signal)
}

const ONE_WAY =
  'Name the account that publishes, in one way: --login takes its password, --oauth has you sign in with a browser.'

/**
 * Where an account is.
 * @throws BackfillError
 */
export function locate(
  account: string,
  signal: AbortSignal,
  handleResolver?: string,
): Promise<LocatedAccount> {
  return locateAccount(account, {
    plcUrl: process.env.PLC_URL || PLC_URL,
    handleResolverUrl: handleResolver || null,
    fetch: globalThis.fetch,
    timeoutMs: LOOKUP_MS,
    signal,
    now: Date.now,
  })
}

async function logIn(login: string, pds: string | undefined, signal: AbortSignal): Promise<PdsSession> {
  const { credentials } = await openIdentity({ login, ...(pds && { pds }) }, signal)
  if ('session' in credentials) return credentials.session
  throw new UsageError('Lexicons are published by an account: name one with --login or --oauth.')
}

function withPassword(session: PdsSession): LexiconAccount {
  const { did, pds } = session
  return {
    did,
    pds,
    write: (use) =>
      use({
        did,
        pds,
        fetch(input, init) {
          const headers = new Headers(init?.headers)
          headers.set('authorization', `Bearer ${session.save().accessJwt}`)
          return globalThis.fetch(input, { ...init, headers })
        },
      }),
  }
}

function withBrowser(account: LocatedAccount, signal: AbortSignal): LexiconAccount {
  return {
    ...account,
    async write(use) {
      // Only now: it is much, and few need it.
      const { withOAuthSession } = await import('./oauth.js')
      const options = {
        account,
        scope: SCOPE,
        locate: (did: string) => locate(did, signal),
        show: (url: URL) =>
          void process.stderr.write(`To sign in, open this with a browser on this machine:\n  ${url}\n`),
        signal,
      }
      await withOAuthSession(options, (fetch) => use({ ...account, fetch }))
    },
  }
}
