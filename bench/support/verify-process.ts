import { createReadStream, existsSync, readFileSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import type { SignedRepo } from './signed-repo.js'

/** A process of `verify`: reads a repo in one of two ways, each record as JSON, and tells its parent what that took. */

export interface VerifyWish {
  readonly way: 'ours' | 'reference'
  readonly repo: SignedRepo
}

export interface Verified {
  readonly seconds: number
  /** By how much the process grew at its largest. */
  readonly grownMb: number
  readonly records: number
  /** Of all records. */
  readonly jsonLength: number
}

const WAYS: Record<VerifyWish['way'], () => Promise<(repo: SignedRepo) => Promise<[number, number]>>> = {
  async ours() {
    const { checkCommit } = await import('../../src/atproto/repo/commit.js')
    const { jsonOfCbor } = await import('../../src/atproto/repo/data.js')
    const { Spool } = await import('../../src/atproto/repo/spool.js')
    const { walk } = await import('../../src/atproto/repo/walk.js')
    return async ({ did, signingKey, path, bytes }) => {
      await using spool = await Spool.open({ directory: dirname(path), maxBytes: bytes })
      for await (const chunk of createReadStream(path)) await spool.write(chunk)
      const [root] = await spool.finish()
      const expected = { did, signingKey, now: Date.now(), lastRev: null }
      const { data } = await checkCommit(spool.read(root!), root!, expected)
      let records = 0
      let jsonLength = 0
      for (const { cid } of walk(spool, data)) {
        records += 1
        jsonLength += jsonOfCbor(spool.read(cid))!.length
      }
      return [records, jsonLength]
    }
  },

  async reference() {
    const { lexToJson } = await import('@atproto/lex-json')
    const { getAndParseRecord, verifyRepoCar } = await import('@atproto/repo')
    return async ({ did, signingKey, path }) => {
      const { creates, commit } = await verifyRepoCar(await readFile(path), did, signingKey)
      let jsonLength = 0
      for (const { cid } of creates) {
        const { record } = await getAndParseRecord(commit.newBlocks, cid)
        jsonLength += JSON.stringify(lexToJson(record)).length
      }
      return [creates.length, jsonLength]
    }
  },
}

process.once('message', async ({ way, repo }: VerifyWish) => {
  const verify = await WAYS[way]()
  const before = process.memoryUsage.rss()
  const began = performance.now()
  const [records, jsonLength] = await verify(repo)
  const seconds = (performance.now() - began) / 1000
  const grownMb = (peakRss() - before) / 2 ** 20
  process.send!({ seconds, grownMb, records, jsonLength } satisfies Verified)
  process.disconnect()
})

/** In bytes. What Node tells on Linux counts the parent's memory at the fork too, so the system is asked. */
function peakRss(): number {
  const status = '/proc/self/status'
  const told = existsSync(status) ? /VmHWM:\s*(\d+) kB/.exec(readFileSync(status, 'utf8'))?.[1] : undefined
  return (told === undefined ? process.resourceUsage().maxRSS : Number(told)) * 1024
}
