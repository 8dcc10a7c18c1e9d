import type { Server } from '../../codegen/server/index.js'
import type { ApiContext } from './context.js'
import { createJob } from './createJob.js'
import { describeService } from './describeService.js'
import { getJobStatus } from './getJobStatus.js'
import { listJobRepos } from './listJobRepos.js'
import { listJobs } from './listJobs.js'
import { listRecords } from './listRecords.js'

/** The methods of our lexicons, as the generated server offers them. */
export type Methods = Server['network']['example']['backfill']

/** Every method, in the file named like it. */
export function registerMethods(server: Server, ctx: ApiContext): void {
  const methods = server.network.example.backfill
  createJob(methods, ctx)
  describeService(methods, ctx)
  getJobStatus(methods, ctx)
  listJobRepos(methods, ctx)
  listJobs(methods, ctx)
  listRecords(methods, ctx)
}
