import type { Server } from '../../codegen/server/index.js'
import { cancelJob } from './cancelJob.js'
import type { ApiContext } from './context.js'
import { createJob } from './createJob.js'
import { deleteAllJobDetails } from './deleteAllJobDetails.js'
import { deleteCaller } from './deleteCaller.js'
import { deleteJobDetails } from './deleteJobDetails.js'
import { describeService } from './describeService.js'
import { exportRecords } from './exportRecords.js'
import { getJobStatus } from './getJobStatus.js'
import { getPdsSummary } from './getPdsSummary.js'
import { listCallers } from './listCallers.js'
import { listJobRepos } from './listJobRepos.js'
import { listJobs } from './listJobs.js'
import { listRecords } from './listRecords.js'
import { pauseJob } from './pauseJob.js'
import { purgeJob } from './purgeJob.js'
import { putCaller } from './putCaller.js'
import { refreshJob } from './refreshJob.js'
import { resumeJob } from './resumeJob.js'
import { retryJob } from './retryJob.js'
import { Streams } from './streams.js'
import { subscribeJob } from './subscribeJob.js'
import { subscribeRecords } from './subscribeRecords.js'

/** The methods of our lexicons, as the generated server offers them. */
export type Methods = Server['network']['example']['backfill']

/** Every method, in the file named like it. */
export function registerMethods(server: Server, ctx: ApiContext): void {
  const methods = server.network.example.backfill
  const streams = new Streams(ctx)
  cancelJob(methods, ctx)
  deleteAllJobDetails(methods, ctx)
  deleteJobDetails(methods, ctx)
  getPdsSummary(methods, ctx)
  pauseJob(methods, ctx)
  purgeJob(methods, ctx)
  refreshJob(methods, ctx)
  resumeJob(methods, ctx)
  retryJob(methods, ctx)
  createJob(methods, ctx)
  deleteCaller(methods, ctx)
  describeService(methods, ctx)
  exportRecords(methods, ctx, streams)
  getJobStatus(methods, ctx)
  listCallers(methods, ctx)
  listJobRepos(methods, ctx)
  listJobs(methods, ctx)
  listRecords(methods, ctx)
  putCaller(methods, ctx)
  subscribeJob(methods, ctx, streams)
  subscribeRecords(methods, ctx, streams)
}
