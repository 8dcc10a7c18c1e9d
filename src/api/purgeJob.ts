import * as jobs from '../jobs/purge.js'
import { type ApiContext, askerOf } from './context.js'
import type { Methods } from './index.js'
import { jobView } from './view.js'

export function purgeJob(methods: Methods, ctx: ApiContext): void {
  methods.purgeJob({
    auth: ctx.auth('create'),
    handler: async ({ input, auth }) => {
      const job = await jobs.purgeJob(ctx, askerOf(auth.credentials), input.body.job)
      return { encoding: 'application/json', body: jobView(job) }
    },
  })
}
