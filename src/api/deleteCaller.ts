import * as jobs from '../jobs/callers.js'
import { type ApiContext, askerOf } from './context.js'
import type { Methods } from './index.js'

export function deleteCaller(methods: Methods, ctx: ApiContext): void {
  methods.deleteCaller({
    auth: ctx.auth('admin'),
    handler: async ({ input, auth }) => {
      await jobs.deleteCaller(ctx, askerOf(auth.credentials), input.body.did)
      return { encoding: 'application/json', body: {} }
    },
  })
}
