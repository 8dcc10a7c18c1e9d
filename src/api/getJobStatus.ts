import { getJob } from '../jobs/read.js'
import { type ApiContext, askerOf } from './context.js'
import type { Methods } from './index.js'
import { jobView } from './view.js'

export function getJobStatus(methods: Methods, ctx: ApiContext): void {
  methods.getJobStatus({
    auth: ctx.auth('read'),
    handler: async ({ params, auth }) => {
      const job = await getJob(ctx, askerOf(auth.credentials), params.job)
      return { encoding: 'application/json', body: jobView(job) }
    },
  })
}
