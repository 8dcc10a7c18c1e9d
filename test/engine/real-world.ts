import type { JobView } from '../../codegen/client/types/network/example/backfill/defs.js'
import type { Overrides } from '../../src/service.js'
import type { Account, StoredRecord } from '../support/network/accounts.js'
import { createPlcCaller } from '../support/network/caller.js'
import { startNetwork } from '../support/network/network.js'
import type { TestPds } from '../support/network/pds.js'
import { type Backfill, startTestService, type TestService } from '../support/service.js'
import { finished, SWEEP_EVERY_MS } from './support.js'

export interface RealWorld extends AsyncDisposable {
  readonly one: TestPds
  readonly two: TestPds
  readonly service: TestService
  readonly backfill: Backfill
  /** A whole job, from its beginning to its end. */
  run(wish: Parameters<Backfill['createJob']>[0]): Promise<JobView>
}

/** Two real PDSs, a real directory, and a service on them. */
export async function startRealWorld(overrides: Overrides = {}): Promise<RealWorld> {
  const network = await startNetwork({ pdsCount: 2 })
  const [one, two] = network.pdses as [TestPds, TestPds]
  const service = await startTestService({
    network,
    overrides: { sweepEveryMs: SWEEP_EVERY_MS, ...overrides },
  })
  const backfill = service.as(await createPlcCaller(network.plc))
  return {
    one,
    two,
    service,
    backfill,
    run: async (wish) => finished(backfill, (await backfill.createJob(wish)).data.id),
    async [Symbol.asyncDispose]() {
      await service[Symbol.asyncDispose]()
      await network[Symbol.asyncDispose]()
    },
  }
}

/** Records to put, each another. */
export const values = (count: number, from = 0) => Array.from({ length: count }, (_, n) => ({ n: n + from }))

/** What the PDSs of these accounts have of collections now, asked of them directly. */
export async function recordsOf(
  accounts: readonly Account[],
  ...collections: string[]
): Promise<StoredRecord[]> {
  const found: StoredRecord[] = []
  for (const account of accounts) {
    for (const collection of collections) {
      let cursor: string | undefined
      do {
        const { data } = await account.pds.agent.com.atproto.repo.listRecords({
          repo: account.did,
          collection,
          limit: 100,
          cursor,
        })
        found.push(...(data.records as StoredRecord[]))
        cursor = data.cursor
      } while (cursor)
    }
  }
  return found
}
