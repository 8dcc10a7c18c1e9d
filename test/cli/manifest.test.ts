import { createHash } from 'node:crypto'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { beforeAll, describe, expect, test } from 'vitest'
import { serviceDidDocument } from '../../src/auth/did-document.js'
import { readConfig } from '../../src/config.js'
import { EMPTY_TALLY, headText, lineText, type ManifestLine, tallyWith } from '../../src/jobs/manifest.js'
import { openServiceKey } from '../../src/service-key.js'
import { LoopbackServer, sendJson } from '../support/network/loopback.js'
import { SERVICE_KEY } from '../support/service.js'
import { aquifer, shell, temporaryFolder } from './support.js'

const folder = temporaryFolder()
const AT = '2026-01-02T03:04:05.678Z'
const LINES: readonly ManifestLine[] = [
  {
    ...{ did: 'did:plc:a', outcome: 'completed', counts: { 'com.example.post': 1234 }, records: 1234 },
    ...{ method: 'get-repo', level: 'signed', host: 'https://pds.example', completedAt: AT },
  },
  { did: 'did:plc:b', outcome: 'unavailable', reason: 'takendown' },
  { did: 'did:plc:c' },
]

let web: LoopbackServer
let service: string
let text: string
let hash: string
const path = (name: string) => join(folder, name)

beforeAll(async () => {
  const key = await openServiceKey(readConfig({ SERVICE_KEY }))
  web = await LoopbackServer.start((_url, _request, response) => sendJson(response, 200, document))
  service = `did:web:localhost%3A${web.port}`
  const document = serviceDidDocument({ did: service, endpoint: web.url, signingKey: key.did })
  const lines = LINES.map(lineText).join('')
  const claim = {
    ...{ version: 1 as const, job: '3m65qz7wxyz2a', caller: 'did:web:app.example.com', service },
    ...{ scope: {}, method: 'auto', level: 'content', status: 'cancelled', discoveryComplete: false },
    ...{ startCursors: [], createdAt: AT, completedAt: AT, builtAt: AT },
    ...LINES.reduce(tallyWith, EMPTY_TALLY),
    sha256: createHash('sha256').update(lines).digest('hex'),
  }
  text = lines + (await headText(claim, key))
  hash = createHash('sha256').update(text).digest('hex')
  writeFileSync(path('manifest.jsonl'), text)
  writeFileSync(path('did.json'), JSON.stringify(document))
  // As it is stored: several members.
  writeFileSync(
    path('manifest.jsonl.gz'),
    Buffer.concat([gzipSync(lines), gzipSync(text.slice(lines.length))]),
  )
  return () => web.stop()
})

const verify = (...args: string[]) => aquifer(['manifest', 'verify', ...args], { cwd: folder })

describe('manifest verify', () => {
  test('says what the service has signed', async () => {
    const summary =
      `Signed by ${service} at ${AT}.\n  job 3m65qz7wxyz2a, cancelled, with repos that may be missing\n` +
      '  3 repos: 1 completed, 1 unavailable, 0 failed, 1 without an outcome\n' +
      `  1,234 records in 1 receipt\n  SHA-256 ${hash}\n`
    // It finds the key where the DID says.
    expect(await verify('manifest.jsonl')).toEqual({ code: 0, stdout: summary, stderr: '' })
    const offline = ['--did-document', 'did.json', '--signed-by', service]
    expect(await verify('manifest.jsonl.gz', ...offline)).toEqual({ code: 0, stdout: summary, stderr: '' })
    const piped = await shell(`cat ${path('manifest.jsonl.gz')} | aquifer manifest verify -`)
    expect(piped).toEqual({ code: 0, stdout: summary, stderr: '' })
    const json = await verify('manifest.jsonl', '--json')
    expect(JSON.parse(json.stdout)).toMatchObject({ hash, service, records: 1234, repos: { total: 3 } })
  })

  test('refuses what the service has not signed, and says why', async () => {
    writeFileSync(path('changed.jsonl'), text.replace('takendown', 'suspended'))
    writeFileSync(path('cut.jsonl.gz'), gzipSync(text).subarray(0, 100))
    writeFileSync(path('other.json'), JSON.stringify({ id: service }))
    writeFileSync(path('empty.jsonl'), '')
    mkdirSync(path('directory'))
    const cases: [args: string[], said: string][] = [
      [
        ['changed.jsonl'],
        'changed.jsonl does not hold: the lines are not those of which the head has the hash',
      ],
      [['cut.jsonl.gz'], 'cut.jsonl.gz cannot be read: unexpected end of file'],
      [['empty.jsonl'], 'the manifest is empty'],
      [['manifest.jsonl', '--did-document', 'other.json'], 'is not the key #atproto in the DID document'],
      [['manifest.jsonl', '--did-document', 'none.json'], 'The DID document none.json cannot be read'],
      [
        ['manifest.jsonl', '--signed-by', 'did:web:other.example'],
        `manifest.jsonl is of ${service}, not of did:web:other.example.`,
      ],
      [['none.jsonl'], 'none.jsonl cannot be read: ENOENT'],
      [['directory'], 'directory cannot be read: EISDIR'],
    ]
    const ends = cases.map(async ([args, said]) => ({ said, ...(await verify(...args)) }))
    for (const { code, stdout, stderr, said } of await Promise.all(ends)) {
      expect(stderr).toContain(said)
      expect({ code, stdout }).toEqual({ code: 1, stdout: '' })
      expect(stderr).not.toMatch(/^\s+at /m)
    }
  })

  test('cannot say anything of a service that is not to be found', async () => {
    const gone = service.replace(/\d+$/, '1')
    writeFileSync(path('gone.jsonl'), text.replace(service, gone))
    const { code, stderr } = await verify('gone.jsonl')
    expect(code).toBe(1)
    expect(stderr).toContain(`${gone} cannot be looked up`)
    expect(stderr).toContain('--did-document')
  })
})
