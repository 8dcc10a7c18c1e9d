import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** By its own path: the name `lex` in `node_modules/.bin` may belong to another package. */
const LEX_CLI = fileURLToPath(new URL('../../node_modules/@atproto/lex-cli/bin.js', import.meta.url))

/** What lex-cli makes, and the folder of `codegen/` it goes into. */
const TARGETS = { server: 'gen-server', client: 'gen-api' } as const

/**
 * Writes the server's and the client's code. lex-cli deletes every other .ts file in its folders.
 * @param lexicons folder of the documents
 * @param codegen folder to write to
 * @throws Error with lex-cli's words, if it failed
 */
export async function generate(lexicons: string, codegen: string): Promise<void> {
  const runs = Object.entries(TARGETS).map(([folder, command]) =>
    run([LEX_CLI, command, '--yes', join(codegen, folder), lexicons]),
  )
  await Promise.all(runs)
}

/** The files that must come out for these documents: lex-cli leaves one out and still exits with 0. */
export function expectedTypes(nsids: readonly string[]): string[] {
  return Object.keys(TARGETS).flatMap((folder) =>
    nsids.map((nsid) => `${folder}/types/${nsid.split('.').join('/')}.ts`),
  )
}

async function run(args: readonly string[]): Promise<void> {
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] })
  const said: string[] = []
  child.stdout.setEncoding('utf8').on('data', (text: string) => said.push(text))
  child.stderr.setEncoding('utf8').on('data', (text: string) => said.push(text))
  const code = await new Promise<number | null>((resolve, reject) => {
    child.on('error', reject).on('close', resolve)
  })
  if (code !== 0) {
    throw new Error(`lex-cli (exit code ${code}):\n${said.join('')}`)
  }
}
