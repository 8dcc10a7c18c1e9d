import type {
  Info,
  JobCompleted,
  JobCounters,
  JobSnapshot,
  JobStageChanged,
  RepoDiscovered,
  RepoFailed,
  RepoFetched,
  RepoResolved,
  RepoUnavailable,
} from '../../codegen/client/types/network/example/backfill/subscribeJob.js'

/** A message under its short name: what the lexicon calls `#repoFetched` is `repoFetched` here. */
export type Named<Type extends string, Message> = { readonly type: Type } & Readonly<Omit<Message, '$type'>>

/** What `subscribeJob` tells. All but `info` have a `seq`, which `cursor` takes. */
export type JobMessage =
  | Named<'jobSnapshot', JobSnapshot>
  | Named<'repoDiscovered', RepoDiscovered>
  | Named<'repoResolved', RepoResolved>
  | Named<'repoFetched', RepoFetched>
  | Named<'repoFailed', RepoFailed>
  | Named<'repoUnavailable', RepoUnavailable>
  | Named<'jobCounters', JobCounters>
  | Named<'jobStageChanged', JobStageChanged>
  | Named<'jobCompleted', JobCompleted>
  | Named<'info', Info>
