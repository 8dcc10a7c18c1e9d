import * as jobs from '../jobs/create.js'
import { type ApiContext, askerOf } from './context.js'
import type { Methods } from './index.js'
import { jobView } from './view.js'

export function createJob(methods: Methods, ctx: ApiContext): void {
  methods.createJob({
    auth: ctx.auth('create'),
    handler: async ({ input, auth }) => {
      const job = await jobs.createJob(ctx, askerOf(auth.credentials), input.body)
      return { encoding: 'application/json', body: jobView(job) }
    },
  })
}
