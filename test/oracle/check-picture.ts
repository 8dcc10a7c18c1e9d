import type { RepoView } from '../../codegen/client/types/network/example/backfill/defs.js'
import type { Seen } from './consumer.js'
import type { RunJob } from './run.js'

/** What somebody knows who has followed a job, left and come back, is what the list of its repos says. */
export function checkPicture({ consumer, scope }: RunJob, listed: readonly RepoView[]): string[] {
  const { repos, faults, end } = consumer
  const wrong = listed.flatMap((repo) => {
    const should = JSON.stringify(seenOf(repo))
    const is = JSON.stringify(repos.get(repo.did))
    return is === should ? [] : [`${repo.did} is ${should}, but was told to be ${is}`]
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
