import { existsSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { checkPackaging } from '../../scripts/packaging/check.js'

const at = (path: string) => fileURLToPath(new URL(`../../${path}`, import.meta.url))
const read = (path: string) => (existsSync(at(path)) ? readFileSync(at(path), 'utf8') : null)

/** What is wrong with the project once a file of it reads otherwise. */
function problemsWith(path: string, from: string | RegExp, to: string): string[] {
  const text = read(path)!
  const changed = text.replace(from, to)
  expect(changed, `${path} has nothing like ${from}`).not.toBe(text)
  return checkPackaging({
    exists: (each) => existsSync(at(each)),
    read: (each) => (each === path ? changed : read(each)),
  })
}

describe('the packaging', () => {
  test('agrees with the project', () => {
    expect(checkPackaging({ exists: (path) => existsSync(at(path)), read })).toEqual([])
  })

  test.each<[string, string, string | RegExp, string, RegExp]>([
    ['a moving image', 'Dockerfile', /FROM \S+(?= AS)/, 'FROM node:22-slim', /no fixed version/],
    ['another Node', 'Dockerfile', /node:22\.\d+/, 'node:20.1', /not the Node that tests run on/],
    [
      'a source that is gone',
      'Dockerfile',
      'COPY codegen',
      'COPY generated',
      /COPY generated: there is no such/,
    ],
    ['a source kept out', '.dockerignore', '!codegen\n', '', /COPY codegen: .dockerignore keeps it out/],
    ['an unknown stage', 'Dockerfile', '--from=build', '--from=builder', /no such stage/],
    ['what a stage has not', 'Dockerfile', '/app/dist', '/app/out', /that stage has no such file/],
    [
      'an image without lexicons',
      'Dockerfile',
      'COPY lexicons ./lexicons\n',
      '',
      /the image has no lexicons/,
    ],
    ['root', 'Dockerfile', 'USER node\n', '', /runs as root/],
    [
      'a made-up variable',
      'Dockerfile',
      'METRICS_PORT=9464',
      'METRIC_PORT=9464',
      /METRIC_PORT is no variable/,
    ],
    ['an unusable value', 'Dockerfile', 'METRICS_PORT=9464', 'METRICS_PORT=94640', /METRICS_PORT is "94640"/],
    ['other ports', 'Dockerfile', 'EXPOSE 3000 9464', 'EXPOSE 8080', /EXPOSE 8080/],
    ['no health check', 'Dockerfile', /HEALTHCHECK[^\n]*\n[^\n]*\n/, '', /no HEALTHCHECK/],
    [
      'a health check elsewhere',
      'Dockerfile',
      '/xrpc/_health',
      '/xrpc/_status',
      /src\/server.ts does not answer/,
    ],
    ['other options of Node', 'Dockerfile', '=32"', '=64"', /max-semi-space-size/],
    ['a command that is none', 'Dockerfile', '["serve"]', '["server"]', /no command "aquifer server"/],
    ['an option that is none', 'compose.yaml', '--no-engine', '--no-work', /no option --no-work/],
    ['a variable of nobody', 'compose.yaml', 'LOG_LEVEL: ', 'LOGLEVEL: ', /LOGLEVEL is no variable/],
    ['a default that is refused', 'compose.yaml', ':-info}', ':-loud}', /LOG_LEVEL is "loud"/],
    ['a database of nobody', 'compose.yaml', '@postgres:', '@database:', /database is no Postgres/],
    [
      'another user',
      'compose.yaml',
      'POSTGRES_USER: aquifer',
      'POSTGRES_USER: admin',
      /names the user aquifer/,
    ],
    ['an old Postgres', 'compose.yaml', 'postgres:18.4', 'postgres:14.1', /too old/],
    ['a moving Prometheus', 'compose.yaml', 'prometheus:v3.5.0', 'prometheus:latest', /no fixed version/],
    ['another version of ours', 'compose.yaml', /aquifer:\d+\.\d+\.\d+/, 'aquifer:9.9.9', /not the version/],
    ['a port of nobody', 'compose.yaml', '127.0.0.1:3000:3000', '127.0.0.1:3000:8080', /nobody listens/],
    ['one worker', 'compose.yaml', 'replicas: 2', 'replicas: 1', /fewer than two workers/],
    [
      'a file that is gone',
      'compose.yaml',
      './deploy/prometheus.yml',
      './deploy/p.yml',
      /p.yml is not there/,
    ],
    ['a volume that is none', 'compose.yaml', '- database:', '- data:', /data is not there/],
    ['a scrape of the wrong port', 'deploy/prometheus.yml', 'port: 9464', 'port: 3000', /not METRICS_PORT/],
    [
      'a scrape of less',
      'deploy/prometheus.yml',
      '[service, worker]',
      '[service]',
      /Prometheus asks service/,
    ],
    ['an alert on nothing', 'deploy/alerts.yml', 'aquifer_database_up', 'aquifer_db_up', /aquifer_db_up/],
    [
      'a metric untold',
      'docs/operations.md',
      '`aquifer_stream_waiting_messages`',
      '',
      /does not tell of aquifer_stream_waiting/,
    ],
    ['a metric renamed', 'src/metrics.ts', "'aquifer_hosts'", "'aquifer_host_states'", /aquifer_hosts/],
  ])('is told of %s', (_what, path, from, to, problem) => {
    expect(problemsWith(path, from, to)).toEqual(expect.arrayContaining([expect.stringMatching(problem)]))
  })
})
