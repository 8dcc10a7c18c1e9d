import * as jobs from '../jobs/control.js'
import { type ApiContext, askerOf } from './context.js'
import type { Methods } from './index.js'
import { jobView } from './view.js'

export function cancelJob(methods: Methods, ctx: ApiContext): void {
  methods.cancelJob({
    auth: ctx.auth('create'),
    handler: async ({ input, auth }) => {
      const job = await jobs.cancelJob(ctx, askerOf(auth.credentials), input.body.job)
      return { encoding: 'application/json', body: jobView(job) }
    },
  })
}
