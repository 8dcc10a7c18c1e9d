import { setTimeout as sleep } from 'node:timers/promises'
import type { StandInPds } from '../support/network/stand-in-pds.js'
import { eventually } from '../support/wait.js'
import type { StandIns } from './support.js'

const LIST = 'com.atproto.repo.listRecords'

/** Records of the repos, in turn: around the size of a page, and more. */
const SIZES = [0, 1, 99, 100, 101, 250]

/** Records of one repo that takes as long as all the others together. */
const LONG = 3_000

/** Hosts that take their time, so that whatever happens to an engine happens in the middle of the work. */
export async function slowWorld(
  standIns: StandIns,
  collection: string,
  { repos, pauseMs, hosts: count = 2 }: { repos: number; pauseMs: number; hosts?: number },
) {
  const hosts: StandInPds[] = []
  let long = ''
  for (let made = 0; made < count; made++) {
    const host = await standIns.pds()
    if (made === 0) [long] = standIns.populate(host, 1, LONG, collection) as [string]
    standIns.populate(host, repos, (index) => sizeOf(index), collection)
    host.faults.plan({ kind: 'after', what: () => sleep(pauseMs) }, { method: LIST })
    hosts.push(host)
  }
  const asked = () => hosts.reduce((sum, host) => sum + host.count({ method: LIST }), 0)
  const pages = Array.from({ length: repos }, (_, index) => pagesOf(sizeOf(index)))
  return {
    hosts,
    /** Repos in all. */
    total: count * repos + 1,
    /** How often more than needed the one long repo was asked for a page. */
    askedAgain: () => hosts[0]!.count({ method: LIST, did: long }) - pagesOf(LONG),
    records: () => hosts.flatMap((host) => [...host.world.values()]),
    /** Requests for pages that it takes at least, and how many there were. */
    needed: count * pages.reduce((sum, each) => sum + each, 0) + pagesOf(LONG),
    asked,
    /**
     * From so many requests on, whatever is asked for waits until it is let go. What is done to an engine meanwhile
     * cannot come too late, however slow it is to learn of it.
     */
    holdFrom(count: number) {
      const gate = Promise.withResolvers<void>()
      const held = { kind: 'after', what: () => gate.promise } as const
      const plans = hosts.map(({ faults }) =>
        faults.planFirst(held, ({ method }) => method === LIST && asked() >= count),
      )
      return {
        isHeld: () =>
          eventually(
            () => plans.some(({ fired }) => fired > 0),
            (is) => is,
            40_000,
          ),
        release: () => {
          for (const plan of plans) plan.cancel()
          gate.resolve()
        },
      }
    },
    /** The same for the relay: a full page has a cursor even if nothing follows. */
    relayPages: (pageSize: number) => Math.floor((count * repos + 1) / pageSize) + 1,
  }
}

const sizeOf = (index: number) => SIZES[index % SIZES.length]!

/** A listing that is not empty ends with a page that is. */
const pagesOf = (records: number) => (records === 0 ? 1 : Math.ceil(records / 100) + 1)
