import { giveUpHost, hostsToGiveUp } from '../store/give-up.js'
import type { EngineContext } from './context.js'

const HOUR_MS = 3_600_000

/**
 * Fails the repos of hosts that have given no good answer for long, in every job that runs, so that jobs end.
 * Repos that come to such a host later are tried: it is probed for them.
 */
export async function giveUpHosts(ctx: EngineContext): Promise<void> {
  const { hostGiveUpHours: hours } = ctx.config.network
  const since = ctx.clock.toDatabase(ctx.now() - hours * HOUR_MS)
  const now = ctx.clock.now()
  for (const host of await hostsToGiveUp(ctx.db, since, now)) {
    const message = `the host has given no good answer for ${hours} ${hours === 1 ? 'hour' : 'hours'}`
    const given = await giveUpHost(ctx.db, host, { since, now, message })
    for (const { job, repos } of given) ctx.tell('host.given-up', { host, job, repos })
    ctx.notices.tell(given.map(({ job }) => job))
  }
}
