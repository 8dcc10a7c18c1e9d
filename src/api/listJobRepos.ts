import { normalizeHost } from '../atproto/host.js'
import { RequestError } from '../errors.js'
import * as jobs from '../jobs/read.js'
import { type ApiContext, askerOf } from './context.js'
import { readDidCursor } from './cursor.js'
import type { Methods } from './index.js'
import { repoView } from './view.js'

export function listJobRepos(methods: Methods, ctx: ApiContext): void {
  methods.listJobRepos({
    auth: ctx.auth('read'),
    handler: async ({ params, auth }) => {
      const { job, phase, status, pdsEndpoint, limit, cursor } = params
      const { rows, more } = await jobs.listJobRepos(ctx, askerOf(auth.credentials), {
        job,
        phase,
        ...(status !== undefined && { status }),
        origin: pdsEndpoint === undefined ? null : readOrigin(ctx, pdsEndpoint),
        after: readDidCursor(cursor),
        limit,
      })
      const last = more ? rows.at(-1) : undefined
      return {
        encoding: 'application/json',
        body: { repos: rows.map(repoView), ...(last && { cursor: last.did }) },
      }
    },
  })
}

/** An endpoint in the spelling hosts are kept under, so that any spelling finds them. */
function readOrigin(ctx: ApiContext, endpoint: string): string {
  const origin = normalizeHost(endpoint, ctx.config.network)
  if (origin === null)
    throw new RequestError('InvalidRequest', 'pdsEndpoint is not an origin such as https://pds.example.com')
  return origin
}
