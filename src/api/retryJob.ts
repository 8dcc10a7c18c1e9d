import * as jobs from '../jobs/control.js'
import { type ApiContext, askerOf } from './context.js'
import type { Methods } from './index.js'
import { jobView } from './view.js'

export function retryJob(methods: Methods, ctx: ApiContext): void {
  methods.retryJob({
    auth: ctx.auth('create'),
    handler: async ({ input, auth }) => {
      const job = await jobs.retryJob(ctx, askerOf(auth.credentials), input.body)
      return { encoding: 'application/json', body: jobView(job) }
    },
  })
}
