import { describe, expect, test } from 'vitest'
import { DetailsDeleted, InvalidResponse } from '../../src/client/index.js'
import { collect, jobView, ok, refuse, type Step, scriptedClient, startScripted } from './support.js'

const JOB = '3lbackfilljob'
const CID = 'bafyreidfayvfuwqa7qlnopdjiqrxzs6blmoeu4rujcjtnci5beludirz2a'

describe('answers', () => {
  test.each([
    ['no JSON', (response) => void response.writeHead(200).end('<html>hello</html>'), 'is not JSON'],
    ['nothing', (response) => void response.writeHead(200).end(), 'is not what its lexicon says'],
    ['another thing', ok({ hello: 'world' }), 'is not what its lexicon says'],
  ] as [string, Step, string][])('%s is an InvalidResponse', async (_, step, message) => {
    await using service = await startScripted(step)
    const client = await scriptedClient(service.url)
    const error = await client.getJobStatus(JOB).catch((thrown: unknown) => thrown)
    expect(error).toBeInstanceOf(InvalidResponse)
    expect((error as Error).message).toContain(message)
    expect((error as Error).message).toContain('Is Aquifer running there?')
    expect(service.requests).toHaveLength(1)
  })

  test('some other server at that address is told apart from a service that refuses', async () => {
    await using service = await startScripted((response) => void response.writeHead(404).end('Not  Found'))
    const client = await scriptedClient(service.url)
    await expect(client.getJobStatus(JOB)).rejects.toMatchObject({
      status: 404,
      message: `${service.url} answered 404 to network.example.backfill.getJobStatus: Not Found. Is Aquifer running there?`,
    })
  })

  test('a redirect is not followed, and says where to', async () => {
    await using service = await startScripted(
      (response) => void response.writeHead(301, { location: 'https://elsewhere.example.com/' }).end(),
    )
    const client = await scriptedClient(service.url)
    await expect(client.createJob({})).rejects.toMatchObject({
      message: `${service.url} redirects to https://elsewhere.example.com/; ask there directly`,
    })
  })

  test('an error has the name, the status and the id of its request', async () => {
    await using service = await startScripted(refuse(400, 'DetailsDeleted', { 'x-request-id': 'request-7' }))
    const client = await scriptedClient(service.url)
    const error = await client.listRecords(JOB).catch((thrown: unknown) => thrown)
    expect(error).toBeInstanceOf(DetailsDeleted)
    expect(error).toMatchObject({ name: 'DetailsDeleted', status: 400, requestId: 'request-7' })
  })

  test('a cursor that does not move ends the iteration', async () => {
    await using service = await startScripted(ok({ jobs: [jobView()], cursor: '3lbackfilljob' }))
    const client = await scriptedClient(service.url)
    const seen: unknown[] = []
    const all = async () => {
      for await (const job of client.allJobs()) seen.push(job)
    }
    await expect(all()).rejects.toBeInstanceOf(InvalidResponse)
    expect(seen).toHaveLength(2)
  })

  test('an empty page in the middle does not end an iteration', async () => {
    const record = { uri: 'at://did:web:a.test/com.example.post/1', cid: CID, value: { text: 'hi' } }
    await using service = await startScripted(
      ok({ records: [], cursor: '1' }),
      ok({ records: [record], cursor: '2' }),
      ok({ records: [] }),
    )
    const client = await scriptedClient(service.url)
    expect(await collect(client.allRecords(JOB, { collection: 'com.example.post' }))).toEqual([record])
    expect(service.requests.map(({ url }) => Object.fromEntries(url.searchParams))).toEqual([
      { job: JOB, limit: '500', collection: 'com.example.post' },
      { job: JOB, limit: '500', collection: 'com.example.post', cursor: '1' },
      { job: JOB, limit: '500', collection: 'com.example.post', cursor: '2' },
    ])
  })

  test('values are given as they were sent', async () => {
    const value = { link: { $link: CID }, bytes: { $bytes: 'AAEC' }, text: 'a\u0000b \ud800', n: 1.5 }
    const record = { uri: 'at://did:web:a.test/com.example.post/1', cid: CID, value }
    await using service = await startScripted(ok({ records: [record] }))
    const client = await scriptedClient(service.url)
    expect((await client.listRecords(JOB)).records).toEqual([record])
  })
})
