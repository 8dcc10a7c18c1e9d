import { existsSync, readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))

/** For tests of what is in `dist`: an old build would be tested in the place of the sources. */
export function assertBuilt(): void {
  const fault = faultOfBuild()
  if (fault !== null) throw new Error(`dist is ${fault}: run "npm run build" before these tests`)
}

/** Why what is in `dist` is not what the sources say; null when it is. */
export function faultOfBuild(): string | null {
  if (!existsSync(join(ROOT, 'dist'))) return 'missing'
  for (const folder of ['src', 'codegen/client', 'codegen/server']) {
    for (const name of readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' })) {
      if (!name.endsWith('.ts')) continue
      const built = join(ROOT, 'dist', folder, name.replace(/\.ts$/, '.js'))
      if (!existsSync(built)) return `missing (${folder}/${name})`
      if (isOlder(built, join(ROOT, folder, name))) return `old (${folder}/${name})`
    }
  }
  return null
}

const isOlder = (one: string, other: string) => statSync(one).mtimeMs < statSync(other).mtimeMs
