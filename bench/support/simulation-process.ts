import { startSimulation } from '../../test/support/simulation/simulation.js'
import type { SimulatedNetworkWish } from './simulated-network.js'

/**
 * A simulated network as a process of its own, started by `simulated-network.ts`. It tells its parent how it is
 * reached, and ends with it.
 */

const { limits, ...world } = JSON.parse(process.argv[2]!) as SimulatedNetworkWish
const simulation = await startSimulation({
  ...world,
  addressing: 'addresses',
  size: 'tiny',
  limit: (index) => limits?.[index] ?? null,
  heldRecords: Number.POSITIVE_INFINITY,
})
// That records are made is no part of what is measured.
simulation.repos.warm()
const { environment, addresses } = simulation
const accounts = Array.from(simulation.world.accounts(), ({ did, host }) => [did, addresses.pds(host)])
process.on('disconnect', () => process.exit())
process.send?.({ environment, report: addresses.report, accounts })
