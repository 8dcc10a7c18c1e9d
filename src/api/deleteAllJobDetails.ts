import * as jobs from '../jobs/control.js'
import { type ApiContext, askerOf } from './context.js'
import type { Methods } from './index.js'

export function deleteAllJobDetails(methods: Methods, ctx: ApiContext): void {
  methods.deleteAllJobDetails({
    auth: ctx.auth('create'),
    handler: async ({ auth }) => {
      const deleted = await jobs.deleteAllJobDetails(ctx, askerOf(auth.credentials))
      return { encoding: 'application/json', body: { jobs: deleted.jobs, deletedRepos: deleted.repos } }
    },
  })
}
