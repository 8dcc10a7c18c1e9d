import { fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Benchmark } from './main.js'
import { programPath } from './support/program.js'
import { makeSignedRepo, type SignedRepo } from './support/signed-repo.js'
import type { Verified, VerifyWish } from './support/verify-process.js'

const PROGRAM = programPath(import.meta.url, './support/verify-process')

const RECORDS = 100_000
const RECORDS_SHORT = 20_000
const ROUNDS = 3

/**
 * A signed repo from its CAR to the JSON of every record, with all that is checked on the way, against
 * `verifyRepoCar` of `@atproto/repo`, which checks less. Each runs in a process of its own that does nothing else.
 */
export const verify: Benchmark = {
  about: 'a signed repo of 100,000 records, checked and read, against @atproto/repo; --short: 20,000',
  async run(_store, say, _url, short) {
    const directory = await mkdtemp(join(tmpdir(), 'aquifer-verify-'))
    try {
      const repo = await makeSignedRepo(join(directory, 'repo.car'), short ? RECORDS_SHORT : RECORDS, 1)
      say(`a CAR of ${Math.round(repo.bytes / 2 ** 20)} MiB`)
      const rounds: { ours: Verified; reference: Verified }[] = []
      for (let round = 0; round < ROUNDS; round += 1) {
        const [ours, reference] = [await measure('ours', repo), await measure('reference', repo)]
        say(`ours ${words(ours)}; @atproto/repo ${words(reference)}`)
        if (ours.records !== reference.records || ours.jsonLength !== reference.jsonLength) {
          throw new Error('the two did not read the same')
        }
        rounds.push({ ours, reference })
      }
      return {
        vsAtproto: round(median(rounds.map(({ ours, reference }) => reference.seconds / ours.seconds))),
        memoryShare: round(median(rounds.map(({ ours, reference }) => ours.grownMb / reference.grownMb))),
      }
    } finally {
      await rm(directory, { recursive: true, force: true })
    }
  },
}

async function measure(way: VerifyWish['way'], repo: SignedRepo): Promise<Verified> {
  const child = fork(PROGRAM)
  const gone = once(child, 'exit').then(([code]) => {
    throw new Error(`the process ended with ${code}`)
  })
  gone.catch(() => {})
  child.send({ way, repo } satisfies VerifyWish)
  const [verified] = await Promise.race([once(child, 'message'), gone])
  return verified as Verified
}

function words({ seconds, grownMb, records }: Verified): string {
  return `${seconds.toFixed(2)} s, ${Math.round(records / seconds)} records/s, ${Math.round(grownMb)} MB`
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1]!
}

function round(value: number): number {
  return Math.round(value * 100) / 100
}
