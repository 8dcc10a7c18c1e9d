import { getSigningDidKey } from '@atproto/common-web'
import { parseDidKey } from '@atproto/crypto'
import { DidResolver } from '@atproto/identity'
import { serviceDidDocument } from '../auth/did-document.js'
import { BackfillError } from '../client/index.js'
import { type Config, readConfig } from '../config.js'
import { findServiceKey, openServiceKey, type ServiceKey, serviceKeyFile } from '../service-key.js'
import { assertCanAsk, confirm } from './confirm.js'
import { CommandError, EXIT, Interrupted, UsageError } from './exit.js'
import { PlcDirectory } from './identity-directory.js'
import {
  endpointIn,
  type IdentityChange,
  identityChanges,
  type PlcData,
  ROTATION_KEYS_MAX,
  replaceRotationKey,
  type ServiceIdentity,
  signGenesis,
  signingKeyIn,
  signUpdate,
  withIdentity,
} from './identity-plc.js'
import { readOrMakeKey, readPrivateKey, writeNewKey } from './key-files.js'
import { untilInterrupted } from './signals.js'
import { print, printJson, printLine } from './stdout.js'
import { plain } from './text.js'

export interface CreateOptions {
  readonly plc?: boolean
  readonly rotationKey?: string
  readonly recoveryKey?: readonly string[]
  readonly yes?: boolean
  readonly json?: boolean
}

export interface UpdateOptions {
  readonly rotationKey?: string
  readonly newRotationKey?: string
  readonly dryRun?: boolean
  readonly yes?: boolean
  readonly json?: boolean
}

/** Of the request for a document, ms. */
const TIMEOUT_MS = 30_000

/** Registers a did:plc for this service. */
export async function createIdentity(options: CreateOptions): Promise<number> {
  const { recoveryKey = [], yes = false, json = false } = options
  const config = readConfig(process.env)
  assertCanCreate(config, options)
  if (!yes) assertCanAsk()
  return attempt(async (signal, kept) => {
    const rotation = await readOrMakeKey(rotationKeyOf(options))
    const rotationKeys = [...recoveryKey, rotation.key.did()]
    const isMade = (await findServiceKey(config)) === null
    const identity = identityOf(config, await openServiceKey(config))
    // It stays, whatever comes of this: a service that was started meanwhile may use it.
    if (isMade) kept.push(serviceKeyFile(config))
    const { did, operation } = await signGenesis(identity, rotationKeys, rotation.key)
    const directory = new PlcDirectory(config.network.directoryUrl, signal)
    const isThere = rotation.newFile === null && (await directory.read(did)) !== null
    if (!isThere) {
      process.stderr.write(`${rowsOf({ did, ...identity, rotationKeys }).join('\n')}\n`)
      const question = `Register it with ${config.network.directoryUrl}, in public and for ever?`
      if (!yes) await confirm(question, 'Nothing was registered, and no rotation key made.', signal)
      // First the key: a did:plc whose key is lost can never be changed again.
      await writeNewKey(rotation)
      if (rotation.newFile !== null) kept.push(rotation.newFile)
      await directory.send(did, operation)
    }
    await (json
      ? printJson({ did, directory: config.network.directoryUrl, ...identity, rotationKeys })
      : printLine(did))
    process.stderr.write(nextSteps(did, isThere, rotation.newFile))
    return EXIT.done
  })
}

/** Brings the did:plc of this service up to date with the settings. */
export async function updateIdentity(options: UpdateOptions): Promise<number> {
  const { dryRun = false, yes = false, json = false } = options
  const config = readConfig(process.env)
  const { did } = config.identity
  assertCanUpdate(config)
  if (!yes && !dryRun) assertCanAsk()
  return attempt(async (signal, kept) => {
    const serviceKey = await usedServiceKey(config)
    const key = await readPrivateKey(rotationKeyOf(options))
    const directory = new PlcDirectory(config.network.directoryUrl, signal)
    const before = await readData(directory, config)
    if (!before.rotationKeys.includes(key.did())) {
      throw new CommandError(
        `The rotation key that was given, ${key.did()}, may not change ${did}: "aquifer identity show" names those that may.`,
      )
    }
    const next = options.newRotationKey === undefined ? null : await readOrMakeKey(options.newRotationKey)
    const wanted = withIdentity(before, identityOf(config, serviceKey))
    const after = next === null ? wanted : replaceRotationKey(wanted, key.did(), next.key.did())
    const changes = identityChanges(before, after)
    if (!json)
      await printLine(changes.length === 0 ? `${did} is as in the settings.` : changeText(did, changes))
    const isDue = changes.length > 0 && !dryRun
    if (isDue) {
      if (!yes) await confirm(`Change ${did}?`, 'Nothing was changed, and no key kept.', signal)
      if (next !== null) await writeNewKey(next)
      if (next?.newFile) kept.push(next.newFile)
      await directory.send(did, await signUpdate(await directory.lastOperation(did), after, key))
      process.stderr.write('Changed. Others may take the old document for true for some hours.\n')
    }
    if (json) await printJson({ did, changes, changed: isDue })
    return EXIT.done
  })
}

