import { configDefaults, defineConfig } from 'vitest/config'

/** Most of the time of most tests is waiting for a poll, a sweep or a process: three fill two cores. */
const MAX_WORKERS = 3

/** Most of the time of these is processes that they start; what they import is little. */
const PROCESSES = ['scripts', 'postgres'].map(below)

/** Repos go from servers to the database: what takes a second takes many on a busy machine. */
const ENGINE = ['engine', 'examples', 'network'].map(below)

/** Minutes of random worlds: by "npm run oracle". */
const ELSEWHERE = [...configDefaults.exclude, below('oracle')]

/** These end what hangs. A machine with other work must not come near them. */
const shared = {
  maxWorkers: MAX_WORKERS,
  // What is built runs as it is.
  server: { deps: { external: [/\/dist\/src\//] } },
  testTimeout: 120_000,
  hookTimeout: 180_000,
}

/** Leaves nothing behind in its process: what files import is loaded once, and not by each of them. */
const inOneProcess = { ...shared, isolate: false }

export default defineConfig({
  test: {
    ...shared,
    globalSetup: ['test/support/global-setup.ts'],
    reporters: ['default'],
    projects: [
      // In the order of their names. The longest file is among these, and must not be what all others wait for.
      { test: { ...shared, name: 'apart', include: PROCESSES } },
      { test: { ...inOneProcess, name: 'engine', include: ENGINE } },
      {
        test: {
          ...inOneProcess,
          name: 'parts',
          include: [below('*')],
          exclude: [...ELSEWHERE, ...PROCESSES, ...ENGINE],
        },
      },
    ],
  },
})

function below(folder: string): string {
  return `test/${folder}/**/*.test.ts`
}
