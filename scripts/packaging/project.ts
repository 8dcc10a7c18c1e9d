import { readConfig } from '../../src/config.js'

/** What the files of the packaging are checked against. */
export interface Project {
  /** The text of a file; null where there is none. Paths from the project's root. */
  readonly read: (path: string) => string | null
  /** Whether there is a file or a folder. */
  readonly exists: (path: string) => boolean
}

/** What the files of a project must hold for the packaging to be right. */
export class Facts {
  readonly #project: Project

  constructor(project: Project) {
    this.#project = project
  }

  text(path: string): string {
    return this.#project.read(path) ?? ''
  }

  exists(path: string): boolean {
    return this.#project.exists(path)
  }

  get package(): {
    bin: Record<string, string>
    files: string[]
    version: string
    devDependencies: Record<string, string>
  } {
    return JSON.parse(this.text('package.json'))
  }

  /** The variables that the configuration looks at. */
  get variables(): ReadonlySet<string> {
    const seen = new Set<string>()
    readConfig(new Proxy({}, { get: (_, name) => void seen.add(String(name)) }))
    return seen
  }

  /** The commands of whoever runs the service, each with its options. */
  get commands(): ReadonlyMap<string, readonly string[]> {
    const parts = this.text('src/cli/commands/service.ts').split(".command('").slice(1)
    return new Map(
      parts.map((part) => [
        part.slice(0, part.indexOf("'")),
        [...part.matchAll(/\.option\('(--[a-z-]+)/g)].map(([, option]) => option!),
      ]),
    )
  }

  /** The names of our metrics. */
  get metrics(): ReadonlySet<string> {
    const names = this.text('src/metrics.ts').matchAll(/'(aquifer_[a-z_]+)'/g)
    return new Set(Array.from(names, ([, name]) => name!))
  }
}

/** What is wrong with a command line of the service: the words after `aquifer`. */
export function* commandProblems(facts: Facts, words: readonly string[]): Generator<string> {
  const [command = '', ...options] = words
  const known = facts.commands.get(command)
  if (known === undefined) yield `there is no command "aquifer ${command}"`
  for (const option of options)
    if (known !== undefined && !known.includes(option)) yield `"aquifer ${command}" has no option ${option}`
}

/** What is wrong with variables for the service. */
export function* environmentProblems(
  facts: Facts,
  environment: Readonly<Record<string, string>>,
): Generator<string> {
  for (const name of Object.keys(environment)) {
    if (name !== 'NODE_ENV' && !facts.variables.has(name)) yield `${name} is no variable of the configuration`
  }
  try {
    readConfig(environment)
  } catch (error) {
    yield (error as Error).message
  }
}

/** Whether an image has a version that does not move: numbers with at least a dot between. */
export function isPinned(image: string): boolean {
  return /:v?\d+\.\d+[\w.-]*$/.test(image)
}