/** Prints what the world knows of this service, and where the settings say something else. */
export async function showIdentity({ json = false }: { readonly json?: boolean }): Promise<number> {
  const config = readConfig(process.env)
  return attempt(async (signal) => {
    const { did } = config.identity
    const shown = did.startsWith('did:plc:')
      ? shownOf(did, await readData(new PlcDirectory(config.network.directoryUrl, signal), config))
      : await readWebDocument(config)
    const differences = differencesOf(shown, await settingsOf(config))
    if (json) await printJson({ ...shown, differences })
    else await print(`${rowsOf(shown).join('\n')}\n`)
    if (!json) process.stderr.write(differenceText(did, differences))
    return EXIT.done
  })
}

/** What is known of a service. */
interface ShownIdentity {
  readonly did: string
  readonly endpoint: string | null
  readonly signingKey: string | null
  /** Only a did:plc has them. */
  readonly rotationKeys?: readonly string[]
}

/** @param use is given a list for the files of new keys, which are there also when it fails */
async function attempt(use: (signal: AbortSignal, kept: string[]) => Promise<number>): Promise<number> {
  const { signal, restore } = untilInterrupted()
  const kept: string[] = []
  try {
    return await use(signal, kept)
  } catch (error) {
    if (signal.aborted) {
      const said = error instanceof Interrupted ? error.message : 'Interrupted.'
      throw new Interrupted(`${said}${keptText(kept)}`)
    }
    if (error instanceof CommandError) {
      throw new CommandError(`${error.message}${keptText(kept)}`, { cause: error })
    }
    if (!(error instanceof BackfillError)) throw error
    // The message names the directory; PLC_URL is where another is named.
    const advice = error.status === 0 ? '\nIs PLC_URL right?' : ''
    throw new CommandError(`${plain(error.message)}${advice}${keptText(kept)}`, { cause: error })
  } finally {
    restore()
  }
}

/** How to go on after a failure that came when keys were written. */
function keptText(files: readonly string[]): string {
  if (files.length === 0) return ''
  const [keys, them] = files.length === 1 ? ['A new key is', 'it'] : ['New keys are', 'them']
  return `\n${keys} in ${files.join(' and ')}. The same command goes on with ${them}.`
}

function assertCanCreate({ server, identity, network }: Config, options: CreateOptions): void {
  const { recoveryKey = [] } = options
  if (!options.plc) {
    throw new UsageError(
      `A did:web needs no making: the service answers for ${identity.did} by itself, as PUBLIC_URL says.\n` +
        'For a did:plc, which stays the same when the service moves, say --plc.',
    )
  }
  if (process.env.SERVICE_DID?.trim()) {
    throw new UsageError(
      `The service has a DID already (SERVICE_DID is ${identity.did}): "aquifer identity update" brings it up to date.`,
    )
  }
  assertReachable(server.publicUrl, network.allowPrivateNetwork)
  if (!recoveryKey.every(isDidKey)) {
    // What was given may be a private key by mistake: it is not repeated.
    throw new UsageError('--recovery-key must be the public part of a key, such as did:key:zQ3sh….')
  }
  if (recoveryKey.length >= ROTATION_KEYS_MAX) {
    throw new UsageError(
      `At most ${ROTATION_KEYS_MAX - 1} recovery keys: a did:plc has up to ${ROTATION_KEYS_MAX} keys.`,
    )
  }
}

function isDidKey(text: string): boolean {
  try {
    parseDidKey(text)
    return true
  } catch {
    return false
  }
}

function assertCanUpdate({ server, identity, network }: Config): void {
  const { did } = identity
  if (!did.startsWith('did:plc:')) {
    throw new UsageError(
      `The service's DID is ${did}, whose document it serves itself: it is always as in the settings.\n` +
        'For a did:plc set SERVICE_DID.',
    )
  }
  assertReachable(server.publicUrl, network.allowPrivateNetwork)
}

function assertReachable(publicUrl: string, allowsPrivate: boolean): void {
  if (allowsPrivate || publicUrl.startsWith('https://')) return
  throw new UsageError(
    `PUBLIC_URL is ${publicUrl}, where nobody else reaches the service: set it to its https address first.`,
  )
}

/** @throws UsageError when none was given */
function rotationKeyOf({ rotationKey }: { readonly rotationKey?: string }): string {
  if (rotationKey) return rotationKey
  throw new UsageError(
    'Which key may change the DID? Give its file with --rotation-key or AQUIFER_ROTATION_KEY.\n' +
      '"identity create" makes one where there is no such file.',
  )
}

