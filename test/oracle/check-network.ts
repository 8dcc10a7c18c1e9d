import type { HostStats } from '../support/simulation/stats.js'
import type { Run } from './run.js'

/** Requests in flight to a host, as the service has them by default. */
const IN_FLIGHT_MAX = 4

/** Beyond this, a request that was sent in time may be seen after the refusal of another one, ns. */
const LATE_NS = 100_000_000

/** What the network has seen of the service. */
export function checkNetwork({ simulation, moments, lateness }: Run): string[] {
  const { stats } = simulation
  const isLate = lateness.max > LATE_NS
  const hosts = stats.hosts.map((host, index): [string, HostStats] => [`host ${index}`, host])
  const moved = [...stats.moved].map(([index, host]): [string, HostStats] => [`host ${index}, moved`, host])
  const relays = stats.relays.map((relay, index): [string, HostStats] => [`relay ${index}`, relay])
  return [
    ...(stats.forbidden > 0 ? [`${stats.forbidden} connections to where nobody may go`] : []),
    ...[...hosts, ...moved].flatMap(([name, host]) => checkHost(name, host, isLate)),
    ...[...relays, ['the directory', stats.directory] as const].flatMap(([name, host]) =>
      checkPauses(name, host, isLate),
    ),
    ...moments
      .silent()
      .map(([{ did }, { kind, lasts }]) => `a fault that never showed: ${kind} (${lasts}) of ${did}`),
    ...silentPages(simulation.faults),
  ]
}

function checkHost(name: string, host: HostStats, isLate: boolean): string[] {
  const { limit, mostInWindow, mostInFlight } = host
  // Nobody can keep a limit that is not said, or said wrongly.
  const isSaid = limit?.announces === 'honest' || limit?.announces === 'early'
  return [
    ...checkPauses(name, host, isLate),
    ...(isSaid && host.exceeded
      ? [`${name} has seen ${mostInWindow} requests where it allows ${limit.points}`]
      : []),
    ...(mostInFlight > IN_FLIGHT_MAX ? [`${name} has seen ${mostInFlight} requests at once`] : []),
  ]
}

function checkPauses(name: string, { tooEarly, refused }: HostStats, isLate: boolean): string[] {
  // On a busy machine those that were under way with the one that was refused are seen late.
  const late = isLate ? refused * (IN_FLIGHT_MAX - 1) : 0
  return tooEarly > late ? [`${name} was asked ${tooEarly} times while it wanted to be left alone`] : []
}

function silentPages(faults: { assertEveryFaultFired(): void }): string[] {
  try {
    faults.assertEveryFaultFired()
    return []
  } catch (error) {
    return [error instanceof Error ? error.message : String(error)]
  }
}
