import * as jobs from '../jobs/callers.js'
import { callerView } from './caller-view.js'
import { type ApiContext, askerOf } from './context.js'
import type { Methods } from './index.js'

export function putCaller(methods: Methods, ctx: ApiContext): void {
  methods.putCaller({
    auth: ctx.auth('admin'),
    handler: async ({ input, auth }) => {
      const caller = await jobs.putCaller(ctx, askerOf(auth.credentials), input.body)
      return { encoding: 'application/json', body: callerView(caller) }
    },
  })
}
