import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { InputSchema } from '../../codegen/client/types/network/example/backfill/createJob.js'
import { startTestService, type TestService } from '../support/service.js'
import {
  callRaw,
  type Directory,
  invalidRequest,
  newcomer,
  refusal,
  refusedWith,
  startDirectory,
} from './support.js'

const STATUS = 'network.example.status'
const DID = 'did:plc:ewvi7nxzyoun6zhxrhs64oiz'

let network: Directory
let service: TestService

beforeAll(async () => {
  network = await startDirectory()
  service = await startTestService({ network, engine: false })
})

afterAll(async () => {
  await service?.[Symbol.asyncDispose]()
  await network?.[Symbol.asyncDispose]()
})

/** `count` names that differ in their last segment. */
const many = (count: number, name: (index: number) => string) =>
  Array.from({ length: count }, (_, index) => name(index))

describe('what is refused', () => {
  /** What is wrong, the input, the error and what its message must hold. */
  const cases: [string, unknown, ReturnType<typeof refusedWith>][] = [
    ['nothing', {}, refusedWith('ScopeTooBroad', 'collections', 'repos')],
    ['a prefix without repos', { collections: [STATUS, 'a.b.*'] }, refusedWith('ScopeTooBroad', 'a.b.*')],
    [
      'bad collections, each by name',
      { collections: ['status', STATUS, 'a.b', 'network.example.-x', ''], repos: [DID] },
      refusedWith('InvalidCollection', 'collections', '"status"', '"a.b"', '"network.example.-x"', '""'),
    ],
    [
      'bad prefixes, each by name',
      {
        collections: ['app.*', '*', 'app.bsky.gr*', 'a.*.b', 'a.b.*.*', '.*', 'a..*', '9.b.*'],
        repos: [DID],
      },
      refusedWith(
        'InvalidCollection',
        ...['"app.*"', '"*"', '"app.bsky.gr*"', '"a.*.b"', '"a.b.*.*"', '".*"', '"a..*"', '"9.b.*"'],
      ),
    ],
    [
      'bad repos, each by name',
      {
        collections: [STATUS],
        repos: [
          'not a handle',
          'localhost',
          DID,
          'did:',
          'did:plc:',
          'did:web:a b',
          '@ada.test',
          `at://${DID}`,
        ],
      },
      refusedWith(
        'InvalidRepo',
        ...['repos', '"not a handle"', '"localhost"', '"did:"', '"did:plc:"', '"did:web:a b"', '"@ada.test"'],
        `"at://${DID}"`,
      ),
    ],
    [
      'DIDs of another method',
      { repos: ['did:key:zQ3shP2mWsZYWgvgM11nenXRTBBrVzCz8HaPCZ8hqkZ8nRF5y', 'did:example:a'] },
      refusedWith('InvalidRepo', 'did:key:zQ3sh', 'did:example:a', 'did:plc and did:web'),
    ],
    ['a DID in capitals', { repos: [DID.toUpperCase()] }, refusedWith('InvalidRepo', DID.toUpperCase())],
    ['no collections', { collections: [] }, invalidRequest('collections')],
    ['no repos', { repos: [] }, invalidRequest('repos')],
    [
      '101 collections',
      { collections: many(101, (index) => `network.example.c${index}`) },
      invalidRequest('collections', '100'),
    ],
    [
      '1,001 repos',
      { repos: many(1_001, (index) => `did:web:host${index}.example`) },
      invalidRequest('repos', '1000'),
    ],
    ['1,001 times one repo', { repos: many(1_001, () => DID) }, invalidRequest('repos', '1000')],
    [
      'a collection that is too long',
      { collections: [`a.b.${'c'.repeat(316)}`] },
      invalidRequest('collections', '319'),
    ],
    ['a repo that is too long', { repos: [`did:web:${'c'.repeat(2_041)}`] }, invalidRequest('repos', '2048')],
    ['collections that are no list', { collections: STATUS }, invalidRequest('collections')],
    ['repos that are no text', { repos: [1] }, invalidRequest('repos')],
    ['repos that are null', { repos: null, collections: [STATUS] }, invalidRequest('repos')],
    [
      'an unknown method',
      { collections: [STATUS], method: 'magic' },
      invalidRequest('method', 'magic', 'list-records'),
    ],
    [
      'an unknown level',
      { collections: [STATUS], level: 'notarised' },
      invalidRequest('level', 'notarised', 'content'),
    ],
    [
      'a level that the method cannot reach',
      { collections: [STATUS], method: 'list-records', level: 'signed' },
      refusedWith('LevelNotOffered', 'signed'),
    ],
    [
      'a method that only a receipt has',
      { collections: [STATUS], method: 'unchanged' },
      invalidRequest('method', 'unchanged'),
    ],
    [
      'a name that is too long',
      { collections: [STATUS], name: '👍'.repeat(129) },
      invalidRequest('name', '128'),
    ],
    ['a name that is no text', { collections: [STATUS], name: 7 }, invalidRequest('name')],
    ['a name with a NUL', { collections: [STATUS], name: 'a\u0000b' }, invalidRequest('name')],
    ['a name with half a character', { collections: [STATUS], name: 'a\ud800' }, invalidRequest('name')],
    [
      'a token that is too long',
      { collections: [STATUS], clientToken: 'x'.repeat(129) },
      invalidRequest('clientToken'),
    ],
    ['an empty token', { collections: [STATUS], clientToken: '' }, invalidRequest('clientToken')],
    ['a token with a NUL', { collections: [STATUS], clientToken: '\u0000' }, invalidRequest('clientToken')],
    [
      'a token with half a character',
      { collections: [STATUS], clientToken: '\udc00' },
      invalidRequest('clientToken'),
    ],
  ]

  test.each(cases)('%s', async (_, input, expected) => {
    const { backfill } = await newcomer(network, service)
    expect(await refusal(backfill.createJob(input as InputSchema))).toEqual(expected)
    expect((await backfill.listJobs()).data.jobs).toEqual([])
  })

  test.each(['[]', `["${STATUS}"]`, 'null', '"text"', '7', 'true'])('a body that is %s', async (body) => {
    const { caller } = await newcomer(network, service)
    const answer = await callRaw(service, caller, 'createJob', { body })
    expect(answer).toMatchObject({
      status: 400,
      json: { error: 'InvalidRequest', message: expect.any(String) },
    })
  })
})
