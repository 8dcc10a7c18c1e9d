import type { DidDocument } from '@atproto/identity'
import { cidOfJson } from '../../src/atproto/content.js'
import type { Pool } from '../../src/store/database.js'

/**
 * The backfill that anybody would write first: take a repo, fetch its pages, check each record, insert it, note
 * how far the repo is. It makes the same checks as the engine does, and like the engine it can be stopped and
 * started at any time.
 */

interface Page {
  readonly records: readonly { readonly uri: string; readonly cid: string; readonly value: object }[]
  readonly cursor?: string
}

interface Task {
  readonly pool: Pool
  readonly job: number
  readonly collection: string
  readonly collectionId: number
}

interface Repo {
  readonly did: string
  readonly repo: number
  /** JSON text. */
  readonly document: string
}

/** Fetches every waiting repo of a job. @param sideBySide how many repos at the same time */
export async function backfillNaively(task: Task, sideBySide: number): Promise<void> {
  const worker = async () => {
    for (let repo = await take(task); repo; repo = await take(task)) await backfillRepo(task, repo)
  }
  await Promise.all(Array.from({ length: sideBySide }, worker))
}

async function take({ pool, job }: Task): Promise<Repo | undefined> {
  const { rows } = await pool.query<Repo>(
    `update job_repo r set status = 'fetching', changed_at = now()
     from identity i
     where i.did = r.did and r.job = $1 and r.did = (
       select next.did from job_repo next
       where next.job = $1 and next.status = 'waiting' and next.retry_at is null
       order by next.id limit 1 for update skip locked
     )
     returning r.did, r.repo, i.document`,
    [job],
  )
  return rows[0]
}

async function backfillRepo({ pool, job, collection, collectionId }: Task, repo: Repo): Promise<void> {
  const { did } = repo
  const endpoint = String((JSON.parse(repo.document) as DidDocument).service![0]!.serviceEndpoint)
  const prefix = `at://${did}/${collection}/`
  let lastRkey = ''
  let records = 0
  let cursor: string | undefined
  do {
    const page = await fetchPage(endpoint, did, collection, cursor)
    for (const { uri, cid, value } of page.records) {
      const rkey = uri.slice(prefix.length)
      if (!uri.startsWith(prefix) || rkey <= lastRkey) throw new Error(`${uri} is not in its place`)
      if (cidOfJson(value) !== cid) throw new Error(`${uri} does not have the CID ${cid}`)
      await pool.query(
        `insert into record (repo, collection, level, rkey, cid, value) values ($1, $2, 'content', $3, $4, $5)
         on conflict (repo, collection, rkey) do update set cid = excluded.cid, value = excluded.value
         where record.cid is distinct from excluded.cid`,
        [repo.repo, collectionId, rkey, cid, JSON.stringify(value)],
      )
      lastRkey = rkey
    }
    records += page.records.length
    cursor = page.cursor
    await pool.query(
      `update job_repo set status = $3, progress = $4, records = $5, changed_at = now()
       where job = $1 and did = $2`,
      [job, did, cursor ? 'fetching' : 'completed', cursor ? JSON.stringify({ cursor }) : null, records],
    )
  } while (cursor)
}

async function fetchPage(
  endpoint: string,
  did: string,
  collection: string,
  cursor: string | undefined,
): Promise<Page> {
  const url = new URL('/xrpc/com.atproto.repo.listRecords', endpoint)
  url.search = String(new URLSearchParams({ repo: did, collection, limit: '100', ...(cursor && { cursor }) }))
  const response = await fetch(url)
  if (!response.ok) throw new Error(`${url} answered ${response.status}`)
  return (await response.json()) as Page
}
