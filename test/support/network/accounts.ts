import { AtpAgent, type ComAtprotoRepoApplyWrites, type ComAtprotoServerCreateAccount } from '@atproto/api'
import { Secp256k1Keypair } from '@atproto/crypto'
import { createServiceJwt } from '@atproto/xrpc-server'
import { Client } from '@did-plc/lib'
import { type DidWeb, startDidWeb } from './did-web.js'
import type { TestPds } from './pds.js'

/** An account with an open session. */
export interface Account {
  readonly did: string
  readonly handle: string
  readonly pds: TestPds
  /** Asks its PDS as this account. */
  readonly agent: AtpAgent
}

/** An account whose DID is a did:web on loopback; disposing of it takes the DID document off the network. */
export interface WebAccount extends Account, AsyncDisposable {
  readonly web: DidWeb
}

/** A record as `com.atproto.repo.listRecords` gives it. */
export interface StoredRecord {
  readonly uri: string
  readonly cid: string
  readonly value: Readonly<Record<string, unknown>>
}

/** Accounts that one call makes at the same time: more only wait for one another. */
const ACCOUNTS_AT_ONCE = 8
/** What one `applyWrites` may hold: writes, and bytes with room for the envelope of each. */
const WRITES_MAX = 200
const WRITES_BYTES_MAX = 800_000

/**
 * An account with a did:plc.
 * @param name the handle, or its first label, to which the PDS's domain is added: 3 to 18 characters, and best
 *   with a hyphen or a digit in it, for the PDS reserves many common words
 */
export async function createAccount(pds: TestPds, name: string): Promise<Account> {
  return openAccount(pds, { handle: handleFor(pds, name) })
}

/** Accounts with a did:plc each, in the order of the names. */
export async function createAccounts(pds: TestPds, names: readonly string[]): Promise<Account[]> {
  const accounts: Account[] = []
  for (let start = 0; start < names.length; start += ACCOUNTS_AT_ONCE) {
    const batch = names.slice(start, start + ACCOUNTS_AT_ONCE)
    accounts.push(...(await Promise.all(batch.map((name) => createAccount(pds, name)))))
  }
  return accounts
}

/**
 * An account that brings its own did:web, the way accounts move to a PDS: its key of the moment vouches for
 * it, then its document takes on the key that the PDS made for it.
 */
export async function createDidWebAccount(pds: TestPds, name: string): Promise<WebAccount> {
  const web = await startDidWeb()
  try {
    const handle = handleFor(pds, name)
    const services = { atproto_pds: { type: 'AtprotoPersonalDataServer', endpoint: pds.url } }
    const ownKey = await Secp256k1Keypair.create()
    web.publish({ signingKey: ownKey.did(), handle, services })
    const token = await createServiceJwt({
      iss: web.did,
      aud: pds.did,
      lxm: 'com.atproto.server.createAccount',
      keypair: ownKey,
    })
    const account = await openAccount(pds, { handle, did: web.did }, { authorization: `Bearer ${token}` })
    const { data } = await account.agent.com.atproto.identity.getRecommendedDidCredentials()
    web.publish({ signingKey: signingKeyIn(data.verificationMethods), handle, services })
    await account.agent.com.atproto.server.activateAccount()
    return { ...account, web, [Symbol.asyncDispose]: () => web[Symbol.asyncDispose]() }
  } catch (error) {
    await web[Symbol.asyncDispose]()
    throw error
  }
}

/**
 * Creates records and gives them as `listRecords` will.
 * @param values without `$type`, the collection is taken
 * @param rkeys one for each value; without, the PDS gives TIDs in this order
 */
