import { readFileSync } from 'node:fs'

/** The version in package.json, found from the sources as from the build. */
export const VERSION: string = readVersion()

function readVersion(): string {
  for (const path of ['../package.json', '../../package.json']) {
    try {
      const { name, version } = JSON.parse(readFileSync(new URL(path, import.meta.url), 'utf8'))
      if (name === 'aquifer') return version
    } catch {
      // Not there: the next place.
    }
  }
  return 'unknown'
}
