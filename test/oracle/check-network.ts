import { FAILURES_MAX } from '../../src/engine/standing.js'
import { FAULT_KINDS } from '../support/simulation/fault-kinds.js'
import type { HostStats } from '../support/simulation/stats.js'
import { PARK_MS } from './crew.js'
import type { Plan } from './plan.js'
import type { Outage, Run } from './run.js'

/** Requests in flight to a host, as the service has them by default. */
const IN_FLIGHT_MAX = 4

/** What a host's driver asks at most until it writes: only then it learns of a pause that the one before it was told. */
const ASKED_UNTIL_WRITTEN = 64

/** What the network has seen of the service. */
export function checkNetwork({ plan, simulation, moments, outages }: Run): string[] {
  const { stats } = simulation
  // How late this process is with anything is known, and taken into account; that of another one is not.
  const isLate = plan.crew.kind === 'processes'
  const rivalsOf = (index: number) =>
    plan.actions.filter(({ deed }) => deed.kind === 'rival' && deed.host === index).length
  const lateOf = (index: number, host: HostStats) =>
    lateness(host, isLate) + rivalsOf(index) * ASKED_UNTIL_WRITTEN
  const hosts = stats.hosts.map((host, index) => [`host ${index}`, host, lateOf(index, host)] as const)
  const moved = [...stats.moved].map(
    ([index, host]) => [`host ${index}, moved`, host, lateOf(index, host)] as const,
  )
  const relays = stats.relays.map((relay, index): [string, HostStats] => [`relay ${index}`, relay])
  return [
    ...(stats.forbidden > 0 ? [`${stats.forbidden} connections to where nobody may go`] : []),
    ...[...hosts, ...moved].flatMap(([name, host, late]) => checkHost(name, host, late)),
    ...[...relays, ['the directory', stats.directory] as const].flatMap(([name, host]) =>
      checkPauses(name, host, lateness(host, isLate)),
    ),
    ...moments
      .silent()
      .map(([{ did }, { kind, lasts }]) => `a fault that never showed: ${kind} (${lasts}) of ${did}`),
    ...simulation.faults.silent
      .filter((kind) => FAULT_KINDS[kind].where === 'relay')
      .map((kind) => `a page that was never spoiled: ${kind}`),
    ...outages.flatMap((outage) => checkOutage(outage, plan, stats.hosts[outage.host]!)),
  ]
}

function checkHost(name: string, host: HostStats, late: number): string[] {
  const { limit, mostInWindow, mostInFlight } = host
  // Nobody can keep a limit that is not said, or said wrongly.
  const isSaid = limit?.announces === 'honest' || limit?.announces === 'early'
  return [
    ...checkPauses(name, host, late),
    ...(isSaid && host.exceeded
      ? [`${name} has seen ${mostInWindow} requests where it allows ${limit.points}`]
      : []),
    ...(mostInFlight > IN_FLIGHT_MAX ? [`${name} has seen ${mostInFlight} requests at once`] : []),
  ]
}

/** Those that were under way with the one that was refused may be seen late. */
function lateness({ refused }: HostStats, isLate: boolean): number {
  return isLate ? refused * (IN_FLIGHT_MAX - 1) : 0
}

/** @param late how many requests in a pause are no fault */
function checkPauses(name: string, { tooEarly }: HostStats, late: number): string[] {
  return tooEarly > late ? [`${name} was asked ${tooEarly} times while it wanted to be left alone`] : []
}

/** Nobody but a probe now and then asks a host that has not answered for some time. */
function checkOutage({ host, lastedMs }: Outage, { actions }: Plan, { unanswered }: HostStats): string[] {
  // Whoever takes a host over in between does not know of every failure.
  const drivers = 1 + actions.filter(({ deed }) => deed.kind === 'restart').length
  const probes = Math.ceil(Math.log2(lastedMs / PARK_MS + 1)) + 1
  const most = drivers * (FAILURES_MAX + IN_FLIGHT_MAX) + probes
  return unanswered > most
    ? [
        `host ${host} has seen ${unanswered} requests in ${lastedMs} ms in which it answered none, not ${most}`,
      ]
    : []
}
