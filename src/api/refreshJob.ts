import * as jobs from '../jobs/refresh.js'
import { type ApiContext, askerOf } from './context.js'
import type { Methods } from './index.js'
import { jobView } from './view.js'

export function refreshJob(methods: Methods, ctx: ApiContext): void {
  methods.refreshJob({
    auth: ctx.auth('create'),
    handler: async ({ input, auth }) => {
      const job = await jobs.refreshJob(ctx, askerOf(auth.credentials), input.body)
      return { encoding: 'application/json', body: jobView(job) }
    },
  })
}
