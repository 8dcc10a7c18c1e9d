import { configDefaults, defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    // Minutes of random worlds: by "npm run oracle".
    exclude: [...configDefaults.exclude, 'test/oracle/**'],
    globalSetup: ['test/support/global-setup.ts'],
    // Two cores: more workers only make every real Postgres, PLC and PDS slower.
    maxWorkers: 2,
    testTimeout: 30_000,
    hookTimeout: 60_000,
    reporters: ['default'],
  },
})
