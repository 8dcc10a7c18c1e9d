import { configDefaults, defineConfig } from 'vitest/config'

/** Most of the time of most tests is waiting for a poll, a sweep or a process: three fill two cores. */
const MAX_WORKERS = 3

/**
 * Many small files that leave nothing behind in their process: one after the other in the same one, so that what
 * they import is loaded once and not by each of them.
 */
const SHARED = ['test/unit/**/*.test.ts', 'test/store/**/*.test.ts', 'test/atproto/**/*.test.ts']

const shared = {
  maxWorkers: MAX_WORKERS,
  testTimeout: 30_000,
  hookTimeout: 60_000,
}

export default defineConfig({
  test: {
    ...shared,
    globalSetup: ['test/support/global-setup.ts'],
    reporters: ['default'],
    projects: [
      { test: { ...shared, name: 'parts', include: SHARED, isolate: false } },
      {
        test: {
          ...shared,
          name: 'whole',
          include: ['test/**/*.test.ts'],
          // Minutes of random worlds: by "npm run oracle".
          exclude: [...configDefaults.exclude, 'test/oracle/**', ...SHARED],
        },
      },
    ],
  },
})
