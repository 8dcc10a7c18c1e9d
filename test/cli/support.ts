import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll } from 'vitest'
import { formatPrivateKey, generateKey } from '../../src/client/index.js'
import { assertBuilt } from '../support/built.js'
import { startDidWeb } from '../support/network/did-web.js'
import { eventually } from '../support/wait.js'
import { environmentOf, runInProcess } from './in-process.js'

export { screenOf } from './screen.js'

/** Runs the built command: as people do, in a pipe or on a terminal that `script` of util-linux makes, or in here. */

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
export const BINARY = join(ROOT, 'bin/aquifer.js')

/** What hangs is ended: a busy machine takes long for a process, and longer for a dozen of them. */
const EXIT_WAIT_MS = 100_000
export const CTRL_C = '\u0003'

assertBuilt()

export interface Ended {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

export interface RunOptions {
  /** All of the environment but where programs are found. */
  readonly env?: Readonly<Record<string, string>>
  readonly cwd?: string
}

/** A command on its way. On a terminal both outputs come as `stdout`. */
export interface Running {
  readonly stdout: string
  readonly stderr: string
  readonly ended: Promise<Ended>
  /** Types on the keyboard; only on a terminal. */
  type(text: string): void
  /** Sends a signal to the process; only in a pipe. */
  kill(signal: NodeJS.Signals): void
  /** Waits until the outputs so far hold this. */
  until(text: string | RegExp): Promise<void>
}

/** Starts `aquifer` with its outputs in pipes and no input. */
export function start(args: readonly string[], options: RunOptions = {}): Running {
  return launch(process.execPath, [BINARY, ...args], options)
}

/**
 * Runs `aquifer` to its end, as {@link start} would: the same build, without a process for each of the hundreds of
 * commands. What a process adds, such as signals and how it ends by itself, is for those that start one.
 */
export function aquifer(args: readonly string[], options: RunOptions = {}): Promise<Ended> {
  return runInProcess(args, options, EXIT_WAIT_MS)
}

/** Starts `aquifer` on a terminal of its own. */
export function startOnTerminal(
  args: readonly string[],
  { columns = 100, ...options }: RunOptions & { readonly columns?: number } = {},
): Running {
  const command = [process.execPath, BINARY, ...args].map(quoted).join(' ')
  const inside = `stty cols ${columns} rows 40; exec ${command}`
  return launch('script', ['--quiet', '--flush', '--return', '--command', inside, '/dev/null'], options)
}

/** Runs a line of bash with `aquifer` in it, for what only a shell can do. */
export function shell(line: string, options: RunOptions = {}): Promise<Ended> {
  const aquifer = `aquifer() { ${quoted(process.execPath)} ${quoted(BINARY)} "$@"; }`
  return launch('bash', ['-c', `${aquifer}; ${line}`], options).ended
}

function launch(file: string, args: readonly string[], options: RunOptions): Running {
  const { cwd } = options
  const child = spawn(file, args, { env: environmentOf(options), ...(cwd && { cwd }) })
  const output = { stdout: '', stderr: '' }
  for (const name of ['stdout', 'stderr'] as const) {
    child[name].setEncoding('utf8').on('data', (text: string) => {
      output[name] += text
    })
  }
  // A command that has ended takes no more keys.
  child.stdin.on('error', () => {})
  if (file !== 'script') child.stdin.end()
  const seen = () => output.stdout + output.stderr
  const late = setTimeout(() => child.kill('SIGKILL'), EXIT_WAIT_MS)
  const ended = once(child, 'close').then(([code]): Ended => {
    clearTimeout(late)
    return { code, ...output }
  })
  return {
    get stdout() {
      return output.stdout
    },
    get stderr() {
      return output.stderr
    },
    ended,
    type: (text) => void child.stdin.write(text),
    kill: (signal) => void child.kill(signal),
    async until(text) {
      const isThere = (all: string) => (typeof text === 'string' ? all.includes(text) : text.test(all))
      await eventually(seen, isThere, EXIT_WAIT_MS)
    },
  }
}

const quoted = (text: string) => `'${text.replaceAll("'", "'\\''")}'`

/** A folder that goes away with the tests of a file. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'aquifer-cli-'))
  afterAll(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

export interface KeyCaller extends AsyncDisposable {
  readonly did: string
  readonly key: string
  /** Has `aquifer` call as this one. */
  readonly env: Readonly<Record<string, string>>
}

/** A service with a did:web and a key that can be written down. */
export async function createKeyCaller(serviceUrl: string): Promise<KeyCaller> {
  const web = await startDidWeb()
  const keypair = await generateKey()
  web.publish({ signingKey: keypair.did() })
  const key = await formatPrivateKey(keypair)
  return {
    did: web.did,
    key,
    env: { AQUIFER_SERVICE: serviceUrl, AQUIFER_DID: web.did, AQUIFER_KEY: key },
    [Symbol.asyncDispose]: () => web[Symbol.asyncDispose](),
  }
}

/** The JSON lines of an output. */
export function jsonLines<T = Record<string, unknown>>(text: string): T[] {
  if (text !== '' && !text.endsWith('\n')) throw new Error(`half a line: ${text.slice(-200)}`)
  return text
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line) as T)
}
