import { extname } from 'node:path'
import { fileURLToPath } from 'node:url'

/**
 * The path of a program that stands beside others, to be forked: as source or compiled, like whoever asks.
 * @param from the asker's `import.meta.url`
 * @param path relative to it, without extension
 */
export function programPath(from: string, path: string): string {
  return fileURLToPath(new URL(`${path}${extname(from)}`, from))
}
