import * as jobs from '../jobs/read.js'
import { type ApiContext, askerOf } from './context.js'
import { readJobCursor } from './cursor.js'
import type { Methods } from './index.js'
import { jobView } from './view.js'

export function listJobs(methods: Methods, ctx: ApiContext): void {
  methods.listJobs({
    auth: ctx.auth('read'),
    handler: async ({ params, auth }) => {
      const { caller, status, limit, cursor } = params
      const query = {
        ...(caller !== undefined && { caller }),
        ...(status !== undefined && { status }),
        before: readJobCursor(cursor),
        limit,
      }
      const { rows, more } = await jobs.listJobs(ctx, askerOf(auth.credentials), query)
      const last = more ? rows.at(-1) : undefined
      return {
        encoding: 'application/json',
        body: { jobs: rows.map(jobView), ...(last && { cursor: last.id }) },
      }
    },
  })
}
