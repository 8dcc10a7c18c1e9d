import {
  type Account,
  createAccount,
  createAccounts,
  deactivate,
  putRecords,
  type StoredRecord,
  takeDown,
} from '../test/support/network/accounts.js'
import type { Network } from '../test/support/network/network.js'

export const STATUS = 'network.example.statusphere.status'
export const NOTE = 'network.example.notebook.note'
export const COLLECTIONS = [STATUS, NOTE]

const ACCOUNTS_PER_PDS = 8
const EMOJI = ['👍', '🦋', '🥳', '🌊', '😀', '🪨']

export interface World {
  readonly accounts: readonly Account[]
  /** Every record that was written, by URI. */
  readonly records: ReadonlyMap<string, StoredRecord>
  /** The URIs a backfill must bring: those of accounts that are still to be had. */
  readonly wanted: ReadonlySet<string>
}

/** Fills the PDSs: many small accounts, one with more records than ten pages hold, and two that go away. */
export async function populate(network: Network): Promise<World> {
  const records = new Map<string, StoredRecord>()
  const wanted = new Set<string>()
  const accounts: Account[] = []
  for (const [index, pds] of network.pdses.entries()) {
    const names = Array.from({ length: ACCOUNTS_PER_PDS }, (_, number) => `person${index}${number}`)
    accounts.push(...(await createAccounts(pds, names)))
  }
  const diarist = await createAccount(network.pdses[0]!, 'diarist')
  accounts.push(diarist)
  const gone: Account[] = [accounts[1]!, accounts[ACCOUNTS_PER_PDS + 1]!]
  for (const [index, account] of accounts.entries()) {
    const statuses = Array.from({ length: 1 + (index % 6) }, (_, n) => ({
      status: EMOJI[(index + n) % EMOJI.length]!,
    }))
    const notes = Array.from({ length: account === diarist ? 1_001 : index % 3 }, (_, n) => ({
      text: `Note ${n}`,
    }))
    const written = [
      ...(await putRecords(account, STATUS, statuses)),
      ...(await putRecords(account, NOTE, notes)),
    ]
    for (const record of written) {
      records.set(record.uri, record)
      if (!gone.includes(account)) wanted.add(record.uri)
    }
  }
  await network.relay.crawl()
  await deactivate(gone[0]!)
  await takeDown(gone[1]!.pds, gone[1]!.did)
  return { accounts, records, wanted }
}
