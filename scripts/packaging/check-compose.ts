import { parse } from 'yaml'
import { environmentOf, readDockerfile } from './dockerfile.js'
import { commandProblems, environmentProblems, type Facts, isPinned } from './project.js'

interface ComposeService {
  readonly build?: string
  readonly image?: string
  readonly command?: readonly string[]
  readonly environment?: Readonly<Record<string, string>>
  readonly depends_on?: Readonly<Record<string, { readonly condition?: string }>>
  readonly volumes?: readonly string[]
  readonly ports?: readonly string[]
  readonly healthcheck?: object
  readonly deploy?: { readonly replicas?: number }
}

interface Compose {
  readonly services: Readonly<Record<string, ComposeService>>
  readonly volumes: Readonly<Record<string, unknown>>
}

interface Prometheus {
  readonly rule_files?: readonly string[]
  readonly scrape_configs: readonly {
    readonly metrics_path?: string
    readonly dns_sd_configs?: readonly { readonly names: readonly string[]; readonly port: number }[]
  }[]
}

/** The least that a database may be. */
const POSTGRES_MAJOR_MIN = 15

/** Stands for what the operator sets. */
const ANSWERS: Readonly<Record<string, string>> = {
  PUBLIC_URL: 'https://backfill.example.com',
  SERVICE_KEY: '5e'.repeat(32),
  POSTGRES_PASSWORD: 'secret',
}

/** Everything that is wrong with compose.yaml and with what it starts Prometheus with. */
export function* checkCompose(facts: Facts): Generator<string> {
  const compose = parse(facts.text('compose.yaml'), { merge: true }) as Compose
  const { services } = compose
  const ours = Object.entries(services).filter(([, { build }]) => build !== undefined)
  for (const [name, service] of Object.entries(services)) {
    for (const problem of checkService(facts, compose, service)) yield `${name}: ${problem}`
  }
  for (const [name, service] of ours) {
    for (const problem of checkOurs(facts, services, service)) yield `${name}: ${problem}`
  }
  const workers = ours.filter(([, { command }]) => command?.[0] === 'worker')
  const count = workers.reduce((sum, [, { deploy }]) => sum + (deploy?.replicas ?? 1), 0)
  if (count < 2) yield 'there are fewer than two workers'
  yield* checkPrometheus(
    facts,
    ours.map(([name]) => name),
  )
}

function* checkService(
  facts: Facts,
  { services, volumes }: Compose,
  service: ComposeService,
): Generator<string> {
  const { build, image, depends_on = {}, volumes: mounts = [] } = service
  if (build === undefined && !isPinned(image ?? '')) yield `${image} has no fixed version`
  if (build !== undefined && image !== `aquifer:${facts.package.version}`)
    yield `${image} is not the version in package.json, ${facts.package.version}`
  if (build !== undefined && !facts.exists(`${build}/Dockerfile`)) yield `${build} has no Dockerfile`
  const [, major] = /^postgres:(\d+)/.exec(image ?? '') ?? []
  if (major !== undefined && Number(major) < POSTGRES_MAJOR_MIN) yield `${image} is too old`
  for (const [name, { condition }] of Object.entries(depends_on)) {
    if (services[name] === undefined) yield `it depends on ${name}, which is not there`
    else if (condition === 'service_healthy' && !services[name].healthcheck)
      yield `${name} has no health check`
  }
  for (const mount of mounts) {
    const [source = ''] = mount.split(':')
    if (source.startsWith('.') ? !facts.exists(source) : !(source in volumes)) yield `${source} is not there`
  }
}

function* checkOurs(
  facts: Facts,
  services: Compose['services'],
  { command = [], environment = {}, ports = [], volumes = [] }: ComposeService,
): Generator<string> {
  const image = environmentOf(readDockerfile(facts.text('Dockerfile')).at(-1)!)
  const own = Object.fromEntries(Object.entries(environment).map(([name, value]) => [name, filled(value)]))
  yield* commandProblems(facts, command)
  yield* environmentProblems(facts, { ...image, ...own })
  yield* databaseProblems(services, own.DATABASE_URL ?? '')
  for (const port of ports) {
    const target = port.split(':').at(-1)
    if (target !== (own.PORT ?? image.PORT)) yield `${port} leads to a port where nobody listens`
  }
  const mounted = volumes.some((mount) => mount.split(':')[1] === image.DATA_DIR)
  if (!mounted) yield 'DATA_DIR is not kept'
}

function* databaseProblems(services: Compose['services'], address: string): Generator<string> {
  const url = new URL(address)
  const database = services[url.hostname]
  if (!database?.image?.startsWith('postgres:')) return yield `${url.hostname} is no Postgres of this file`
  const { POSTGRES_USER, POSTGRES_DB, POSTGRES_PASSWORD = '' } = database.environment ?? {}
  if (url.username !== POSTGRES_USER)
    yield `DATABASE_URL names the user ${url.username}, not ${POSTGRES_USER}`
  if (url.pathname !== `/${POSTGRES_DB}`) yield `DATABASE_URL names the database ${url.pathname.slice(1)}`
  if (url.password !== filled(POSTGRES_PASSWORD)) yield 'DATABASE_URL has another password than the database'
}

function* checkPrometheus(facts: Facts, ours: readonly string[]): Generator<string> {
  const { scrape_configs, rule_files = [] } = parse(facts.text('deploy/prometheus.yml')) as Prometheus
  const image = environmentOf(readDockerfile(facts.text('Dockerfile')).at(-1)!)
  const scraped = scrape_configs.flatMap(({ dns_sd_configs = [] }) => dns_sd_configs)
  const names = scraped.flatMap((each) => each.names)
  if (names.join() !== ours.join()) yield `Prometheus asks ${names.join(', ')}, not ${ours.join(', ')}`
  for (const { port } of scraped)
    if (String(port) !== image.METRICS_PORT) yield `Prometheus asks port ${port}, not METRICS_PORT`
  for (const { metrics_path = '/metrics' } of scrape_configs)
    if (metrics_path !== '/metrics') yield `Prometheus asks for ${metrics_path}`
  for (const file of rule_files) if (!facts.exists(`deploy/${file}`)) yield `there is no deploy/${file}`
  parse(facts.text('deploy/alerts.yml'))
  yield* unknownMetrics(facts, 'deploy/alerts.yml')
  yield* unknownMetrics(facts, 'docs/operations.md')
  yield* untoldMetrics(facts, 'docs/operations.md')
}

function* unknownMetrics(facts: Facts, path: string): Generator<string> {
  for (const name of metricsIn(facts, path))
    if (!facts.metrics.has(name)) yield `${path} names ${name}, which is no metric`
}

function* untoldMetrics(facts: Facts, path: string): Generator<string> {
  const told = metricsIn(facts, path)
  for (const name of facts.metrics) if (!told.has(name)) yield `${path} does not tell of ${name}`
}

/** The metrics that a text names; the parts of a histogram count as the whole. */
function metricsIn(facts: Facts, path: string): Set<string> {
  const names = facts.text(path).matchAll(/\baquifer_[a-z_]+\b/g)
  return new Set(Array.from(names, ([name]) => name.replace(/_seconds_(bucket|sum|count)$/, '_seconds')))
}

/** A value with what the operator has set, or with the default. */
function filled(value: string): string {
  return value.replaceAll(/\$\{(\w+):[-?]([^}]*)\}/g, (text, name: string, rest: string) =>
    text.includes(':-') ? rest : (ANSWERS[name] ?? ''),
  )
}
