/** One instruction of a Dockerfile, its continued lines joined. */
export interface Instruction {
  readonly name: string
  readonly text: string
}

/** From one FROM to the next. */
export interface Stage {
  readonly image: string
  /** Its `AS`; empty without one. */
  readonly name: string
  readonly instructions: readonly Instruction[]
}

/** The stages of a Dockerfile. Pure; knows as much of the format as ours uses. */
export function readDockerfile(text: string): Stage[] {
  const stages: { image: string; name: string; instructions: Instruction[] }[] = []
  for (const instruction of instructionsOf(text)) {
    if (instruction.name === 'FROM') {
      const [image = '', , name = ''] = instruction.text.split(/\s+/)
      stages.push({ image, name, instructions: [] })
    } else stages.at(-1)?.instructions.push(instruction)
  }
  return stages
}

function instructionsOf(text: string): Instruction[] {
  const lines = text.split('\n').filter((line) => !/^\s*#/.test(line))
  const joined = lines.join('\n').replaceAll(/\\\n\s*/g, '')
  return joined.split('\n').flatMap((line) => {
    const [, name, rest] = /^([A-Z]+)\s+(.*)$/.exec(line.trim()) ?? []
    return name === undefined ? [] : [{ name, text: rest! }]
  })
}

/** All there is of one kind of instruction in a stage. */
export function textsOf(stage: Stage, name: string): string[] {
  return stage.instructions.filter((each) => each.name === name).map(({ text }) => text)
}

/** What a stage puts into the environment, as `NAME=value` pairs without quotes. */
export function environmentOf(stage: Stage): Record<string, string> {
  const pairs = textsOf(stage, 'ENV').flatMap((text) => text.split(/\s+/))
  return Object.fromEntries(pairs.map((pair) => pair.split(/=(.*)/s).slice(0, 2) as [string, string]))
}

export interface Copy {
  /** The stage it is taken from; null for the project. */
  readonly from: string | null
  readonly sources: readonly string[]
}

export function copiesOf(stage: Stage): Copy[] {
  return textsOf(stage, 'COPY').map((text) => {
    const words = text.split(/\s+/)
    const from = words.find((word) => word.startsWith('--from='))?.slice('--from='.length) ?? null
    const paths = words.filter((word) => !word.startsWith('--'))
    return { from, sources: paths.slice(0, -1) }
  })
}

/** A command in its JSON form; empty where it has another or none. */
export function commandOf(stage: Stage, name: 'CMD' | 'ENTRYPOINT'): string[] {
  const text = textsOf(stage, name).at(-1)
  try {
    return text === undefined ? [] : (JSON.parse(text) as string[])
  } catch {
    return []
  }
}
