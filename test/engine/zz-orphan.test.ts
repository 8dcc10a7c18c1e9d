import { test, vi } from 'vitest'
import { createDatabase } from '../support/database.js'
import { AquiferProcess } from '../support/process.js'
import { StandIns } from './support.js'
vi.setConfig({ testTimeout: 6_000 })
test('x', async () => {
  const standIns = await StandIns.start()
  await AquiferProcess.start('worker', { database: await createDatabase(), environment: standIns.environment })
  await new Promise(() => {})
})