export async function putRecords(
  account: Account,
  collection: string,
  values: readonly Readonly<Record<string, unknown>>[],
  rkeys?: readonly string[],
): Promise<StoredRecord[]> {
  const writes = values.map((value, index) => ({
    $type: 'com.atproto.repo.applyWrites#create' as const,
    collection,
    rkey: rkeys?.[index],
    value: { $type: collection, ...value },
  }))
  const stored: StoredRecord[] = []
  for (const batch of inBatches(writes)) {
    const { data } = await account.agent.com.atproto.repo.applyWrites({
      repo: account.did,
      validate: false,
      writes: batch,
    })
    const results = (data.results ?? []) as ComAtprotoRepoApplyWrites.CreateResult[]
    stored.push(...results.map(({ uri, cid }, index) => ({ uri, cid, value: batch[index]!.value })))
  }
  return stored
}

/** Creates or replaces one record. */
export async function putRecord(
  account: Account,
  collection: string,
  rkey: string,
  value: Readonly<Record<string, unknown>>,
): Promise<StoredRecord> {
  const record = { $type: collection, ...value }
  const { data } = await account.agent.com.atproto.repo.putRecord({
    repo: account.did,
    collection,
    rkey,
    record,
    validate: false,
  })
  return { uri: data.uri, cid: data.cid, value: record }
}

export async function deleteRecord(account: Account, collection: string, rkey: string): Promise<void> {
  await account.agent.com.atproto.repo.deleteRecord({ repo: account.did, collection, rkey })
}

/** By its owner; `activate` takes it back. */
export async function deactivate(account: Account): Promise<void> {
  await account.agent.com.atproto.server.deactivateAccount({})
}

export async function activate(account: Account): Promise<void> {
  await account.agent.com.atproto.server.activateAccount()
}

/** By the PDS's moderators. */
export async function takeDown(pds: TestPds, did: string): Promise<void> {
  await pds.agent.com.atproto.admin.updateSubjectStatus(
    { subject: { $type: 'com.atproto.admin.defs#repoRef', did }, takedown: { applied: true } },
    { headers: pds.adminHeaders, encoding: 'application/json' },
  )
}

/** Removes the account from its PDS for good. The directory still has its DID. */
export async function deleteAccount({ pds, did }: Account): Promise<void> {
  await pds.agent.com.atproto.admin.deleteAccount(
    { did },
    { headers: pds.adminHeaders, encoding: 'application/json' },
  )
}

/** Has the directory name another PDS for a did:plc, whether the account is there or not. */
export async function updatePlcEndpoint({ pds, did }: Account, endpoint: string): Promise<void> {
  await new Client(pds.plcUrl).updatePds(did, pds.rotationKey, endpoint)
}

/** Ends a did:plc for good. This directory answers 404 for it, the public one 410. */
export async function tombstone({ pds, did }: Account): Promise<void> {
  await new Client(pds.plcUrl).tombstone(did, pds.rotationKey)
}

/** Without a password: nobody signs in a second time, and hashing one takes half of an account's time. */
async function openAccount(
  pds: TestPds,
  input: { handle: string; did?: string },
  headers: Record<string, string> = {},
): Promise<Account> {
  const agent = new AtpAgent({ service: pds.url })
  const body: ComAtprotoServerCreateAccount.InputSchema = { ...input, email: `${input.handle}@mail.test` }
  const { data } = await agent.createAccount(body, { headers, encoding: 'application/json' })
  return { did: data.did, handle: data.handle, pds, agent }
}

function handleFor(pds: TestPds, name: string): string {
  return name.includes('.') ? name : `${name}${pds.handleDomain}`
}

function signingKeyIn(methods: Readonly<Record<string, unknown>> | undefined): string {
  const key = methods?.atproto
  if (typeof key === 'string') return key
  throw new Error('the PDS recommends no signing key')
}

/** Splits writes where a request would be too large. */
function* inBatches<T extends { value: unknown }>(writes: readonly T[]): Generator<T[]> {
  let batch: T[] = []
  let bytes = 0
  for (const write of writes) {
    const size = Buffer.byteLength(JSON.stringify(write))
    if (batch.length === WRITES_MAX || (batch.length > 0 && bytes + size > WRITES_BYTES_MAX)) {
      yield batch
      batch = []
      bytes = 0
    }
    batch.push(write)
    bytes += size
  }
  if (batch.length > 0) yield batch
}
