import * as jobs from '../jobs/read.js'
import { type ApiContext, askerOf } from './context.js'
import { readRecordCursor, writeRecordCursor } from './cursor.js'
import type { Methods } from './index.js'
import { recordView } from './view.js'

export function listRecords(methods: Methods, ctx: ApiContext): void {
  methods.listRecords({
    auth: ctx.auth('read'),
    handler: async ({ params, auth }) => {
      const { job, collection, repo, limit, cursor } = params
      const { rows, more } = await jobs.listRecords(ctx, askerOf(auth.credentials), {
        job,
        collection: collection ?? null,
        repo: repo ?? null,
        after: readRecordCursor(cursor),
        limit,
      })
      const last = more ? rows.at(-1) : undefined
      return {
        encoding: 'application/json',
        body: { records: rows.map(recordView), ...(last && { cursor: writeRecordCursor(last) }) },
      }
    },
  })
}
