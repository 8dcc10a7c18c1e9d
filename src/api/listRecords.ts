import type {
  QueryParams,
  RepoComplete,
  RepoRestarted,
  RepoUnavailable,
} from '../../codegen/server/types/network/example/backfill/listRecords.js'
import type { Asker } from '../jobs/context.js'
import * as jobs from '../jobs/read.js'
import { listChanges } from '../jobs/record-changes.js'
import { recordLine, recordUri } from '../jobs/record-json.js'
import type { ClosedRepo } from '../store/record-changes.js'
import { type ApiContext, askerOf } from './context.js'
import { readChangeCursor, readRecordCursor, writeChangeCursor, writeRecordCursor } from './cursor.js'
import type { Methods } from './index.js'
import { deletedRecordView, receiptView } from './view.js'

export function listRecords(methods: Methods, ctx: ApiContext): void {
  methods.listRecords({
    auth: ctx.auth('read'),
    handler: async ({ params, auth }) => {
      const page = params.changes ? pageOfChanges : pageOfRecords
      const fields = await page(ctx, askerOf(auth.credentials), params)
      // As bytes: values are text from strangers, and as objects the server would rebuild them on their way out,
      // losing a key such as __proto__ and failing on what nests deeply or looks like a CID.
      const body = Object.entries(fields).map(([name, json]) => `"${name}":${json}`)
      return { encoding: 'application/json', buffer: Buffer.from(`{${body}}`) }
    },
  })
}

/** The fields of an answer, as JSON. */
type Fields = Readonly<Record<string, string>>

async function pageOfRecords(ctx: ApiContext, asker: Asker, params: QueryParams): Promise<Fields> {
  const { job, collection, repo, limit, cursor } = params
  const { rows, more } = await jobs.listRecords(ctx, asker, {
    job,
    collection: collection ?? null,
    repo: repo ?? null,
    after: readRecordCursor(cursor),
    limit,
  })
  const last = more ? rows.at(-1) : undefined
  return {
    records: `[${rows.map(recordLine)}]`,
    ...(last && { cursor: JSON.stringify(writeRecordCursor(last)) }),
  }
}

async function pageOfChanges(ctx: ApiContext, asker: Asker, params: QueryParams): Promise<Fields> {
  const { job, collection, repo, limit, cursor } = params
  const { records, restarted, closed, next } = await listChanges(ctx, asker, {
    job,
    collection: collection ?? null,
    repo: repo ?? null,
    from: readChangeCursor(cursor),
    limit,
  })
  const lines: string[] = []
  const deleted: object[] = []
  for (const { cid, ...record } of records) {
    if (cid !== null) lines.push(recordLine({ ...record, cid }))
    else deleted.push(deletedRecordView({ uri: recordUri(record), rev: record.rev }))
  }
  const repos = closed.map(closingView)
  if (restarted !== null) repos.unshift(view<RepoRestarted>('repoRestarted', { did: restarted }))
  return {
    records: `[${lines}]`,
    deleted: JSON.stringify(deleted),
    repos: JSON.stringify(repos),
    ...(next && { cursor: JSON.stringify(writeChangeCursor(next)) }),
  }
}

function closingView({ did, outcome }: ClosedRepo): object {
  if (outcome.status === 'unavailable') {
    return view<RepoUnavailable>('repoUnavailable', { did, reason: outcome.reason })
  }
  const { since } = outcome
  return view<RepoComplete>('repoComplete', {
    ...(since && { since }),
    receipt: receiptView(outcome.receipt)!,
  })
}

function view<T extends object>(name: string, fields: Omit<T, '$type'>): object {
  return { $type: `network.example.backfill.listRecords#${name}`, ...fields }
}
