import { describeConfig, readConfig } from '../config.js'
import { EXIT } from './exit.js'
import { printJson, printLine } from './stdout.js'

/** Prints the settings in force. @throws ConfigError naming everything wrong with them */
export async function showConfig({ json = false }: { json?: boolean }): Promise<number> {
  const settings = describeConfig(readConfig(process.env))
  const lines = Object.entries(settings).map(([name, value]) => `${name}=${value}`)
  await (json ? printJson(settings) : printLine(lines.join('\n')))
  return EXIT.done
}
