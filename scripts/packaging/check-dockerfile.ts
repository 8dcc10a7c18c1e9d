import { commandOf, copiesOf, environmentOf, readDockerfile, type Stage, textsOf } from './dockerfile.js'
import { commandProblems, environmentProblems, type Facts, isPinned } from './project.js'

/** What the build makes and the project does not have. */
const MADE = new Set(['dist', 'node_modules'])

/** What the service cannot run without. */
const NEEDED = ['bin', 'dist', 'lexicons', 'node_modules', 'package.json']

/** Everything that is wrong with the Dockerfile. */
export function* checkDockerfile(facts: Facts): Generator<string> {
  const stages = readDockerfile(facts.text('Dockerfile'))
  const last = stages.at(-1)
  if (last === undefined) return yield 'there is no stage'
  for (const stage of stages) {
    yield* checkImage(facts, stage)
    yield* checkCopies(facts, stage, stages)
  }
  yield* checkContents(last)
  yield* checkRunning(facts, last)
}

function* checkImage(facts: Facts, { image }: Stage): Generator<string> {
  if (!isPinned(image)) yield `${image} has no fixed version`
  const node = facts.package.devDependencies.node!
  if (image.split(':')[1]?.split('-')[0] !== node) yield `${image} is not the Node that tests run on, ${node}`
}

function* checkCopies(facts: Facts, stage: Stage, stages: readonly Stage[]): Generator<string> {
  const ignored = ignoredBy(facts.text('.dockerignore'))
  for (const { from, sources } of copiesOf(stage)) {
    const origin = stages.find(({ name }) => name === from)
    if (from !== null && origin === undefined) yield `COPY --from=${from}: there is no such stage`
    for (const source of sources) {
      if (from === null) {
        if (!facts.exists(source)) yield `COPY ${source}: there is no such file`
        else if (ignored(source)) yield `COPY ${source}: .dockerignore keeps it out`
      } else if (origin && !has(origin, source))
        yield `COPY --from=${from} ${source}: that stage has no such file`
    }
  }
}

/** Whether a stage has what another one copies from it. */
function has(stage: Stage, path: string): boolean {
  const name = path.replace(/^\/app\//, '')
  return MADE.has(name) || copiesOf(stage).some(({ sources }) => sources.includes(name))
}

function* checkContents(last: Stage): Generator<string> {
  const copied = new Set(
    copiesOf(last).flatMap(({ sources }) => sources.map((path) => path.replace(/^\/app\//, ''))),
  )
  for (const name of NEEDED) if (!copied.has(name)) yield `the image has no ${name}`
}

function* checkRunning(facts: Facts, last: Stage): Generator<string> {
  const environment = environmentOf(last)
  yield* environmentProblems(facts, environment)
  const { PORT, METRICS_PORT, DATA_DIR = '' } = environment
  const exposed = textsOf(last, 'EXPOSE').flatMap((text) => text.split(/\s+/))
  if (exposed.join() !== [PORT, METRICS_PORT].join()) yield `EXPOSE ${exposed} is not PORT and METRICS_PORT`
  if (!textsOf(last, 'VOLUME').includes(DATA_DIR)) yield 'DATA_DIR is no volume'
  const user = textsOf(last, 'USER').at(-1) ?? 'root'
  if (['root', '0'].includes(user)) yield 'it runs as root'
  yield* checkHealth(facts, last)
  const entry = commandOf(last, 'ENTRYPOINT')
  const program = facts.package.bin.aquifer!
  if (entry.at(0) !== 'node' || entry.at(-1) !== program) yield `ENTRYPOINT does not run ${program}`
  const options = /^#!.*?node (.*)$/m.exec(facts.text(program))?.[1] ?? ''
  if (entry.slice(1, -1).join(' ') !== options)
    yield `ENTRYPOINT does not give Node what ${program} does: ${options}`
  yield* commandProblems(facts, commandOf(last, 'CMD'))
}

function* checkHealth(facts: Facts, last: Stage): Generator<string> {
  const [health = ''] = textsOf(last, 'HEALTHCHECK')
  const path = /\/xrpc\/\w+/.exec(health)?.[0]
  if (path === undefined) return yield 'there is no HEALTHCHECK of /xrpc/_health'
  for (const file of ['src/server.ts', 'src/metrics/listener.ts'])
    if (!facts.text(file).includes(`'${path}'`))
      yield `HEALTHCHECK asks for ${path}, which ${file} does not answer`
  for (const variable of ['PORT', 'METRICS_PORT'])
    if (!health.includes(`process.env.${variable}`)) yield `HEALTHCHECK does not look at ${variable}`
}

/** Which paths a .dockerignore keeps out, if it names what it lets in: `*` and then exceptions. */
function ignoredBy(text: string): (path: string) => boolean {
  const lines = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'))
  if (lines[0] !== '*') return (path) => lines.includes(path)
  return (path) => !lines.includes(`!${path}`)
}
