import * as jobs from '../jobs/control.js'
import { type ApiContext, askerOf } from './context.js'
import type { Methods } from './index.js'

export function deleteJobDetails(methods: Methods, ctx: ApiContext): void {
  methods.deleteJobDetails({
    auth: ctx.auth('create'),
    handler: async ({ input, auth }) => {
      const { repos } = await jobs.deleteJobDetails(ctx, askerOf(auth.credentials), input.body.job)
      return { encoding: 'application/json', body: { deletedRepos: repos } }
    },
  })
}
