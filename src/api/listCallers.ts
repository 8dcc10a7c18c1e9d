import * as jobs from '../jobs/callers.js'
import { callerView } from './caller-view.js'
import type { ApiContext } from './context.js'
import { readDidCursor } from './cursor.js'
import type { Methods } from './index.js'

export function listCallers(methods: Methods, ctx: ApiContext): void {
  methods.listCallers({
    auth: ctx.auth('admin'),
    handler: async ({ params }) => {
      const { limit, cursor } = params
      const { rows, more } = await jobs.listCallers(ctx, { after: readDidCursor(cursor), limit })
      const last = more ? rows.at(-1) : undefined
      return {
        encoding: 'application/json',
        body: { callers: rows.map(callerView), ...(last && { cursor: last.did }) },
      }
    },
  })
}
