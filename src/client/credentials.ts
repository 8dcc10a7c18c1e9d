import { isValidDid } from '@atproto/syntax'
import { type Keypair, parsePrivateKey } from './keys.js'
import type { PdsSession } from './session.js'
import { mintServiceToken } from './token.js'

/** As whom to call: a DID with its `#atproto` key, or an account with a session on its PDS. */
export type Credentials =
  | {
      readonly did: string
      /** A keypair of `@atproto/crypto`, or a private key as `aquifer callers new` prints it. */
      readonly key: Keypair | string
    }
  | { readonly session: PdsSession }

/** Gives a fresh token for one call. */
export type Mint = (call: {
  readonly audience: string
  readonly lxm: string
  readonly signal: AbortSignal | undefined
}) => Promise<string>

/**
 * @param now ms since the epoch
 * @throws TypeError for a DID that cannot call, or a text that is no key
 */
export function createMint(credentials: Credentials, now: () => number): Mint {
  if ('session' in credentials) {
    const { session } = credentials
    return (call) => session.serviceToken(call)
  }
  const { did } = credentials
  if (!isValidDid(did) || !/^did:(plc|web):/.test(did)) {
    throw new TypeError(`did must be a did:plc or a did:web, not ${JSON.stringify(did)}`)
  }
  const key = typeof credentials.key === 'string' ? parsePrivateKey(credentials.key) : credentials.key
  return ({ audience, lxm }) => mintServiceToken({ did, key, audience, lxm, nowMs: now() })
}
