import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Failure } from '../../../src/atproto/outcome.js'
import type { Blocks } from '../../../src/atproto/repo/blocks.js'
import { readCar } from '../../../src/atproto/repo/car.js'
import { type Commit, checkCommit, type ExpectedCommit } from '../../../src/atproto/repo/commit.js'
import { jsonOfCbor } from '../../../src/atproto/repo/data.js'
import type { KeyRange } from '../../../src/atproto/repo/keys.js'
import { Spool } from '../../../src/atproto/repo/spool.js'
import { walk } from '../../../src/atproto/repo/walk.js'
import type { FailureClass } from '../../../src/verdict.js'

/** Reads repos in both ways there are: by a spool as they come, and in memory. */

export const SPOOL_DIRECTORY = join(tmpdir(), `aquifer-test-spool-${process.pid}`)

const MiB = 1024 * 1024

export interface ReadRecord {
  readonly cid: string
  /** Null for what is not atproto data. */
  readonly json: string | null
}

/** By key, in the order in which they came. */
export type ReadRecords = ReadonlyMap<string, ReadRecord>

export interface ReadRepo {
  readonly commit: Commit
  readonly records: ReadRecords
}

/** @param chunkBytes how long the pieces are in which the CAR comes */
export async function openSpool(car: Buffer, chunkBytes = car.length) {
  const spool = await Spool.open({ directory: SPOOL_DIRECTORY, maxBytes: 64 * MiB })
  try {
    for (let at = 0; at < car.length; at += chunkBytes) await spool.write(car.subarray(at, at + chunkBytes))
    return { spool, roots: await spool.finish() }
  } catch (error) {
    await spool[Symbol.asyncDispose]()
    throw error
  }
}

export async function readBySpool(
  car: Buffer,
  expected: ExpectedCommit,
  chunkBytes?: number,
): Promise<ReadRepo> {
  const { spool, roots } = await openSpool(car, chunkBytes)
  await using blocks = spool
  return await readFrom(blocks, roots, expected)
}

export async function readInMemory(car: Buffer, expected: ExpectedCommit): Promise<ReadRepo> {
  const { blocks, roots } = readCar(car)
  return readFrom(blocks, roots, expected)
}

async function readFrom(
  blocks: Blocks,
  roots: readonly string[],
  expected: ExpectedCommit,
): Promise<ReadRepo> {
  const [root] = roots
  if (root === undefined) throw new Failure('bad-response', 'the CAR has no root')
  const commit = await checkCommit(blocks.read(root), root, expected)
  return { commit, records: recordsOf(blocks, commit.data) }
}

export function recordsOf(blocks: Blocks, root: string, ranges?: readonly KeyRange[]): ReadRecords {
  const records = new Map<string, ReadRecord>()
  for (const { key, collection, rkey, cid } of walk(blocks, root, ranges)) {
    if (key !== `${collection}/${rkey}`) throw new Error(`${collection} and ${rkey} are not ${key}`)
    if (records.has(key)) throw new Error(`${key} came twice`)
    records.set(key, { cid, json: jsonOfCbor(blocks.read(cid)) })
  }
  return records
}

/** The class of the failure that the reading ends in. */
export async function failureOf(reading: () => unknown): Promise<FailureClass> {
  try {
    await reading()
  } catch (error) {
    if (!(error instanceof Failure)) throw error
    if (error.message.length > 600) throw new Error(`a message of ${error.message.length} characters`)
    return error.failure
  }
  throw new Error('there was no failure')
}
