import * as jobs from '../jobs/control.js'
import { type ApiContext, askerOf } from './context.js'
import type { Methods } from './index.js'
import { jobView } from './view.js'

export function pauseJob(methods: Methods, ctx: ApiContext): void {
  methods.pauseJob({
    auth: ctx.auth('create'),
    handler: async ({ input, auth }) => {
      const job = await jobs.pauseJob(ctx, askerOf(auth.credentials), input.body.job)
      return { encoding: 'application/json', body: jobView(job) }
    },
  })
}
