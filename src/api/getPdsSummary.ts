import type { HostView } from '../../codegen/server/types/network/example/backfill/defs.js'
import { summarizeHosts } from '../jobs/hosts.js'
import type { HostSummary, RepoCounts } from '../store/host-summary.js'
import { type ApiContext, askerOf } from './context.js'
import type { Methods } from './index.js'

export function getPdsSummary(methods: Methods, ctx: ApiContext): void {
  methods.getPdsSummary({
    auth: ctx.auth('read'),
    handler: async ({ params, auth }) => {
      const { hosts, others } = await summarizeHosts(ctx, askerOf(auth.credentials), params.job)
      return {
        encoding: 'application/json',
        body: {
          pdsEndpoints: hosts.map((host) => hostView(host, ctx.now())),
          ...(others && { others: { hosts: others.hosts, ...counts(others) } }),
        },
      }
    },
  })
}

/** A pause this short is the pace at which a host is asked anyway, ms. */
const COOLING_MS_MIN = 2_000

function hostView(host: HostSummary, now: number): HostView {
  const cooling = host.nextRequestAt.getTime() - now > COOLING_MS_MIN
  const state = host.parked ? 'parked' : cooling ? 'cooling' : 'ok'
  // The probe of a parked host may be due already.
  const resumesAt = new Date(Math.max(host.nextRequestAt.getTime(), now))
  return {
    pdsEndpoint: host.origin,
    ...counts(host),
    state,
    ...(state !== 'ok' && { resumesAt: resumesAt.toISOString() }),
  }
}

function counts({ total, completed, failed, unavailable, records }: RepoCounts) {
  return {
    totalRepos: total,
    completedRepos: completed,
    failedRepos: failed,
    unavailableRepos: unavailable,
    totalRecords: records,
  }
}
