import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { AtpAgent } from '@atproto/api'
import { Secp256k1Keypair } from '@atproto/crypto'
import { PDS, type ServerEnvironment } from '@atproto/pds'
import { ensureValidDid } from '@atproto/syntax'
import { findFreePort, keepToLoopback, RequestCounts } from './loopback.js'

export interface PdsOptions {
  /** The directory in which it registers its accounts. */
  readonly plcUrl: string
  /** Chosen by the system when absent. */
  readonly port?: number
  /** What the handles of its accounts end in, with the dot in front; `.test` when absent. */
  readonly handleDomain?: string
}

interface Setup {
  readonly environment: ServerEnvironment
  readonly directory: string
  readonly rotationKey: Secp256k1Keypair
}

const ADMIN_PASSWORD = 'admin-password'

/** Room for repos of 50,000 records. */
const IMPORT_BYTES_MAX = 64 * 1024 * 1024

/** A real PDS in this process, on loopback, with its data in a directory of its own. */
export class TestPds implements AsyncDisposable {
  readonly url: string
  /** What service-auth tokens for it are addressed to. */
  readonly did: string
  readonly plcUrl: string
  readonly handleDomain: string
  /** Signs for its accounts in the directory. */
  readonly rotationKey: Secp256k1Keypair
  readonly requests = new RequestCounts()
  /** Asks it without a session. */
  readonly agent: AtpAgent
  readonly adminHeaders = {
    authorization: `Basic ${Buffer.from(`admin:${ADMIN_PASSWORD}`).toString('base64')}`,
  }
  readonly #setup: Setup
  #pds: PDS | null = null

  constructor(setup: Setup, options: { url: string; did: string; plcUrl: string; handleDomain: string }) {
    this.#setup = setup
    this.url = options.url
    this.did = options.did
    this.plcUrl = options.plcUrl
    this.handleDomain = options.handleDomain
    this.rotationKey = setup.rotationKey
    this.agent = new AtpAgent({ service: options.url })
  }

  /** Holds everything it stores; removed with it. */
  get dataDirectory(): string {
    return this.#setup.directory
  }

  get running(): boolean {
    return this.#pds !== null
  }

  /** Refuses connections until `restart`, at once, though it takes up to a second to end; the data stay. */
  async stop(): Promise<void> {
    const pds = this.#pds
    this.#pds = null
    if (pds !== null) await destroy(pds)
  }

  /** Listens (again) on its port, over its data; sessions from before still hold. */
  async restart(): Promise<void> {
    if (this.#pds !== null) return
    const pds = await PDS.fromEnv(this.#setup.environment)
    keepToLoopback(pds.app)
    try {
      this.requests.watch(await pds.start())
    } catch (error) {
      await destroy(pds)
      throw error
    }
    this.#pds = pds
  }

  /** Every repo it has, in any state, as `com.atproto.sync.listRepos` gives it. */
  async repos() {
    const found: Awaited<ReturnType<AtpAgent['com']['atproto']['sync']['listRepos']>>['data']['repos'] = []
    let cursor: string | undefined
    do {
      const { data } = await this.agent.com.atproto.sync.listRepos({ limit: 1000, cursor })
      found.push(...data.repos)
      cursor = data.cursor
    } while (cursor !== undefined)
    return found
  }

  /** The collections a repo has records in, read from its data: over the network only active repos tell. */
  async collectionsOf(did: string): Promise<string[]> {
    if (this.#pds === null) throw new Error(`the PDS ${this.url} is down`)
    ensureValidDid(did)
    return this.#pds.ctx.actorStore.read(did, (store) => store.record.listCollections())
  }

  /** Stops it and removes its data. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop()
    await rm(this.#setup.directory, { recursive: true, force: true })
  }
}

/** Starts a PDS without accounts. Any number of them can run in one process. */
export async function startPds(options: PdsOptions): Promise<TestPds> {
  const { plcUrl, handleDomain = '.test' } = options
  const directory = await mkdtemp(join(tmpdir(), 'aquifer-pds-'))
  const rotationKey = await Secp256k1Keypair.create({ exportable: true })
  // Its address goes into the DID document of every account, so it must be known before it listens.
  const port = options.port ?? (await findFreePort())
  const did = `did:web:localhost%3A${port}`
  const environment: ServerEnvironment = {
    port,
    hostname: 'localhost',
    serviceDid: did,
    // Lets it speak http, and with other services on loopback.
    devMode: true,
    disableSsrfProtection: true,
    dataDirectory: directory,
    blobstoreDiskLocation: join(directory, 'blobs'),
    didPlcUrl: plcUrl,
    serviceHandleDomains: [handleDomain],
    inviteRequired: false,
    maxImportSize: IMPORT_BYTES_MAX,
    adminPassword: ADMIN_PASSWORD,
    jwtSecret: 'a secret that signs the sessions of tests',
    plcRotationKeyK256PrivateKeyHex: Buffer.from(await rotationKey.export()).toString('hex'),
  }
  const url = `http://localhost:${port}`
  const pds = new TestPds({ environment, directory, rotationKey }, { url, did, plcUrl, handleDomain })
  await pds.restart()
  return pds
}

/** Ends a PDS with what it leaves open itself: two of its databases. */
async function destroy(pds: PDS): Promise<void> {
  const { sequencer, didCache } = pds.ctx
  await pds.destroy()
  await didCache.destroy()
  didCache.db.close()
  sequencer.db.close()
}
