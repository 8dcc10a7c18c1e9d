import { defineConfig } from 'vitest/config'
import base from '../../vitest.config.js'

/** The oracle's short form, and the proof that it can fail. */
export default defineConfig({
  test: {
    ...base.test,
    root: new URL('../..', import.meta.url).pathname,
    projects: undefined,
    include: ['test/oracle/*.test.ts'],
    exclude: [],
  },
})