function identityOf(config: Config, key: ServiceKey): ServiceIdentity {
  return { endpoint: endpointOf(config), signingKey: key.did }
}

const endpointOf = ({ server }: Config) => new URL(server.publicUrl).origin

/** A new key here would not be the one that the service signs with elsewhere. */
async function usedServiceKey(config: Config): Promise<ServiceKey> {
  const key = await findServiceKey(config)
  if (key !== null) return key
  throw new CommandError(
    `There is no service key in ${serviceKeyFile(config)}: run this where the service runs, with its DATA_DIR, or set SERVICE_KEY.`,
  )
}

/** No key is made for somebody who only looks. */
async function settingsOf(config: Config): Promise<{ endpoint: string; signingKey: string | null }> {
  const key = await findServiceKey(config)
  return { endpoint: endpointOf(config), signingKey: key?.did ?? null }
}

async function readData(directory: PlcDirectory, { identity, network }: Config): Promise<PlcData> {
  const data = await directory.read(identity.did)
  if (data !== null) return data
  throw new CommandError(
    `${network.directoryUrl} knows no ${identity.did}. Are SERVICE_DID and PLC_URL right?`,
  )
}

function shownOf(did: string, data: PlcData): ShownIdentity {
  const { rotationKeys } = data
  return { did, endpoint: endpointIn(data) ?? null, signingKey: signingKeyIn(data) ?? null, rotationKeys }
}

async function readWebDocument({ identity, network }: Config): Promise<ShownIdentity> {
  const { did } = identity
  const resolver = new DidResolver({
    plcUrl: network.directoryUrl,
    timeout: TIMEOUT_MS,
    fetch: globalThis.fetch,
  })
  const document = await resolver.ensureResolve(did).catch((error: unknown) => {
    const message = `The document of ${did} cannot be read: ${error instanceof Error ? error.message : error}.`
    throw new CommandError(`${message}\nThe service serves it where PUBLIC_URL says, while it runs.`, {
      cause: error,
    })
  })
  const { id } = serviceDidDocument({ did, endpoint: 'https://any.example' }).service[0]!
  const entry = document.service?.find((service) => service.id === id || service.id === `${did}${id}`)
  const endpoint = typeof entry?.serviceEndpoint === 'string' ? entry.serviceEndpoint : null
  return { did, endpoint, signingKey: getSigningDidKey(document) ?? null }
}

function differencesOf(
  shown: ShownIdentity,
  settings: { readonly endpoint: string; readonly signingKey: string | null },
): IdentityChange[] {
  const rows = [
    { what: 'service', before: shown.endpoint ?? 'none', after: settings.endpoint },
    {
      what: 'signing key',
      before: shown.signingKey ?? 'none',
      // A key that is not there yet says nothing.
      after: settings.signingKey ?? shown.signingKey ?? 'none',
    },
  ]
  return rows.filter(({ before, after }) => before !== after)
}

function rowsOf({ did, endpoint, signingKey, rotationKeys = [] }: ShownIdentity): string[] {
  return [
    `did            ${did}`,
    `service        ${endpoint ?? '-'}`,
    `signing key    ${signingKey ?? '-'}`,
    ...rotationKeys.map((key, index) => `${index === 0 ? 'rotation keys' : '             '}  ${key}`),
  ]
}

function changeText(did: string, changes: readonly IdentityChange[]): string {
  const rows = changes.map(
    ({ what, before, after }) => `${what.padEnd(13)}  ${before}\n${' '.repeat(11)}to  ${after}`,
  )
  return `did            ${did}\n${rows.join('\n')}`
}

function differenceText(did: string, differences: readonly IdentityChange[]): string {
  if (differences.length === 0) return 'That is as in the settings.\n'
  const rows = differences.map(({ what, after }) => `  ${what}: ${after}`)
  const advice = did.startsWith('did:plc:')
    ? '"aquifer identity update" brings it up to date.'
    : 'Restart the service with these settings, or look at what answers at its address.'
  return `The settings say something else:\n${rows.join('\n')}\n${advice}\n`
}

function nextSteps(did: string, wasThere: boolean, newFile: string | null): string {
  const steps = [
    `Give the service its DID: SERVICE_DID=${did}`,
    ...(newFile === null
      ? []
      : [`Keep ${newFile} where the service is not: whoever has it can take the DID away from you.`]),
    'After a move to another address or another key: aquifer identity update',
  ]
  const said = wasThere ? 'This one is registered already.\n' : ''
  return `${said}\nNext:\n${steps.map((step, index) => `${index + 1}. ${step}`).join('\n')}\n`
}
