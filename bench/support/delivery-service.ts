import { readConfig } from '../../src/config.js'
import { createLogger } from '../../src/events.js'
import { startService } from '../../src/service.js'

/** The API in a process of its own, as a service has it. Told to `read`, it says what it has taken since last time. */

const config = readConfig(process.env)
const logger = createLogger(config.logLevel, 'stderr')
await using _service = await startService({ config, logger, api: true, engine: false })

let peak = 0
const look = () => {
  peak = Math.max(peak, process.memoryUsage.rss())
}
// Not more often: to ask costs a good part of a millisecond.
setInterval(look, 100)

process.on('message', () => {
  look()
  const { user, system } = process.cpuUsage()
  process.send?.({ cpuSeconds: (user + system) / 1e6, peakRssMb: Math.round(peak / 2 ** 20) })
  peak = 0
})
process.send?.('ready')
await new Promise<void>((resolve) => process.once('disconnect', resolve))
process.exit()
