import { setTimeout as sleep } from 'node:timers/promises'
import type { Run } from './run.js'

/** How long a host's former driver is watched, ms. */
const WATCHED_MS = 150

/** What a host's driver alone may change, and the claim under which it was changed last. */
const LOOK = `
select host.id, host.epoch, coalesce(sum(r.records), 0) as records, count(r.did) as repos
from host left join job_repo r
  on r.host = host.id and r.status in ('fetching', 'completed', 'unavailable', 'failed')
where host.origin = $1 group by host.id`

interface Look {
  readonly id: number
  readonly epoch: number
  readonly records: number
  readonly repos: number
}

/** Takes a host over, as a driver does that takes the present one for dead, and watches whether that one writes on. */
export async function challenge({ simulation, store, differences }: Run, host: number): Promise<void> {
  const origin = simulation.addresses.pds(host)
  const { rows } = await store.pool.query<{ epoch: number }>(
    'update host set epoch = epoch + 1 where origin = $1 returning epoch',
    [origin],
  )
  if (!rows[0]) return
  const look = async () => (await store.pool.query<Look>(LOOK, [origin])).rows[0]!
  const before = await look()
  await sleep(WATCHED_MS)
  const after = await look()
  // Whoever has claimed it since may write.
  if (before.epoch !== rows[0].epoch || after.epoch !== before.epoch) return
  if (after.records === before.records && after.repos === before.repos) return
  differences.push(`${origin}: a driver that has lost it wrote on: ${JSON.stringify([before, after])}`)
}
