import type { RepoView } from '../../codegen/client/types/network/example/backfill/defs.js'
import type { Seen } from './consumer.js'
import type { RunJob } from './run.js'
import type { StoredPicture } from './stored.js'

/**
 * What somebody knows who has followed a job, left and come back, is what the list of its repos says; but for accounts
 * that another job has found to be gone after this one was done with them: of these the news may have come, too.
 */
export function checkPicture(
  { consumer, scope }: RunJob,
  listed: readonly RepoView[],
  stored: StoredPicture,
): string[] {
  const { repos, faults, end } = consumer
  const wrong = listed.flatMap((repo) => {
    const should = [seenOf(repo), ...(repo.status === 'completed' ? goneAs(repo.did, stored) : [])]
    const is = JSON.stringify(repos.get(repo.did))
    const isRight = should.some((seen) => JSON.stringify(seen) === is)
    return isRight ? [] : [`${repo.did} is ${JSON.stringify(should[0])}, but was told to be ${is}`]
  })
  const known = new Set(listed.map(({ did }) => did))
  const extra = [...repos.keys()].filter((did) => !known.has(did))
  return [
    ...faults,
    ...wrong,
    ...(extra.length > 0 ? [`repos that it does not have were told: ${extra}`] : []),
    ...(end === null ? ['nobody was told of its end'] : []),
  ].map((difference) => `stream of job ${scope.job.index}: ${difference}`)
}

/** As what other jobs have found an account to be gone. */
function goneAs(did: string, { told }: StoredPicture): Seen[] {
  return [...told.values()].flatMap((repos) => {
    const repo = repos.get(did)
    return repo?.status === 'unavailable' ? [{ status: 'unavailable', why: repo.reason! } as const] : []
  })
}

function seenOf({ status, pdsEndpoint, recordsFetched, failure, reason }: RepoView): Seen {
  switch (status) {
    case 'completed':
      return { status, pdsEndpoint: pdsEndpoint!, records: recordsFetched }
    case 'failed':
      return { status, why: failure!.class }
    case 'unavailable':
      return { status, why: reason! }
    case 'waiting':
      return { status }
    default:
      // Another page is not worth telling.
      return { status: 'resolved', pdsEndpoint: pdsEndpoint! }
  }
}
