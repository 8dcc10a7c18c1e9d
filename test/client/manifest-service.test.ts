import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { get, type IncomingMessage } from 'node:http'
import { inflateRawSync } from 'node:zlib'
import { afterAll, beforeAll, expect, test } from 'vitest'
import {
  BackfillClient,
  DetailsDeleted,
  InvalidManifest,
  ManifestNotReady,
  verifyManifest,
} from '../../src/client/index.js'
import { nsid } from '../api/support.js'
import { finished, StandIns } from '../engine/support.js'
import type { TestService } from '../support/service.js'
import { eventually } from '../support/wait.js'

/** The manifest as a third party gets it: from the service, checked with what the service publishes of itself. */

const POST = 'network.example.post'

let standIns: StandIns
let on: TestService
let client: BackfillClient

beforeAll(async () => {
  standIns = await StandIns.start()
  on = await standIns.service()
  const { did, key } = standIns.caller
  client = new BackfillClient({ service: on.url, did, key })
})

afterAll(async () => {
  await on?.[Symbol.asyncDispose]()
  await standIns?.[Symbol.asyncDispose]()
})

/** The answer as it is sent. */
async function request(params: Readonly<Record<string, string>>, acceptEncoding = 'identity') {
  const authorization = await standIns.caller.authorization({ aud: on.did, lxm: nsid('exportRecords') })
  const query = new URLSearchParams({ manifest: 'true', ...params })
  return fetch(`${on.url}/xrpc/${nsid('exportRecords')}?${query}`, {
    headers: { ...authorization, 'accept-encoding': acceptEncoding },
  })
}

/** The manifest with the bytes as they are sent: `fetch` unpacks by itself whatever it knows. */
async function requestBytes(job: string, acceptEncoding: string) {
  const authorization = await standIns.caller.authorization({ aud: on.did, lxm: nsid('exportRecords') })
  const headers = { ...authorization, 'accept-encoding': acceptEncoding }
  const asked = get(`${on.url}/xrpc/${nsid('exportRecords')}?job=${job}&manifest=true`, { headers })
  const [response] = (await once(asked, 'response')) as [IncomingMessage]
  const bytes = Buffer.concat(await Array.fromAsync(response))
  return { coding: response.headers['content-encoding'], bytes }
}

test('the manifest of a job is there after its end, and holds', async () => {
  const pds = await standIns.pds()
  const [held = '', ...others] = standIns.populate(pds, 5, 3)
  const gate = Promise.withResolvers<void>()
  pds.faults.plan({ kind: 'after', what: () => gate.promise }, { did: held })
  const { id } = await client.createJob({ collections: [POST], repos: [held, ...others] })
  await expect(Array.fromAsync(client.exportManifest(id))).rejects.toThrow(ManifestNotReady)
  gate.resolve()
  await finished(on.as(standIns.caller), id)
  const { manifest } = await eventually(
    () => client.getJobStatus(id),
    (job) => job.manifest !== undefined,
  )

  const response = await fetch(`${on.url}/.well-known/did.json`)
  const didDocument = (await response.json()) as object
  const { head, hash } = await verifyManifest(client.exportManifest(id), didDocument)
  expect(hash).toBe(manifest!.hash)
  expect(head).toMatchObject({ job: id, service: on.did, repos: { total: 5, completed: 5 }, records: 15 })

  const plain = await request({ job: id })
  expect(plain.headers.get('content-disposition')).toContain(`"${id}.manifest.jsonl"`)
  expect(plain.headers.get('content-encoding')).toBeNull()
  const text = await plain.text()
  expect(createHash('sha256').update(text).digest('hex')).toBe(hash)
  const compressed = await requestBytes(id, 'gzip')
  expect(compressed.coding).toBe('gzip')
  // Of one member: there are clients that read no further. Behind its header of ten bytes the first one is taken alone.
  expect(inflateRawSync(compressed.bytes.subarray(10)).toString()).toBe(text)
  expect((await requestBytes(id, 'zstd, gzip')).coding).toBe('zstd')
  await expect(verifyManifest([text.replace('content', 'signed')], didDocument)).rejects.toThrow(
    InvalidManifest,
  )

  const part = await request({ job: id, repo: held })
  expect(part.status).toBe(400)
  expect(await part.json()).toMatchObject({
    error: 'InvalidRequest',
    message: expect.stringContaining('repo'),
  })
  await client.deleteJobDetails(id)
  await expect(Array.fromAsync(client.exportManifest(id))).rejects.toThrow(DetailsDeleted)
})
