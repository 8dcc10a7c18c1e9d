import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { documentOf } from '../../test/support/network/stand-in-directory.js'
import { programPath } from './program.js'

const PROGRAM = programPath(import.meta.url, './fake-pds')
const BASE32 = 'abcdefghijklmnopqrstuvwxyz234567'

export interface FakeNetwork extends AsyncDisposable {
  /** The documents of so many accounts, spread evenly over the PDSs. */
  accounts(count: number): { did: string; document: object }[]
}

/** PDSs in a process of their own, whose accounts have so many records each. */
export async function startFakeNetwork(origins: number, recordsPerRepo: number): Promise<FakeNetwork> {
  const child = fork(PROGRAM, [String(origins), String(recordsPerRepo)])
  const listening = await originsOf(child)
  return {
    accounts: (count) =>
      Array.from({ length: count }, (_, index) => {
        const did = didOf(index)
        return { did, document: documentOf(did, listening[index % listening.length]) }
      }),
    async [Symbol.asyncDispose]() {
      const exited = once(child, 'exit')
      child.disconnect()
      await exited
    },
  }
}

async function originsOf(child: ChildProcess): Promise<string[]> {
  const failed = once(child, 'exit').then(() => {
    throw new Error('the process of the stand-in PDSs has ended')
  })
  failed.catch(() => {})
  const [origins] = await Promise.race([once(child, 'message'), failed])
  return origins as string[]
}

/** Neighbours differ in their last letters, by which the stand-ins tell what an account holds. */
function didOf(index: number): string {
  let name = ''
  for (let rest = index; name.length < 24; rest = Math.floor(rest / 32)) name = BASE32[rest % 32] + name
  return `did:plc:${name}`
}
