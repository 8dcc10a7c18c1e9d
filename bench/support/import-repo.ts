import { toBytes, toCidLink } from '@atcute/cbor'
import { TID } from '@atproto/common-web'
import { type Account, putRecord } from '../../test/support/network/accounts.js'
import { carOf } from '../../test/support/simulation/car.js'
import { type Block, blockOf, buildTree, nodesOf } from '../../test/support/simulation/tree.js'

/** When the first record was made, in microseconds; each later one a second after. */
const FIRST_MADE_AT = Date.UTC(2024, 0, 1) * 1_000
const SECOND = 1_000_000

/**
 * Gives an account so many records of each collection at once, in place of what it had, and one more:
 * `LAST_COLLECTION/self`, with which the PDS signs it all.
 */
export async function importRepo(account: Account, counts: Readonly<Record<string, number>>): Promise<void> {
  const records: Block[] = []
  const leaves = Object.entries(counts).flatMap(([collection, count]) =>
    Array.from({ length: count }, (_, n) => {
      const record = blockOf({
        $type: collection,
        text: `${collection} number ${n}: ${'word '.repeat(n % 40)}`,
      })
      records.push(record)
      const rkey = TID.fromTime(FIRST_MADE_AT + n * SECOND, 7).toString()
      return { key: `${collection}/${rkey}`, cid: record.cid }
    }),
  )
  const tree = buildTree(leaves.sort((one, other) => (one.key < other.key ? -1 : 1)))
  const head = blockOf({
    did: account.did,
    version: 3,
    data: toCidLink(tree.cid),
    rev: TID.fromTime(FIRST_MADE_AT, 7).toString(),
    prev: null,
    // An import is not asked for one; the next commit is signed.
    sig: toBytes(new Uint8Array(64)),
  })
  const car = carOf(head.cid, [head, ...nodesOf(tree), ...records])
  await account.agent.com.atproto.repo.importRepo(car, { encoding: 'application/vnd.ipld.car' })
  await putRecord(account, LAST_COLLECTION, 'self', { text: 'the only one' })
}

export const LAST_COLLECTION = 'com.example.profile'
