import * as jobs from '../jobs/read.js'
import { recordLine } from '../jobs/record-json.js'
import { type ApiContext, askerOf } from './context.js'
import { readRecordCursor, writeRecordCursor } from './cursor.js'
import type { Methods } from './index.js'

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
      const end = last ? `],"cursor":${JSON.stringify(writeRecordCursor(last))}}` : ']}'
      // As bytes: values are text from strangers, and as objects the server would rebuild them on their way out,
      // losing a key such as __proto__ and failing on what nests deeply or looks like a CID.
      const body = `{"records":[${rows.map(recordLine).join(',')}${end}`
      return { encoding: 'application/json', buffer: Buffer.from(body) }
    },
  })
}
