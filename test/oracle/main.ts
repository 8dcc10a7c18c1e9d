import { parseArgs } from 'node:util'
import { startDatabases } from './databases.js'
import { runSeed } from './run.js'

/** Runs seed after seed until it is stopped, and says of each failure how to see it again. */

const USAGE = `Usage: npm run soak [-- options]

  --seed N      the first seed (one that nobody has tried)
  --runs N      ends after so many runs
  --minutes M   ends after the first run that is over so late
  --jobs N      runs at the same time (2)`

const { values } = parseArgs({
  options: {
    seed: { type: 'string' },
    runs: { type: 'string' },
    minutes: { type: 'string' },
    jobs: { type: 'string', default: '2' },
    help: { type: 'boolean', default: false },
  },
})

if (values.help) {
  console.log(USAGE)
} else {
  const first = whole('seed', values.seed) ?? Math.floor(Date.now() / 1_000)
  const runs = whole('runs', values.runs) ?? Number.POSITIVE_INFINITY
  const endsAt = Date.now() + (whole('minutes', values.minutes) ?? Number.POSITIVE_INFINITY) * 60_000
  const stopped = new AbortController()
  process.once('SIGINT', () => stopped.abort()).once('SIGTERM', () => stopped.abort())
  const failed: number[] = []
  let next = first
  await using databases = await startDatabases()
  const work = async () => {
    while (!stopped.signal.aborted && next < first + runs && Date.now() < endsAt) {
      const seed = next++
      const verdict = await runSeed(seed, databases)
      console.log(`${verdict.differences.length === 0 ? 'ok    ' : 'FAILED'} ${verdict.summary}`)
      if (verdict.differences.length === 0) continue
      failed.push(seed)
      for (const difference of verdict.differences) console.log(`       ${difference}`)
      console.log(`       again: npm run soak -- --seed ${seed} --runs 1`)
    }
  }
  await Promise.all(Array.from({ length: whole('jobs', values.jobs) ?? 1 }, work))
  console.log(
    `${next - first} runs, ${failed.length} failed${failed.length > 0 ? `: ${failed.join(', ')}` : ''}`,
  )
  process.exitCode = failed.length > 0 ? 1 : 0
}

function whole(name: string, text: string | undefined): number | null {
  if (text === undefined) return null
  if (/^[1-9]\d{0,9}$/.test(text)) return Number(text)
  console.error(`--${name} ${text}: not a whole number above 0\n\n${USAGE}`)
  process.exit(2)
}
