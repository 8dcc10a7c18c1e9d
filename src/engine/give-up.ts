import { giveUpHost, hostsToGiveUp } from '../store/give-up.js'
import type { EngineContext } from './context.js'

const HOUR_MS = 3_600_000

/** When a host must have given its last good answer not to be given up, by the database's clock, and why it is. */
export function giveUpTerm(ctx: Pick<EngineContext, 'config' | 'clock' | 'now'>): {
  since: Date
  why: string
} {
  const { hostGiveUpHours: hours } = ctx.config.network
  return {
    since: ctx.clock.toDatabase(ctx.now() - hours * HOUR_MS),
    why: `no good answer for ${hours} ${hours === 1 ? 'hour' : 'hours'}`,
  }
}

/** Why somebody is given up who has given no good answer since a moment of the database's clock; null while not. */
export function whyGivenUp(ctx: Parameters<typeof giveUpTerm>[0], unansweredSince: Date): string | null {
  const { since, why } = giveUpTerm(ctx)
  return unansweredSince <= since ? why : null
}

/**
 * Fails the repos of hosts that have given no good answer for long, in every job that runs, so that jobs end.
 * Repos that come to such a host later are tried: it is probed for them.
 */
export async function giveUpHosts(ctx: EngineContext): Promise<void> {
  const { since, why } = giveUpTerm(ctx)
  const now = ctx.clock.now()
  for (const host of await hostsToGiveUp(ctx.db, since, now)) {
    const given = await giveUpHost(ctx.db, host, { since, now, message: `the host has given ${why}` })
    for (const { job, repos } of given) {
      ctx.tell('host.given-up', { host, job, repos })
      ctx.metrics.gaveUp(repos)
    }
    ctx.notices.tell(given.map(({ job }) => job))
  }
}
