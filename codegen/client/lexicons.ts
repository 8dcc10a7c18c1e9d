/**
 * GENERATED CODE - DO NOT MODIFY
 */
import {
  type LexiconDoc,
  Lexicons,
  ValidationError,
  type ValidationResult,
} from '@atproto/lexicon'
import { type $Typed, is$typed, maybe$typed } from './util.js'

export const schemaDict = {
  NetworkExampleBackfillAuthBackfill: {
    lexicon: 1,
    id: 'network.example.backfill.authBackfill',
    defs: {
      main: {
        type: 'permission-set',
        description:
          'What a client needs to have records collected in the name of an account.',
        title: 'Backfill of public records',
        detail:
          'Start and follow backfill jobs in your name, and read the public records that they have collected. Nothing in your account is changed.',
        permissions: [
          {
            type: 'permission',
            resource: 'rpc',
            inheritAud: true,
            lxm: [
              'network.example.backfill.cancelJob',
              'network.example.backfill.createJob',
              'network.example.backfill.deleteAllJobDetails',
              'network.example.backfill.deleteJobDetails',
              'network.example.backfill.exportRecords',
              'network.example.backfill.getJobStatus',
              'network.example.backfill.getPdsSummary',
              'network.example.backfill.listJobRepos',
              'network.example.backfill.listJobs',
              'network.example.backfill.listRecords',
              'network.example.backfill.pauseJob',
              'network.example.backfill.purgeJob',
              'network.example.backfill.refreshJob',
              'network.example.backfill.resumeJob',
              'network.example.backfill.retryJob',
              'network.example.backfill.subscribeJob',
              'network.example.backfill.subscribeRecords',
            ],
          },
        ],
      },
    },
  },
  NetworkExampleBackfillCancelJob: {
    lexicon: 1,
    id: 'network.example.backfill.cancelJob',
    defs: {
      main: {
        type: 'procedure',
        description:
          "Ends a job before its time, whether it is running, pausing or paused. The answer comes at once, with the status 'cancelling'; the job is 'cancelled' when nothing is in flight any more. What was fetched stays. Asking again while it is cancelling gives the job as it is. Requires service auth and the permission 'create'.",
        input: {
          encoding: 'application/json',
          schema: {
            type: 'object',
            required: ['job'],
            properties: {
              job: {
                type: 'string',
                format: 'tid',
                description: "The job's id.",
              },
            },
          },
        },
        output: {
          encoding: 'application/json',
          schema: {
            type: 'ref',
            ref: 'lex:network.example.backfill.defs#jobView',
          },
        },
        errors: [
          {
            name: 'JobNotFound',
            description:
              "There is no such job, or it is not the caller's to see; the two are not told apart.",
          },
          {
            name: 'InvalidState',
            description: 'The job has ended already.',
          },
          {
            name: 'NotPermitted',
            description: "The caller lacks the permission 'create'.",
          },
        ],
      },
    },
  },
  NetworkExampleBackfillCreateJob: {
    lexicon: 1,
    id: 'network.example.backfill.createJob',
    defs: {
      main: {
        type: 'procedure',
        description:
          "Starts a job: every record of the named collections, in the named repos, in every repo on the named hosts, or in all that the relays list for these collections. All or nothing: one bad entry refuses the request, and the message names each bad one. Without repos and hosts, a job of every collection or of a prefix means the whole network: the relays name the hosts, and each host is asked for all of its repos. Requires service auth and the permission 'create', for the whole network 'admin'.",
        input: {
          encoding: 'application/json',
          schema: {
            type: 'object',
            properties: {
              collections: {
                type: 'array',
                description: 'Left out: every collection.',
                minLength: 1,
                maxLength: 100,
                items: {
                  type: 'string',
                  maxLength: 319,
                  description:
                    "An NSID, or a prefix of at least two segments such as 'com.example.feed.*', which stands for every collection below it at any depth. Relays list repos for single collections only.",
                },
              },
              repos: {
                type: 'array',
                description:
                  'Left out, without hosts: the relays are asked which repos have the collections.',
                minLength: 1,
                maxLength: 1000,
                items: {
                  type: 'string',
                  maxLength: 2048,
                  description: 'A DID or a handle.',
                },
              },
              hosts: {
                type: 'array',
                description:
                  'Every repo that these PDSs list, whatever its collections. Not together with repos.',
                minLength: 1,
                maxLength: 100,
                items: {
                  type: 'string',
                  maxLength: 2048,
                  description:
                    'A hostname, with the port if it is not the default one.',
                },
              },
              method: {
                type: 'ref',
                ref: 'lex:network.example.backfill.defs#requestedMethod',
                description: "Left out: 'auto'.",
              },
              level: {
                type: 'ref',
                ref: 'lex:network.example.backfill.defs#level',
                description:
                  "The least that a repo must reach to be completed. Left out: 'content'.",
              },
              clientToken: {
                type: 'string',
                minLength: 1,
                maxLength: 128,
                description:
                  'Makes the request repeatable: the same token and input from the same caller give the same job.',
              },
              name: {
                type: 'string',
                maxLength: 1280,
                maxGraphemes: 128,
                description: "The caller's own name for the job.",
              },
            },
          },
        },
        output: {
          encoding: 'application/json',
          schema: {
            type: 'ref',
            ref: 'lex:network.example.backfill.defs#jobView',
          },
        },
        errors: [
          {
            name: 'InvalidCollection',
            description:
              'Entries of collections are neither an NSID nor a usable prefix.',
          },
          {
            name: 'InvalidRepo',
            description:
              'Entries of repos are neither a DID nor a handle, or are handles that no account answers to.',
          },
          {
            name: 'InvalidHost',
            description:
              'Entries of hosts are not the names of hosts that may be asked.',
          },
          {
            name: 'ScopeTooBroad',
            description:
              "The job would mean crawling the whole network, for which the caller lacks the permission 'admin'.",
          },
          {
            name: 'ClientTokenConflict',
            description:
              'The caller has used this client token before, with another input.',
          },
          {
            name: 'LevelNotOffered',
            description:
              'The level is not to be had by the requested method: list-records proves no signature.',
          },
          {
            name: 'QuotaExceeded',
            description:
              'The caller has as many unfinished jobs as it may have, or names more repos than a job of its may have.',
          },
          {
            name: 'NotPermitted',
            description: "The caller lacks the permission 'create'.",
          },
          {
            name: 'DirectoryUnavailable',
            description:
              'A handle cannot be looked up now; the same request may succeed later.',
          },
        ],
      },
    },
  },
  NetworkExampleBackfillDefs: {
    lexicon: 1,
    id: 'network.example.backfill.defs',
    description:
      'What the backfill methods share: jobs, repos, receipts and records.',
    defs: {
      jobView: {
        type: 'object',
        description: 'A backfill job and how far it has come.',
        required: [
          'id',
          'caller',
          'method',
          'level',
          'status',
          'stage',
          'totalRepos',
          'resolvedRepos',
          'processedRepos',
          'completedRepos',
          'unavailableRepos',
          'failedRepos',
          'totalRecords',
          'createdAt',
        ],
        properties: {
          id: {
            type: 'string',
            format: 'tid',
            description:
              "What other methods take as 'job'. Later jobs have greater ids.",
          },
          caller: {
            type: 'string',
            format: 'did',
            description: 'Who asked for the job, and owns it.',
          },
          name: {
            type: 'string',
            maxLength: 1280,
            maxGraphemes: 128,
            description: "The caller's own name for the job.",
          },
          collections: {
            type: 'array',
            description:
              'The collections asked for, as they were asked for. Absent: every collection.',
            maxLength: 100,
            items: {
              type: 'string',
              maxLength: 319,
              description: "An NSID, or a prefix such as 'com.example.feed.*'.",
            },
          },
          repoCount: {
            type: 'integer',
            minimum: 0,
            description:
              'How many repos the caller named. Absent: the repos are discovered.',
          },
          hosts: {
            type: 'array',
            description:
              'The hosts whose repos were asked for. Absent: the job is not limited to hosts.',
            maxLength: 100,
            items: {
              type: 'ref',
              ref: 'lex:network.example.backfill.defs#jobHost',
            },
          },
          method: {
            type: 'ref',
            ref: 'lex:network.example.backfill.defs#requestedMethod',
          },
          level: {
            type: 'ref',
            ref: 'lex:network.example.backfill.defs#level',
            description: 'The least that every completed repo has reached.',
          },
          status: {
            type: 'ref',
            ref: 'lex:network.example.backfill.defs#jobStatus',
          },
          stage: {
            type: 'ref',
            ref: 'lex:network.example.backfill.defs#jobStage',
          },
          discoveryComplete: {
            type: 'boolean',
            description:
              'Whether every repo of the job is known, so that totalRepos no longer grows.',
          },
          totalRepos: {
            type: 'integer',
            minimum: 0,
            description: 'Repos known so far.',
          },
          resolvedRepos: {
            type: 'integer',
            minimum: 0,
            description: 'Repos whose PDS has been found.',
          },
          processedRepos: {
            type: 'integer',
            minimum: 0,
            description:
              'Repos with an outcome: completedRepos + unavailableRepos + failedRepos.',
          },
          completedRepos: {
            type: 'integer',
            minimum: 0,
            description: 'Repos whose whole record set is stored.',
          },
          unavailableRepos: {
            type: 'integer',
            minimum: 0,
            description:
              'Repos whose account is deactivated, taken down, suspended or gone.',
          },
          failedRepos: {
            type: 'integer',
            minimum: 0,
            description: 'Repos given up, for the reasons in failures.',
          },
          totalRecords: {
            type: 'integer',
            minimum: 0,
            description: 'Records fetched so far, in all repos.',
          },
          failures: {
            type: 'array',
            description: 'The failed repos by class.',
            items: {
              type: 'ref',
              ref: 'lex:network.example.backfill.defs#failureCount',
            },
          },
          startCursors: {
            type: 'array',
            description:
              "Where each relay's firehose stood just before anything of the job was read. To go on live without a gap, replay from here and apply an event only if its rev is greater than that of the repo's receipt, or if the receipt has none. A relay whose position could not be had is missing: what it alone tells cannot be joined without a gap.",
            items: {
              type: 'ref',
              ref: 'lex:network.example.backfill.defs#startCursor',
            },
          },
          error: {
            type: 'string',
            maxLength: 4000,
            description:
              'Why the job failed, for people to read. What single repos failed with is in failures.',
          },
          createdAt: {
            type: 'string',
            format: 'datetime',
          },
          startedAt: {
            type: 'string',
            format: 'datetime',
          },
          completedAt: {
            type: 'string',
            format: 'datetime',
            description:
              'When the job ended, whether it was completed, failed or was cancelled.',
          },
          refreshes: {
            type: 'string',
            format: 'tid',
            description:
              'The job that this one repeats, to find what has changed since.',
          },
          purge: {
            type: 'string',
            description:
              "What has become of the job's records, if they were to go: 'purging' while they go, 'purged' when those are gone that no other job needs.",
            maxLength: 64,
            knownValues: ['purging', 'purged'],
          },
          manifest: {
            type: 'ref',
            ref: 'lex:network.example.backfill.defs#manifestView',
            description:
              'What the service has signed of every repo of the job. Absent until it is made, which begins when the job has ended and takes some time if there are many repos; a job that is tried again gets a new one when it has ended anew.',
          },
        },
      },
      manifestView: {
        type: 'object',
        description:
          "The manifest of a job that has ended: JSON lines with the receipt of each completed repo and the outcome of every other, in the order of their DIDs, and a last line that sums them up and is signed with the service's key. The receipts are those that the repos had when it was made. The document is kept with the job's details, this much of it for as long as the job.",
        required: ['hash', 'receipts', 'createdAt'],
        properties: {
          hash: {
            type: 'string',
            minLength: 64,
            maxLength: 64,
            description: 'SHA-256 of the whole document, in hexadecimal.',
          },
          receipts: {
            type: 'integer',
            minimum: 0,
            description: 'How many repos have a receipt in it.',
          },
          createdAt: {
            type: 'string',
            format: 'datetime',
          },
        },
      },
      jobHost: {
        type: 'object',
        description: 'A host that a job is limited to.',
        required: ['hostname'],
        properties: {
          hostname: {
            type: 'string',
            maxLength: 259,
            description:
              'Host name, with the port if it is not the default one.',
          },
        },
      },
      jobStatus: {
        type: 'string',
        description:
          "What a job does. 'pausing' and 'cancelling' last until the work in flight has stopped; 'cancelled', 'completed' and 'failed' are ends.",
        maxLength: 64,
        knownValues: [
          'running',
          'pausing',
          'paused',
          'cancelling',
          'cancelled',
          'completed',
          'failed',
        ],
      },
      jobStage: {
        type: 'string',
        description:
          "What part of its work a job has reached. 'resolving-and-fetching' begins with the first repos found; discoveryComplete says whether more may come.",
        maxLength: 64,
        knownValues: [
          'pending',
          'discovering-repos',
          'resolving-and-fetching',
          'completed',
          'failed',
          'cancelled',
        ],
      },
      requestedMethod: {
        type: 'string',
        description:
          "How records are to be fetched: 'list-records' pages through com.atproto.repo.listRecords, 'get-repo' downloads whole repos, 'sparse' reads only the wanted part of a repo's tree, 'auto' leaves the choice to the service, repo by repo.",
        maxLength: 64,
        knownValues: ['auto', 'list-records', 'get-repo', 'sparse'],
      },
      method: {
        type: 'string',
        description:
          "How a repo's records were fetched; 'unchanged' if those of an earlier receipt were still current and nothing had to be fetched.",
        maxLength: 64,
        knownValues: ['list-records', 'get-repo', 'sparse', 'unchanged'],
      },
      level: {
        type: 'string',
        description:
          "How far records are proven. 'signed': part of a tree whose root the account has signed, and nothing of it is missing. 'content': each value has the CID it was given with. 'none': taken as the host gave them.",
        maxLength: 64,
        knownValues: ['signed', 'content', 'none'],
      },
      failureClass: {
        type: 'string',
        description:
          'Why a repo failed: nobody gave a definite answer, so that trying again may help (retryable), or somebody did.',
        maxLength: 64,
        knownValues: [
          'host-unavailable',
          'dns-failure',
          'connection-failed',
          'timeout',
          'host-error',
          'bad-response',
          'incomplete-car',
          'too-slow',
          'directory-unavailable',
          'did-not-found',
          'did-invalid',
          'host-blocked',
          'repo-not-found',
          'body-too-large',
          'cursor-loop',
          'cid-mismatch',
          'bad-signature',
          'did-mismatch',
          'bad-tree',
          'rev-regressed',
          'unverifiable',
        ],
      },
      unavailableReason: {
        type: 'string',
        description:
          "Why an account's records are not to be had, as its host or its DID says.",
        maxLength: 64,
        knownValues: [
          'deactivated',
          'takendown',
          'suspended',
          'deleted',
          'tombstoned',
        ],
      },
      failureCount: {
        type: 'object',
        description: 'How many repos of a job failed in one way.',
        required: ['class', 'count', 'retryable'],
        properties: {
          class: {
            type: 'ref',
            ref: 'lex:network.example.backfill.defs#failureClass',
          },
          count: {
            type: 'integer',
            minimum: 0,
          },
          retryable: {
            type: 'boolean',
            description: 'Whether trying again may help.',
          },
        },
      },
      startCursor: {
        type: 'object',
        description: "A position in a relay's firehose.",
        required: ['relay', 'seq'],
        properties: {
          relay: {
            type: 'string',
            format: 'uri',
            description: "The relay's origin.",
          },
          seq: {
            type: 'integer',
            minimum: 0,
            description:
              'A cursor for com.atproto.sync.subscribeRepos on this relay.',
          },
        },
      },
      repoStatus: {
        type: 'string',
        description:
          "How far a repo of a job has come. 'completed', 'unavailable' and 'failed' are outcomes; there is no other.",
        maxLength: 64,
        knownValues: [
          'waiting',
          'resolved',
          'fetching',
          'completed',
          'unavailable',
          'failed',
        ],
      },
      repoView: {
        type: 'object',
        description: 'One repo of a job.',
        required: ['did', 'status', 'recordsFetched', 'attempts'],
        properties: {
          did: {
            type: 'string',
            format: 'did',
          },
          handle: {
            type: 'string',
            format: 'handle',
          },
          pdsEndpoint: {
            type: 'string',
            format: 'uri',
            description: "The origin of the account's PDS, once it is known.",
          },
          status: {
            type: 'ref',
            ref: 'lex:network.example.backfill.defs#repoStatus',
          },
          recordsFetched: {
            type: 'integer',
            minimum: 0,
            description: 'Records fetched so far.',
          },
          attempts: {
            type: 'integer',
            minimum: 0,
            description:
              'Tries used up. Waiting because a host asks for it does not use one up.',
          },
          retryAt: {
            type: 'string',
            format: 'datetime',
            description: 'When the next try is due.',
          },
          failure: {
            type: 'ref',
            ref: 'lex:network.example.backfill.defs#failureView',
            description:
              "What went wrong: for good if status is 'failed', else on the last try.",
          },
          reason: {
            type: 'ref',
            ref: 'lex:network.example.backfill.defs#unavailableReason',
            description: "Set if status is 'unavailable'.",
          },
          receipt: {
            type: 'ref',
            ref: 'lex:network.example.backfill.defs#receiptView',
            description: "Set if status is 'completed'.",
          },
        },
      },
      failureView: {
        type: 'object',
        description: 'Why a repo could not be fetched.',
        required: ['class', 'message', 'retryable'],
        properties: {
          class: {
            type: 'ref',
            ref: 'lex:network.example.backfill.defs#failureClass',
          },
          message: {
            type: 'string',
            maxLength: 2000,
            description: 'For people to read.',
          },
          retryable: {
            type: 'boolean',
            description: 'Whether trying again may help.',
          },
        },
      },
      receiptView: {
        type: 'object',
        description:
          "The verdict on one repo: what its record set for the job's collections is, and how far that is proven.",
        required: [
          'did',
          'counts',
          'totalRecords',
          'method',
          'level',
          'pdsEndpoint',
          'completedAt',
        ],
        properties: {
          did: {
            type: 'string',
            format: 'did',
          },
          rev: {
            type: 'string',
            format: 'tid',
            description:
              'The revision of the repo that this is the record set of. Absent if the method gives none.',
          },
          dataCid: {
            type: 'string',
            format: 'cid',
            description:
              "The root of the repo's tree at that revision, where the method shows it.",
          },
          counts: {
            type: 'array',
            description: 'The records of each collection that has any.',
            items: {
              type: 'ref',
              ref: 'lex:network.example.backfill.defs#collectionCount',
            },
          },
          totalRecords: {
            type: 'integer',
            minimum: 0,
            description: 'The sum of counts, unreadable records included.',
          },
          method: {
            type: 'ref',
            ref: 'lex:network.example.backfill.defs#method',
          },
          level: {
            type: 'ref',
            ref: 'lex:network.example.backfill.defs#level',
            description: 'What every one of the records has reached.',
          },
          pdsEndpoint: {
            type: 'string',
            format: 'uri',
            description: 'The origin the records came from.',
          },
          completedAt: {
            type: 'string',
            format: 'datetime',
          },
          unreadableCount: {
            type: 'integer',
            minimum: 0,
            description:
              "Records that the repo's tree names but whose bytes are not valid atproto data: they are delivered without value. Absent: none.",
          },
          unreadable: {
            type: 'array',
            description: 'The first hundred of these.',
            maxLength: 100,
            items: {
              type: 'ref',
              ref: 'lex:network.example.backfill.defs#recordView',
            },
          },
        },
      },
      collectionCount: {
        type: 'object',
        description: 'How many records of one collection a repo has.',
        required: ['collection', 'count'],
        properties: {
          collection: {
            type: 'string',
            format: 'nsid',
          },
          count: {
            type: 'integer',
            minimum: 0,
          },
        },
      },
      deletedRecordView: {
        type: 'object',
        description: 'A record that is gone.',
        required: ['uri'],
        properties: {
          uri: {
            type: 'string',
            format: 'at-uri',
          },
          rev: {
            type: 'string',
            format: 'tid',
            description:
              'The revision at which it was found to be gone. Absent if the method gives none.',
          },
        },
      },
      recordView: {
        type: 'object',
        description: 'A record, as com.atproto.repo.listRecords gives it.',
        required: ['uri', 'cid'],
        properties: {
          uri: {
            type: 'string',
            format: 'at-uri',
          },
          cid: {
            type: 'string',
            format: 'cid',
          },
          value: {
            type: 'unknown',
            description:
              "The record itself. Absent if the repo's tree names the record but its bytes are not valid atproto data.",
          },
        },
      },
      hostView: {
        type: 'object',
        description:
          'A host of a job: what became of its repos, and whether it can be asked now.',
        required: [
          'pdsEndpoint',
          'totalRepos',
          'completedRepos',
          'failedRepos',
          'unavailableRepos',
          'totalRecords',
          'state',
        ],
        properties: {
          pdsEndpoint: {
            type: 'string',
            format: 'uri',
            description: "The PDS's origin.",
          },
          totalRepos: {
            type: 'integer',
            minimum: 0,
            description: 'Repos of the job on this host.',
          },
          completedRepos: {
            type: 'integer',
            minimum: 0,
          },
          failedRepos: {
            type: 'integer',
            minimum: 0,
          },
          unavailableRepos: {
            type: 'integer',
            minimum: 0,
          },
          totalRecords: {
            type: 'integer',
            minimum: 0,
            description: 'Records fetched from it so far.',
          },
          state: {
            type: 'ref',
            ref: 'lex:network.example.backfill.defs#hostState',
          },
          resumesAt: {
            type: 'string',
            format: 'datetime',
            description: "When it will be asked again, if state is not 'ok'.",
          },
        },
      },
      hostState: {
        type: 'string',
        description:
          "Whether a host can be asked: 'ok', 'cooling' while it wants to be left alone, 'parked' while it has been given up for some time.",
        maxLength: 64,
        knownValues: ['ok', 'cooling', 'parked'],
      },
      hostAggregate: {
        type: 'object',
        description: 'Many hosts in one.',
        required: [
          'hosts',
          'totalRepos',
          'completedRepos',
          'failedRepos',
          'unavailableRepos',
          'totalRecords',
        ],
        properties: {
          hosts: {
            type: 'integer',
            minimum: 0,
            description: 'How many hosts these are.',
          },
          totalRepos: {
            type: 'integer',
            minimum: 0,
          },
          completedRepos: {
            type: 'integer',
            minimum: 0,
          },
          failedRepos: {
            type: 'integer',
            minimum: 0,
          },
          unavailableRepos: {
            type: 'integer',
            minimum: 0,
          },
          totalRecords: {
            type: 'integer',
            minimum: 0,
          },
        },
      },
      permission: {
        type: 'string',
        description:
          "What a caller may do. 'read': look at its jobs and their records. 'create': start and steer jobs. 'admin': all of it, for the jobs of everybody, and manage callers.",
        maxLength: 64,
        knownValues: ['read', 'create', 'admin'],
      },
      quotas: {
        type: 'object',
        description: "What a caller may use. Left out: the service's default.",
        properties: {
          runningJobs: {
            type: 'integer',
            minimum: 0,
            description: 'Jobs that have not ended, at the same time.',
          },
          reposPerJob: {
            type: 'integer',
            minimum: 0,
            description: 'Repos of one job, named or discovered.',
          },
          requestsPerMinute: {
            type: 'integer',
            minimum: 0,
            description: 'Requests in one minute, to all methods together.',
          },
          streams: {
            type: 'integer',
            minimum: 0,
            description:
              'Streams open at the same time at each process of the service: of exportRecords, subscribeRecords and subscribeJob together.',
          },
        },
      },
      callerView: {
        type: 'object',
        description: 'Who may call, and what it may do.',
        required: ['did', 'permissions', 'quotas', 'jobsOf', 'configured'],
        properties: {
          did: {
            type: 'string',
            format: 'did',
          },
          permissions: {
            type: 'array',
            items: {
              type: 'ref',
              ref: 'lex:network.example.backfill.defs#grantedPermission',
            },
          },
          quotas: {
            type: 'ref',
            ref: 'lex:network.example.backfill.defs#quotas',
            description:
              'Those in force, defaults included. Absent in it: no limit.',
          },
          jobsOf: {
            type: 'array',
            description:
              'Other callers whose jobs it may read as if they were its own.',
            items: {
              type: 'ref',
              ref: 'lex:network.example.backfill.defs#readableCaller',
            },
          },
          configured: {
            type: 'boolean',
            description:
              "Whether the service's own settings name this caller: then it is known even after deleteCaller.",
          },
          createdAt: {
            type: 'string',
            format: 'datetime',
          },
          updatedAt: {
            type: 'string',
            format: 'datetime',
          },
        },
      },
      grantedPermission: {
        type: 'object',
        required: ['name'],
        properties: {
          name: {
            type: 'ref',
            ref: 'lex:network.example.backfill.defs#permission',
          },
        },
      },
      readableCaller: {
        type: 'object',
        required: ['did'],
        properties: {
          did: {
            type: 'string',
            format: 'did',
          },
        },
      },
    },
  },
  NetworkExampleBackfillDeleteAllJobDetails: {
    lexicon: 1,
    id: 'network.example.backfill.deleteAllJobDetails',
    defs: {
      main: {
        type: 'procedure',
        description:
          "Deletes the lists of repos of all jobs of the caller that have ended. The jobs themselves and their counters stay, and so do the records. Requires service auth and the permission 'create'.",
        output: {
          encoding: 'application/json',
          schema: {
            type: 'object',
            required: ['jobs', 'deletedRepos'],
            properties: {
              jobs: {
                type: 'integer',
                minimum: 0,
                description: 'How many jobs lost their list of repos.',
              },
              deletedRepos: {
                type: 'integer',
                minimum: 0,
                description: 'How many repos these lists had.',
              },
            },
          },
        },
        errors: [
          {
            name: 'NotPermitted',
            description: "The caller lacks the permission 'create'.",
          },
        ],
      },
    },
  },
  NetworkExampleBackfillDeleteCaller: {
    lexicon: 1,
    id: 'network.example.backfill.deleteCaller',
    defs: {
      main: {
        type: 'procedure',
        description:
          "Forgets what putCaller said of a caller, which is then treated like any other. Its jobs stay. Requires service auth and the permission 'admin'.",
        input: {
          encoding: 'application/json',
          schema: {
            type: 'object',
            required: ['did'],
            properties: {
              did: {
                type: 'string',
                format: 'did',
              },
            },
          },
        },
        output: {
          encoding: 'application/json',
          schema: {
            type: 'object',
            properties: {},
          },
        },
        errors: [
          {
            name: 'CallerNotFound',
            description: 'putCaller has said nothing of this caller.',
          },
          {
            name: 'NotPermitted',
            description: "The caller lacks the permission 'admin'.",
          },
        ],
      },
    },
  },
  NetworkExampleBackfillDeleteJobDetails: {
    lexicon: 1,
    id: 'network.example.backfill.deleteJobDetails',
    defs: {
      main: {
        type: 'procedure',
        description:
          "Deletes the list of repos of a job that has ended. The job itself and its counters stay, and so do the records; what is listed repo by repo is gone for good. Repeating it does no harm. Requires service auth and the permission 'create'.",
        input: {
          encoding: 'application/json',
          schema: {
            type: 'object',
            required: ['job'],
            properties: {
              job: {
                type: 'string',
                format: 'tid',
                description: "The job's id.",
              },
            },
          },
        },
        output: {
          encoding: 'application/json',
          schema: {
            type: 'object',
            required: ['deletedRepos'],
            properties: {
              deletedRepos: {
                type: 'integer',
                minimum: 0,
                description:
                  'How many repos the list had; 0 if it was deleted before.',
              },
            },
          },
        },
        errors: [
          {
            name: 'JobNotFound',
            description:
              "There is no such job, or it is not the caller's to see; the two are not told apart.",
          },
          {
            name: 'InvalidState',
            description: 'The job has not ended.',
          },
          {
            name: 'NotPermitted',
            description: "The caller lacks the permission 'create'.",
          },
        ],
      },
    },
  },
  NetworkExampleBackfillDescribeService: {
    lexicon: 1,
    id: 'network.example.backfill.describeService',
    defs: {
      main: {
        type: 'query',
        description:
          'Describes the service: who it is, and what may be asked of it. Requires no auth.',
        output: {
          encoding: 'application/json',
          schema: {
            type: 'object',
            required: [
              'did',
              'version',
              'relays',
              'limits',
              'endpoints',
              'methods',
              'levels',
            ],
            properties: {
              did: {
                type: 'string',
                format: 'did',
                description: 'The audience of service auth tokens.',
              },
              version: {
                type: 'string',
                maxLength: 64,
                description: 'The version of the software.',
              },
              relays: {
                type: 'array',
                description: 'The relays that are asked for repos.',
                items: {
                  type: 'ref',
                  ref: 'lex:network.example.backfill.describeService#relay',
                },
              },
              limits: {
                type: 'ref',
                ref: 'lex:network.example.backfill.describeService#limits',
              },
              endpoints: {
                type: 'array',
                description: 'The XRPC methods that the service answers.',
                items: {
                  type: 'ref',
                  ref: 'lex:network.example.backfill.describeService#endpoint',
                },
              },
              methods: {
                type: 'array',
                description: 'What createJob takes as method.',
                items: {
                  type: 'ref',
                  ref: 'lex:network.example.backfill.describeService#offeredMethod',
                },
              },
              levels: {
                type: 'array',
                description: 'What createJob takes as level.',
                items: {
                  type: 'ref',
                  ref: 'lex:network.example.backfill.describeService#offeredLevel',
                },
              },
            },
          },
        },
      },
      relay: {
        type: 'object',
        required: ['url'],
        properties: {
          url: {
            type: 'string',
            format: 'uri',
            description: "The relay's origin.",
          },
        },
      },
      limits: {
        type: 'object',
        description:
          'What one request to createJob may hold, and the quotas of a caller that has none of its own.',
        required: ['maxCollections', 'maxRepos', 'maxInputBytes'],
        properties: {
          maxCollections: {
            type: 'integer',
            minimum: 1,
            description: 'Entries of collections.',
          },
          maxRepos: {
            type: 'integer',
            minimum: 1,
            description: 'Entries of repos.',
          },
          maxInputBytes: {
            type: 'integer',
            minimum: 1,
            description: 'Size of the whole body.',
          },
          runningJobs: {
            type: 'integer',
            minimum: 0,
            description:
              'Jobs of one caller that have not ended, at the same time. Absent: no limit.',
          },
          reposPerJob: {
            type: 'integer',
            minimum: 0,
            description:
              'Repos of one job, named or discovered. Absent: no limit.',
          },
          requestsPerMinute: {
            type: 'integer',
            minimum: 0,
            description:
              'Requests of one caller in a minute. Absent: no limit.',
          },
          streams: {
            type: 'integer',
            minimum: 0,
            description:
              'Streams of one caller open at the same time at each process of the service: of exportRecords, subscribeRecords and subscribeJob together. Absent: no limit.',
          },
        },
      },
      endpoint: {
        type: 'object',
        required: ['nsid'],
        properties: {
          nsid: {
            type: 'string',
            format: 'nsid',
          },
        },
      },
      offeredMethod: {
        type: 'object',
        required: ['name'],
        properties: {
          name: {
            type: 'ref',
            ref: 'lex:network.example.backfill.defs#requestedMethod',
          },
        },
      },
      offeredLevel: {
        type: 'object',
        required: ['name'],
        properties: {
          name: {
            type: 'ref',
            ref: 'lex:network.example.backfill.defs#level',
          },
        },
      },
    },
  },
  NetworkExampleBackfillExportRecords: {
    lexicon: 1,
    id: 'network.example.backfill.exportRecords',
    defs: {
      main: {
        type: 'query',
        description:
          "Streams what a job has fetched so far as JSON lines: repo by repo in the order in which they were completed, within a repo by collection and record key. A record's line is {\"uri\",\"cid\",\"value\"}, as in '#recordView' of defs; every other line has a '$type', which is one of the definitions here. The last line is '#trailer': a stream without one is broken off. Compressed by gzip or zstd where Accept-Encoding asks for it. Requires service auth and the permission 'read'.",
        parameters: {
          type: 'params',
          required: ['job'],
          properties: {
            job: {
              type: 'string',
              format: 'tid',
              description: "The job's id.",
            },
            collection: {
              type: 'string',
              format: 'nsid',
              description: 'Only records of this collection.',
            },
            repo: {
              type: 'string',
              format: 'at-identifier',
              description: 'Only records of this account.',
            },
            changes: {
              type: 'boolean',
              default: false,
              description:
                "Of a job that refreshes another one: whether to leave out what there was then. A repo that is closed with 'since' comes with what has changed since that rev; any other comes whole, and what is known of it from before does not count any more.",
            },
            cursor: {
              type: 'integer',
              minimum: 0,
              description:
                'Only repos that were completed after this: the cursor of a line of an earlier stream, or a seq of subscribeRecords.',
            },
            manifest: {
              type: 'boolean',
              default: false,
              description:
                'Gives the manifest of a job that has ended instead: a line for each repo and a signed last line, for the whole job. None of collection, repo and cursor goes with it.',
            },
          },
        },
        output: {
          encoding: 'application/jsonl',
        },
        errors: [
          {
            name: 'JobNotFound',
            description:
              "There is no such job, or it is not the caller's to see; the two are not told apart.",
          },
          {
            name: 'DetailsDeleted',
            description:
              "The job's list of repos has been deleted, so it no longer says which records are its own.",
          },
          {
            name: 'ManifestNotReady',
            description:
              "The job has not ended, or its manifest is still being made: it is there once the job's view has 'manifest'.",
          },
          {
            name: 'FutureCursor',
            description: 'The cursor is ahead of the job.',
          },
          {
            name: 'QuotaExceeded',
            description: 'The caller has as many streams open as it may have.',
          },
          {
            name: 'NotPermitted',
            description: "The caller lacks the permission 'read'.",
          },
          {
            name: 'DirectoryUnavailable',
            description:
              'The handle in repo cannot be looked up now; the same request may succeed later.',
          },
        ],
      },
      repoComplete: {
        type: 'object',
        description: "A repo's whole record set is in the lines before.",
        required: ['cursor', 'receipt'],
        properties: {
          cursor: {
            type: 'integer',
            minimum: 0,
            description: 'What cursor takes to go on after this repo.',
          },
          since: {
            type: 'string',
            format: 'tid',
            description:
              'Where only changes were asked for: these are what has changed since this revision. Absent: these are all records there are.',
          },
          receipt: {
            type: 'ref',
            ref: 'lex:network.example.backfill.defs#receiptView',
            description:
              'The verdict on the repo as it is now; another job may have renewed it.',
          },
        },
      },
      recordDeleted: {
        type: 'object',
        description: 'A record is gone, where only changes were asked for.',
        required: ['uri'],
        properties: {
          uri: {
            type: 'string',
            format: 'at-uri',
          },
          rev: {
            type: 'string',
            format: 'tid',
            description:
              'The revision at which it was found to be gone. Absent if the method gives none.',
          },
        },
      },
      repoUnavailable: {
        type: 'object',
        description:
          'A repo has no records to be had: what of them was handed over before does not count any more.',
        required: ['cursor', 'did', 'reason'],
        properties: {
          cursor: {
            type: 'integer',
            minimum: 0,
            description: 'What cursor takes to go on after this repo.',
          },
          did: {
            type: 'string',
            format: 'did',
          },
          reason: {
            type: 'ref',
            ref: 'lex:network.example.backfill.defs#unavailableReason',
          },
        },
      },
      repoRestarted: {
        type: 'object',
        description:
          'What the lines before have of a repo does not count, if there is any: it was renewed while it was read, or its account has changed since then. It follows again, unless it is gone.',
        required: ['did'],
        properties: {
          did: {
            type: 'string',
            format: 'did',
          },
        },
      },
      trailer: {
        type: 'object',
        description:
          'The last line of a whole stream: every repo that had an outcome when the stream began, and is asked for, is in the lines before with all of its records, as its receipt has them; or it is counted here, as it has none.',
        required: ['records', 'sha256', 'cursor', 'jobEnded'],
        properties: {
          records: {
            type: 'integer',
            minimum: 0,
            description: 'How many lines are records.',
          },
          sha256: {
            type: 'string',
            maxLength: 64,
            description:
              'Over all bytes before this line, uncompressed; hexadecimal.',
          },
          cursor: {
            type: 'integer',
            minimum: 0,
            description: 'What cursor takes for what is completed later.',
          },
          jobEnded: {
            type: 'boolean',
            description:
              'Whether the job had ended when the stream began, so that nothing more comes.',
          },
          failedRepos: {
            type: 'integer',
            minimum: 0,
            description:
              'How many repos, of those asked for, were not fetched, because that failed. They are in no line.',
          },
          unavailableRepos: {
            type: 'integer',
            minimum: 0,
            description:
              'How many lines say that a repo has no records to be had.',
          },
        },
      },
    },
  },
  NetworkExampleBackfillGetJobStatus: {
    lexicon: 1,
    id: 'network.example.backfill.getJobStatus',
    defs: {
      main: {
        type: 'query',
        description:
          "Gets one job and how far it has come. Requires service auth and the permission 'read'.",
        parameters: {
          type: 'params',
          required: ['job'],
          properties: {
            job: {
              type: 'string',
              format: 'tid',
              description: "The job's id.",
            },
          },
        },
        output: {
          encoding: 'application/json',
          schema: {
            type: 'ref',
            ref: 'lex:network.example.backfill.defs#jobView',
          },
        },
        errors: [
          {
            name: 'JobNotFound',
            description:
              "There is no such job, or it is not the caller's to see; the two are not told apart.",
          },
          {
            name: 'NotPermitted',
            description: "The caller lacks the permission 'read'.",
          },
        ],
      },
    },
  },
  NetworkExampleBackfillGetPdsSummary: {
    lexicon: 1,
    id: 'network.example.backfill.getPdsSummary',
    defs: {
      main: {
        type: 'query',
        description:
          "Lists all hosts of a job by how many of its repos they have, most first. Repos whose host is not known yet are not counted. Requires service auth and the permission 'read'.",
        parameters: {
          type: 'params',
          required: ['job'],
          properties: {
            job: {
              type: 'string',
              format: 'tid',
              description: "The job's id.",
            },
          },
        },
        output: {
          encoding: 'application/json',
          schema: {
            type: 'object',
            required: ['pdsEndpoints'],
            properties: {
              pdsEndpoints: {
                type: 'array',
                maxLength: 10000,
                items: {
                  type: 'ref',
                  ref: 'lex:network.example.backfill.defs#hostView',
                },
              },
              others: {
                type: 'ref',
                ref: 'lex:network.example.backfill.defs#hostAggregate',
                description:
                  'The hosts beyond the first 10,000. Absent: there are none.',
              },
            },
          },
        },
        errors: [
          {
            name: 'JobNotFound',
            description:
              "There is no such job, or it is not the caller's to see; the two are not told apart.",
          },
          {
            name: 'DetailsDeleted',
            description: "The job's list of repos has been deleted.",
          },
          {
            name: 'NotPermitted',
            description: "The caller lacks the permission 'read'.",
          },
        ],
      },
    },
  },
  NetworkExampleBackfillListCallers: {
    lexicon: 1,
    id: 'network.example.backfill.listCallers',
    defs: {
      main: {
        type: 'query',
        description:
          "Lists the callers that putCaller or the service's settings name, by DID. Requires service auth and the permission 'admin'.",
        parameters: {
          type: 'params',
          properties: {
            limit: {
              type: 'integer',
              minimum: 1,
              maximum: 100,
              default: 50,
            },
            cursor: {
              type: 'string',
              maxLength: 2048,
            },
          },
        },
        output: {
          encoding: 'application/json',
          schema: {
            type: 'object',
            required: ['callers'],
            properties: {
              cursor: {
                type: 'string',
                maxLength: 2048,
                description: 'Absent at the end of the list.',
              },
              callers: {
                type: 'array',
                items: {
                  type: 'ref',
                  ref: 'lex:network.example.backfill.defs#callerView',
                },
              },
            },
          },
        },
        errors: [
          {
            name: 'NotPermitted',
            description: "The caller lacks the permission 'admin'.",
          },
        ],
      },
    },
  },
  NetworkExampleBackfillListJobRepos: {
    lexicon: 1,
    id: 'network.example.backfill.listJobRepos',
    defs: {
      main: {
        type: 'query',
        description:
          "Lists the repos of a job by DID. Requires service auth and the permission 'read'.",
        parameters: {
          type: 'params',
          required: ['job'],
          properties: {
            job: {
              type: 'string',
              format: 'tid',
              description: "The job's id.",
            },
            phase: {
              type: 'string',
              description:
                "Only repos that have come this far: 'discovered' is all of them, 'resolved' those whose PDS is known, 'fetched' those completed.",
              maxLength: 64,
              default: 'discovered',
              knownValues: ['discovered', 'resolved', 'fetched'],
            },
            status: {
              type: 'string',
              description: 'Only repos with this status.',
              maxLength: 64,
              knownValues: [
                'waiting',
                'resolved',
                'fetching',
                'completed',
                'unavailable',
                'failed',
              ],
            },
            pdsEndpoint: {
              type: 'string',
              format: 'uri',
              description: 'Only repos on this PDS.',
            },
            limit: {
              type: 'integer',
              minimum: 1,
              maximum: 100,
              default: 50,
            },
            cursor: {
              type: 'string',
              maxLength: 2048,
            },
          },
        },
        output: {
          encoding: 'application/json',
          schema: {
            type: 'object',
            required: ['repos'],
            properties: {
              cursor: {
                type: 'string',
                maxLength: 2048,
                description: 'Absent at the end of the list.',
              },
              repos: {
                type: 'array',
                items: {
                  type: 'ref',
                  ref: 'lex:network.example.backfill.defs#repoView',
                },
              },
            },
          },
        },
        errors: [
          {
            name: 'JobNotFound',
            description:
              "There is no such job, or it is not the caller's to see; the two are not told apart.",
          },
          {
            name: 'DetailsDeleted',
            description: "The job's list of repos has been deleted.",
          },
          {
            name: 'NotPermitted',
            description: "The caller lacks the permission 'read'.",
          },
        ],
      },
    },
  },
  NetworkExampleBackfillListJobs: {
    lexicon: 1,
    id: 'network.example.backfill.listJobs',
    defs: {
      main: {
        type: 'query',
        description:
          "Lists the jobs that the caller may see, newest first. Requires service auth and the permission 'read'.",
        parameters: {
          type: 'params',
          properties: {
            caller: {
              type: 'string',
              format: 'did',
              description: 'Only jobs of this caller.',
            },
            status: {
              type: 'string',
              description: 'Only jobs with this status.',
              maxLength: 64,
              knownValues: [
                'running',
                'pausing',
                'paused',
                'cancelling',
                'cancelled',
                'completed',
                'failed',
              ],
            },
            limit: {
              type: 'integer',
              minimum: 1,
              maximum: 100,
              default: 50,
            },
            cursor: {
              type: 'string',
              maxLength: 2048,
            },
          },
        },
        output: {
          encoding: 'application/json',
          schema: {
            type: 'object',
            required: ['jobs'],
            properties: {
              cursor: {
                type: 'string',
                maxLength: 2048,
                description: 'Absent at the end of the list.',
              },
              jobs: {
                type: 'array',
                items: {
                  type: 'ref',
                  ref: 'lex:network.example.backfill.defs#jobView',
                },
              },
            },
          },
        },
        errors: [
          {
            name: 'NotPermitted',
            description: "The caller lacks the permission 'read'.",
          },
        ],
      },
    },
  },
  NetworkExampleBackfillListRecords: {
    lexicon: 1,
    id: 'network.example.backfill.listRecords',
    defs: {
      main: {
        type: 'query',
        description:
          "Lists what a job has fetched, also while it runs: repo by repo in the order in which they were completed, within a repo by collection and record key. With 'changes' a repo's records count once it is closed in 'repos'; another repo before that takes back what came of it. Requires service auth and the permission 'read'.",
        parameters: {
          type: 'params',
          required: ['job'],
          properties: {
            job: {
              type: 'string',
              format: 'tid',
              description: "The job's id.",
            },
            collection: {
              type: 'string',
              format: 'nsid',
              description: 'Only records of this collection.',
            },
            repo: {
              type: 'string',
              format: 'at-identifier',
              description: 'Only records of this account.',
            },
            changes: {
              type: 'boolean',
              default: false,
              description:
                "Of a job that refreshes another one: whether to leave out what there was then. A repo that is closed with 'since' comes with what has changed since that rev; any other comes whole, and what is known of it from before does not count any more.",
            },
            limit: {
              type: 'integer',
              minimum: 1,
              maximum: 1000,
              default: 500,
              description:
                "The most records to return, with 'changes' also those that are gone; and the most repos. Large records make a page shorter.",
            },
            cursor: {
              type: 'string',
              maxLength: 2048,
            },
          },
        },
        output: {
          encoding: 'application/json',
          schema: {
            type: 'object',
            required: ['records'],
            properties: {
              cursor: {
                type: 'string',
                maxLength: 2048,
                description:
                  'Absent at the end of what has been fetched so far; a page with one may still be empty.',
              },
              records: {
                type: 'array',
                items: {
                  type: 'ref',
                  ref: 'lex:network.example.backfill.defs#recordView',
                },
              },
              deleted: {
                type: 'array',
                maxLength: 1000,
                description:
                  'Records that are gone, where only changes were asked for; in the order of the others.',
                items: {
                  type: 'ref',
                  ref: 'lex:network.example.backfill.defs#deletedRecordView',
                },
              },
              repos: {
                type: 'array',
                maxLength: 1001,
                description:
                  'Where only changes were asked for: what becomes of the repos on this page, in their order. The last one of a page may be left open for the next.',
                items: {
                  type: 'union',
                  refs: [
                    'lex:network.example.backfill.listRecords#repoComplete',
                    'lex:network.example.backfill.listRecords#repoUnavailable',
                    'lex:network.example.backfill.listRecords#repoRestarted',
                  ],
                },
              },
            },
          },
        },
        errors: [
          {
            name: 'JobNotFound',
            description:
              "There is no such job, or it is not the caller's to see; the two are not told apart.",
          },
          {
            name: 'DetailsDeleted',
            description:
              "The job's list of repos has been deleted, so it no longer says which records are its own.",
          },
          {
            name: 'NotPermitted',
            description: "The caller lacks the permission 'read'.",
          },
          {
            name: 'DirectoryUnavailable',
            description:
              'The handle in repo cannot be looked up now; the same request may succeed later.',
          },
        ],
      },
      repoComplete: {
        type: 'object',
        description: 'A repo has been given to its end.',
        required: ['receipt'],
        properties: {
          since: {
            type: 'string',
            format: 'tid',
            description:
              'What was given is what has changed since this revision. Absent: these are all records there are.',
          },
          receipt: {
            type: 'ref',
            ref: 'lex:network.example.backfill.defs#receiptView',
            description:
              'The verdict on the repo as it is now; another job may have renewed it.',
          },
        },
      },
      repoUnavailable: {
        type: 'object',
        description:
          'A repo has no records to be had: what of them was handed over before does not count any more.',
        required: ['did', 'reason'],
        properties: {
          did: {
            type: 'string',
            format: 'did',
          },
          reason: {
            type: 'ref',
            ref: 'lex:network.example.backfill.defs#unavailableReason',
          },
        },
      },
      repoRestarted: {
        type: 'object',
        description:
          'The repo that the page before has left open was renewed meanwhile: what came of it there does not count, and all of it follows again.',
        required: ['did'],
        properties: {
          did: {
            type: 'string',
            format: 'did',
          },
        },
      },
    },
  },
  NetworkExampleBackfillPauseJob: {
    lexicon: 1,
    id: 'network.example.backfill.pauseJob',
    defs: {
      main: {
        type: 'procedure',
        description:
          "Pauses a running job: no more work is taken up, and what is in flight ends at its next page. The answer comes at once, with the status 'pausing'; the job is 'paused' when nothing is in flight any more. Nothing that was fetched is lost. Asking again while it is pausing gives the job as it is. Requires service auth and the permission 'create'.",
        input: {
          encoding: 'application/json',
          schema: {
            type: 'object',
            required: ['job'],
            properties: {
              job: {
                type: 'string',
                format: 'tid',
                description: "The job's id.",
              },
            },
          },
        },
        output: {
          encoding: 'application/json',
          schema: {
            type: 'ref',
            ref: 'lex:network.example.backfill.defs#jobView',
          },
        },
        errors: [
          {
            name: 'JobNotFound',
            description:
              "There is no such job, or it is not the caller's to see; the two are not told apart.",
          },
          {
            name: 'InvalidState',
            description: 'The job is not running.',
          },
          {
            name: 'NotPermitted',
            description: "The caller lacks the permission 'create'.",
          },
        ],
      },
    },
  },
  NetworkExampleBackfillPurgeJob: {
    lexicon: 1,
    id: 'network.example.backfill.purgeJob',
    defs: {
      main: {
        type: 'procedure',
        description:
          "Lets a job that has ended leave nothing: its list of repos goes, and so do the records that no other job needs. The job counts as gone at once and keeps its counters; what it has stored goes in the background, until 'purge' of the job is 'purged'. Repeating it does no harm. Requires service auth and the permission 'create'.",
        input: {
          encoding: 'application/json',
          schema: {
            type: 'object',
            required: ['job'],
            properties: {
              job: {
                type: 'string',
                format: 'tid',
                description: "The job's id.",
              },
            },
          },
        },
        output: {
          encoding: 'application/json',
          schema: {
            type: 'ref',
            ref: 'lex:network.example.backfill.defs#jobView',
          },
        },
        errors: [
          {
            name: 'JobNotFound',
            description:
              "There is no such job, or it is not the caller's to see; the two are not told apart.",
          },
          {
            name: 'InvalidState',
            description: 'The job has not ended.',
          },
          {
            name: 'DetailsDeleted',
            description:
              "The job's list of repos has been deleted, so it no longer says which records are its own.",
          },
          {
            name: 'NotPermitted',
            description: "The caller lacks the permission 'create'.",
          },
        ],
      },
    },
  },
  NetworkExampleBackfillPutCaller: {
    lexicon: 1,
    id: 'network.example.backfill.putCaller',
    defs: {
      main: {
        type: 'procedure',
        description:
          "Lets a service call, or changes what it may do: what the request leaves out gets its default. A caller that the settings name as admin stays one. Requires service auth and the permission 'admin'.",
        input: {
          encoding: 'application/json',
          schema: {
            type: 'object',
            required: ['did', 'permissions'],
            properties: {
              did: {
                type: 'string',
                format: 'did',
              },
              permissions: {
                type: 'array',
                description:
                  "An empty list bars the caller, even where the service is open to everybody. 'admin' includes 'create' and 'read', 'create' does not include 'read'.",
                maxLength: 10,
                items: {
                  type: 'ref',
                  ref: 'lex:network.example.backfill.defs#permission',
                },
              },
              quotas: {
                type: 'ref',
                ref: 'lex:network.example.backfill.defs#quotas',
              },
              jobsOf: {
                type: 'array',
                description:
                  'Other callers whose jobs it may read as if they were its own.',
                maxLength: 1000,
                items: {
                  type: 'string',
                  format: 'did',
                },
              },
            },
          },
        },
        output: {
          encoding: 'application/json',
          schema: {
            type: 'ref',
            ref: 'lex:network.example.backfill.defs#callerView',
          },
        },
        errors: [
          {
            name: 'InvalidPermission',
            description: 'A permission is not one of those this service knows.',
          },
          {
            name: 'NotPermitted',
            description: "The caller lacks the permission 'admin'.",
          },
        ],
      },
    },
  },
  NetworkExampleBackfillRefreshJob: {
    lexicon: 1,
    id: 'network.example.backfill.refreshJob',
    defs: {
      main: {
        type: 'procedure',
        description:
          "Starts a job that repeats one which has ended: the same collections, method and level, its repos once more, and whatever repos are discovered today if it discovered them. Repos that have not changed are not fetched again. 'changes' of the methods that hand over records leaves out what had been there before. Requires service auth and the permission 'create', for the whole network 'admin'.",
        input: {
          encoding: 'application/json',
          schema: {
            type: 'object',
            required: ['job'],
            properties: {
              job: {
                type: 'string',
                format: 'tid',
                description: 'The id of the job to repeat.',
              },
              clientToken: {
                type: 'string',
                minLength: 1,
                maxLength: 128,
                description:
                  'Makes the request repeatable: the same token and input from the same caller give the same job.',
              },
              name: {
                type: 'string',
                maxLength: 1280,
                maxGraphemes: 128,
                description:
                  "The caller's own name for the new job. Left out: that of the job to repeat.",
              },
            },
          },
        },
        output: {
          encoding: 'application/json',
          schema: {
            type: 'ref',
            ref: 'lex:network.example.backfill.defs#jobView',
          },
        },
        errors: [
          {
            name: 'JobNotFound',
            description:
              "There is no such job, or it is not the caller's to see; the two are not told apart.",
          },
          {
            name: 'InvalidState',
            description: 'The job has not ended.',
          },
          {
            name: 'DetailsDeleted',
            description:
              'The job named its repos, and the list of them has been deleted.',
          },
          {
            name: 'InvalidHost',
            description:
              'The job was limited to hosts, which may not be asked any more.',
          },
          {
            name: 'ScopeTooBroad',
            description:
              "The job would mean crawling the whole network, for which the caller lacks the permission 'admin'.",
          },
          {
            name: 'ClientTokenConflict',
            description:
              'The caller has used this client token before, with another input.',
          },
          {
            name: 'QuotaExceeded',
            description:
              'The caller has as many unfinished jobs as it may have, or a job of its may not have so many repos.',
          },
          {
            name: 'NotPermitted',
            description: "The caller lacks the permission 'create'.",
          },
        ],
      },
    },
  },
  NetworkExampleBackfillResumeJob: {
    lexicon: 1,
    id: 'network.example.backfill.resumeJob',
    defs: {
      main: {
        type: 'procedure',
        description:
          "Lets a paused job go on where it stopped: each repo from its last stored page. Requires service auth and the permission 'create'.",
        input: {
          encoding: 'application/json',
          schema: {
            type: 'object',
            required: ['job'],
            properties: {
              job: {
                type: 'string',
                format: 'tid',
                description: "The job's id.",
              },
            },
          },
        },
        output: {
          encoding: 'application/json',
          schema: {
            type: 'ref',
            ref: 'lex:network.example.backfill.defs#jobView',
          },
        },
        errors: [
          {
            name: 'JobNotFound',
            description:
              "There is no such job, or it is not the caller's to see; the two are not told apart.",
          },
          {
            name: 'InvalidState',
            description: 'The job is not paused.',
          },
          {
            name: 'NotPermitted',
            description: "The caller lacks the permission 'create'.",
          },
        ],
      },
    },
  },
  NetworkExampleBackfillRetryJob: {
    lexicon: 1,
    id: 'network.example.backfill.retryJob',
    defs: {
      main: {
        type: 'procedure',
        description:
          "Takes up what failed in a job that has ended: its failed repos of all retryable classes, or of the named ones, and a discovery that could not be finished. The job is running again afterwards. Requires service auth and the permission 'create'.",
        input: {
          encoding: 'application/json',
          schema: {
            type: 'object',
            required: ['job'],
            properties: {
              job: {
                type: 'string',
                format: 'tid',
                description: "The job's id.",
              },
              classes: {
                type: 'array',
                description:
                  'Only repos that failed in one of these ways, retryable or not. Left out: all retryable ones.',
                minLength: 1,
                maxLength: 100,
                items: {
                  type: 'ref',
                  ref: 'lex:network.example.backfill.defs#failureClass',
                },
              },
            },
          },
        },
        output: {
          encoding: 'application/json',
          schema: {
            type: 'ref',
            ref: 'lex:network.example.backfill.defs#jobView',
          },
        },
        errors: [
          {
            name: 'JobNotFound',
            description:
              "There is no such job, or it is not the caller's to see; the two are not told apart.",
          },
          {
            name: 'InvalidState',
            description:
              'The job has not ended, was cancelled, or has nothing to try again.',
          },
          {
            name: 'DetailsDeleted',
            description: "The job's list of repos has been deleted.",
          },
          {
            name: 'QuotaExceeded',
            description:
              'The caller has as many unfinished jobs as it may have.',
          },
          {
            name: 'NotPermitted',
            description: "The caller lacks the permission 'create'.",
          },
        ],
      },
    },
  },
  NetworkExampleBackfillSubscribeJob: {
    lexicon: 1,
    id: 'network.example.backfill.subscribeJob',
    defs: {
      main: {
        type: 'subscription',
        description:
          "Follows a job as it goes, and ends by itself when the job has ended. Without a cursor it begins with the whole job; with one, everything that changed since is told again, each repo in its latest state. Requires service auth and the permission 'read'; a refusal comes as an error frame.",
        parameters: {
          type: 'params',
          required: ['job'],
          properties: {
            job: {
              type: 'string',
              format: 'tid',
              description: "The job's id.",
            },
            cursor: {
              type: 'integer',
              minimum: 0,
              description:
                'The seq of the last message seen; 0 for all from the beginning.',
            },
          },
        },
        message: {
          schema: {
            type: 'union',
            refs: [
              'lex:network.example.backfill.subscribeJob#jobSnapshot',
              'lex:network.example.backfill.subscribeJob#repoDiscovered',
              'lex:network.example.backfill.subscribeJob#repoResolved',
              'lex:network.example.backfill.subscribeJob#repoFetched',
              'lex:network.example.backfill.subscribeJob#repoFailed',
              'lex:network.example.backfill.subscribeJob#repoUnavailable',
              'lex:network.example.backfill.subscribeJob#jobCounters',
              'lex:network.example.backfill.subscribeJob#jobStageChanged',
              'lex:network.example.backfill.subscribeJob#jobCompleted',
              'lex:network.example.backfill.subscribeJob#info',
            ],
          },
        },
        errors: [
          {
            name: 'JobNotFound',
            description:
              "There is no such job, or it is not the caller's to see; the two are not told apart.",
          },
          {
            name: 'FutureCursor',
            description: 'The cursor is ahead of the job.',
          },
          {
            name: 'ConsumerTooSlow',
            description:
              'The messages were not taken in time. Come back with the cursor of the last one seen.',
          },
          {
            name: 'NotPermitted',
            description: "The caller lacks the permission 'read'.",
          },
          {
            name: 'QuotaExceeded',
            description: 'The caller has as many streams open as it may have.',
          },
        ],
      },
      jobSnapshot: {
        type: 'object',
        description: 'The whole job as it is now.',
        required: ['seq', 'job', 'time', 'view'],
        properties: {
          seq: {
            type: 'integer',
            minimum: 0,
            description: 'Increases within the job; what cursor takes.',
          },
          job: {
            type: 'string',
            format: 'tid',
          },
          time: {
            type: 'string',
            format: 'datetime',
          },
          view: {
            type: 'ref',
            ref: 'lex:network.example.backfill.defs#jobView',
          },
        },
      },
      repoDiscovered: {
        type: 'object',
        description: 'A repo belongs to the job; its host is not known yet.',
        required: ['seq', 'job', 'time', 'did'],
        properties: {
          seq: {
            type: 'integer',
            minimum: 0,
            description: 'Increases within the job; what cursor takes.',
          },
          job: {
            type: 'string',
            format: 'tid',
          },
          time: {
            type: 'string',
            format: 'datetime',
          },
          did: {
            type: 'string',
            format: 'did',
          },
        },
      },
      repoResolved: {
        type: 'object',
        description:
          "A repo's host is known; its records are being waited for.",
        required: ['seq', 'job', 'time', 'did', 'pdsEndpoint'],
        properties: {
          seq: {
            type: 'integer',
            minimum: 0,
            description: 'Increases within the job; what cursor takes.',
          },
          job: {
            type: 'string',
            format: 'tid',
          },
          time: {
            type: 'string',
            format: 'datetime',
          },
          did: {
            type: 'string',
            format: 'did',
          },
          pdsEndpoint: {
            type: 'string',
            format: 'uri',
            description: "The PDS's origin.",
          },
        },
      },
      repoFetched: {
        type: 'object',
        description: 'A repo is completed: its whole record set is stored.',
        required: [
          'seq',
          'job',
          'time',
          'did',
          'pdsEndpoint',
          'recordsFetched',
          'level',
        ],
        properties: {
          seq: {
            type: 'integer',
            minimum: 0,
            description: 'Increases within the job; what cursor takes.',
          },
          job: {
            type: 'string',
            format: 'tid',
          },
          time: {
            type: 'string',
            format: 'datetime',
          },
          did: {
            type: 'string',
            format: 'did',
          },
          pdsEndpoint: {
            type: 'string',
            format: 'uri',
            description: "The PDS's origin.",
          },
          recordsFetched: {
            type: 'integer',
            minimum: 0,
          },
          rev: {
            type: 'string',
            format: 'tid',
            description:
              'The revision of the repo that this is the record set of. Absent if the method gives none.',
          },
          level: {
            type: 'ref',
            ref: 'lex:network.example.backfill.defs#level',
          },
        },
      },
      repoFailed: {
        type: 'object',
        description: 'A repo has been given up.',
        required: [
          'seq',
          'job',
          'time',
          'did',
          'class',
          'message',
          'retryable',
        ],
        properties: {
          seq: {
            type: 'integer',
            minimum: 0,
            description: 'Increases within the job; what cursor takes.',
          },
          job: {
            type: 'string',
            format: 'tid',
          },
          time: {
            type: 'string',
            format: 'datetime',
          },
          did: {
            type: 'string',
            format: 'did',
          },
          class: {
            type: 'ref',
            ref: 'lex:network.example.backfill.defs#failureClass',
          },
          message: {
            type: 'string',
            maxLength: 2000,
            description: 'For people to read.',
          },
          retryable: {
            type: 'boolean',
            description: 'Whether trying again may help.',
          },
        },
      },
      repoUnavailable: {
        type: 'object',
        description:
          "An account's records are not to be had. Also told of a repo that was completed, when its account is found to be gone later; the job's counters do not change by that.",
        required: ['seq', 'job', 'time', 'did', 'reason'],
        properties: {
          seq: {
            type: 'integer',
            minimum: 0,
            description: 'Increases within the job; what cursor takes.',
          },
          job: {
            type: 'string',
            format: 'tid',
          },
          time: {
            type: 'string',
            format: 'datetime',
          },
          did: {
            type: 'string',
            format: 'did',
          },
          reason: {
            type: 'ref',
            ref: 'lex:network.example.backfill.defs#unavailableReason',
          },
        },
      },
      jobCounters: {
        type: 'object',
        description: 'How far the job has come; at most once a second.',
        required: [
          'seq',
          'job',
          'time',
          'status',
          'stage',
          'discoveryComplete',
          'totalRepos',
          'resolvedRepos',
          'processedRepos',
          'completedRepos',
          'unavailableRepos',
          'failedRepos',
          'totalRecords',
        ],
        properties: {
          seq: {
            type: 'integer',
            minimum: 0,
            description: 'Increases within the job; what cursor takes.',
          },
          job: {
            type: 'string',
            format: 'tid',
          },
          time: {
            type: 'string',
            format: 'datetime',
          },
          status: {
            type: 'ref',
            ref: 'lex:network.example.backfill.defs#jobStatus',
          },
          stage: {
            type: 'ref',
            ref: 'lex:network.example.backfill.defs#jobStage',
          },
          discoveryComplete: {
            type: 'boolean',
            description: 'Whether every repo of the job is known.',
          },
          totalRepos: {
            type: 'integer',
            minimum: 0,
            description: 'Repos known so far.',
          },
          resolvedRepos: {
            type: 'integer',
            minimum: 0,
            description: 'Repos whose PDS has been found.',
          },
          processedRepos: {
            type: 'integer',
            minimum: 0,
            description:
              'Repos with an outcome: completedRepos + unavailableRepos + failedRepos.',
          },
          completedRepos: {
            type: 'integer',
            minimum: 0,
            description: 'Repos whose whole record set is stored.',
          },
          unavailableRepos: {
            type: 'integer',
            minimum: 0,
            description:
              'Repos whose account is deactivated, taken down, suspended or gone.',
          },
          failedRepos: {
            type: 'integer',
            minimum: 0,
            description: 'Repos given up, for the reasons in failures.',
          },
          totalRecords: {
            type: 'integer',
            minimum: 0,
            description: 'Records fetched so far, in all repos.',
          },
          failures: {
            type: 'array',
            description: 'The failed repos by class.',
            items: {
              type: 'ref',
              ref: 'lex:network.example.backfill.defs#failureCount',
            },
          },
        },
      },
      jobStageChanged: {
        type: 'object',
        description: 'The job has reached another part of its work.',
        required: ['seq', 'job', 'time', 'stage'],
        properties: {
          seq: {
            type: 'integer',
            minimum: 0,
            description: 'Increases within the job; what cursor takes.',
          },
          job: {
            type: 'string',
            format: 'tid',
          },
          time: {
            type: 'string',
            format: 'datetime',
          },
          stage: {
            type: 'ref',
            ref: 'lex:network.example.backfill.defs#jobStage',
          },
        },
      },
      jobCompleted: {
        type: 'object',
        description:
          'The job has ended, in the way that status says. The last message.',
        required: ['seq', 'job', 'time', 'status'],
        properties: {
          seq: {
            type: 'integer',
            minimum: 0,
            description: 'Increases within the job; what cursor takes.',
          },
          job: {
            type: 'string',
            format: 'tid',
          },
          time: {
            type: 'string',
            format: 'datetime',
          },
          status: {
            type: 'ref',
            ref: 'lex:network.example.backfill.defs#jobStatus',
          },
          error: {
            type: 'string',
            maxLength: 4000,
            description: 'Why the job failed, for people to read.',
          },
        },
      },
      info: {
        type: 'object',
        description: 'Something about the stream itself.',
        required: ['name'],
        properties: {
          name: {
            type: 'string',
            maxLength: 64,
            description:
              "'OutdatedCursor': what changed since the cursor is not known any more, repo by repo; the whole job follows.",
          },
          message: {
            type: 'string',
            maxLength: 2000,
          },
        },
      },
    },
  },
  NetworkExampleBackfillSubscribeRecords: {
    lexicon: 1,
    id: 'network.example.backfill.subscribeRecords',
    defs: {
      main: {
        type: 'subscription',
        description:
          "Hands over what a job fetches, repo by repo in the order in which they end, while it runs and afterwards; ends by itself when the job has ended. A repo's records come in parts, never mixed with another repo's, and count once '#repoComplete' has closed it; '#repoUnavailable' and '#repoFailed' close a repo without records. Part 0 of a repo that had begun already, or another repo before this one is closed, takes back what came of it. Requires service auth and the permission 'read'; a refusal comes as an error frame.",
        parameters: {
          type: 'params',
          required: ['job'],
          properties: {
            job: {
              type: 'string',
              format: 'tid',
              description: "The job's id.",
            },
            collection: {
              type: 'string',
              format: 'nsid',
              description: 'Only records of this collection.',
            },
            repo: {
              type: 'string',
              format: 'at-identifier',
              description: 'Only this account.',
            },
            changes: {
              type: 'boolean',
              default: false,
              description:
                "Of a job that refreshes another one: whether to leave out what there was then. A repo that is closed with 'since' comes with what has changed since that rev; any other comes whole, and what is known of it from before does not count any more.",
            },
            cursor: {
              type: 'integer',
              minimum: 0,
              description:
                'The seq of the last repo that was closed; 0 or absent for all from the beginning.',
            },
          },
        },
        message: {
          schema: {
            type: 'union',
            refs: [
              'lex:network.example.backfill.subscribeRecords#records',
              'lex:network.example.backfill.subscribeRecords#recordsDeleted',
              'lex:network.example.backfill.subscribeRecords#repoComplete',
              'lex:network.example.backfill.subscribeRecords#repoUnavailable',
              'lex:network.example.backfill.subscribeRecords#repoFailed',
              'lex:network.example.backfill.subscribeRecords#jobCompleted',
              'lex:network.example.backfill.subscribeRecords#info',
            ],
          },
        },
        errors: [
          {
            name: 'JobNotFound',
            description:
              "There is no such job, or it is not the caller's to see; the two are not told apart.",
          },
          {
            name: 'DetailsDeleted',
            description:
              "The job's list of repos has been deleted, so it no longer says which records are its own.",
          },
          {
            name: 'FutureCursor',
            description: 'The cursor is ahead of the job.',
          },
          {
            name: 'ConsumerTooSlow',
            description:
              'A message was not taken in time. Come back with the seq of the last repo that was closed.',
          },
          {
            name: 'QuotaExceeded',
            description: 'The caller has as many streams open as it may have.',
          },
          {
            name: 'NotPermitted',
            description: "The caller lacks the permission 'read'.",
          },
          {
            name: 'DirectoryUnavailable',
            description:
              'The handle in repo cannot be looked up now; the same request may succeed later.',
          },
        ],
      },
      records: {
        type: 'object',
        description: "Some of a repo's records, by collection and record key.",
        required: ['seq', 'part', 'did', 'level', 'records'],
        properties: {
          seq: {
            type: 'integer',
            minimum: 0,
            description:
              "The repo's number in the job; all messages of one repo have the same. What cursor takes, once the repo is closed.",
          },
          part: {
            type: 'integer',
            minimum: 0,
            description:
              "0 for the first of the repo's records, then one more each time.",
          },
          did: {
            type: 'string',
            format: 'did',
          },
          rev: {
            type: 'string',
            format: 'tid',
            description:
              'The revision of the repo that this is the record set of. Absent if the method gives none.',
          },
          level: {
            type: 'ref',
            ref: 'lex:network.example.backfill.defs#level',
          },
          records: {
            type: 'array',
            maxLength: 500,
            description:
              "A mebibyte at most, unless it is a single record. 'value' is absent, too, where it has no form in DAG-CBOR.",
            items: {
              type: 'ref',
              ref: 'lex:network.example.backfill.defs#recordView',
            },
          },
        },
      },
      recordsDeleted: {
        type: 'object',
        description:
          'Records of a repo that are gone, where only changes were asked for.',
        required: ['seq', 'part', 'did', 'records'],
        properties: {
          seq: {
            type: 'integer',
            minimum: 0,
            description:
              "The repo's number in the job; all messages of one repo have the same. What cursor takes, once the repo is closed.",
          },
          part: {
            type: 'integer',
            minimum: 0,
            description: 'Counted on from the messages with records.',
          },
          did: {
            type: 'string',
            format: 'did',
          },
          records: {
            type: 'array',
            maxLength: 500,
            items: {
              type: 'ref',
              ref: 'lex:network.example.backfill.defs#deletedRecordView',
            },
          },
        },
      },
      repoComplete: {
        type: 'object',
        description:
          'A repo is closed: its whole record set has been handed over.',
        required: ['seq', 'receipt'],
        properties: {
          seq: {
            type: 'integer',
            minimum: 0,
            description:
              "The repo's number in the job; all messages of one repo have the same. What cursor takes, once the repo is closed.",
          },
          since: {
            type: 'string',
            format: 'tid',
            description:
              'Where only changes were asked for: these are what has changed since this revision. Absent: these are all records there are.',
          },
          receipt: {
            type: 'ref',
            ref: 'lex:network.example.backfill.defs#receiptView',
            description:
              'The verdict on the repo as it is now; another job may have renewed it.',
          },
        },
      },
      repoUnavailable: {
        type: 'object',
        description:
          "A repo is closed: its account's records are not to be had.",
        required: ['seq', 'did', 'reason'],
        properties: {
          seq: {
            type: 'integer',
            minimum: 0,
            description:
              "The repo's number in the job; all messages of one repo have the same. What cursor takes, once the repo is closed.",
          },
          did: {
            type: 'string',
            format: 'did',
          },
          reason: {
            type: 'ref',
            ref: 'lex:network.example.backfill.defs#unavailableReason',
          },
        },
      },
      repoFailed: {
        type: 'object',
        description: 'A repo is closed: it has been given up.',
        required: ['seq', 'did', 'class', 'message', 'retryable'],
        properties: {
          seq: {
            type: 'integer',
            minimum: 0,
            description:
              "The repo's number in the job; all messages of one repo have the same. What cursor takes, once the repo is closed.",
          },
          did: {
            type: 'string',
            format: 'did',
          },
          class: {
            type: 'ref',
            ref: 'lex:network.example.backfill.defs#failureClass',
          },
          message: {
            type: 'string',
            maxLength: 2000,
            description: 'For people to read.',
          },
          retryable: {
            type: 'boolean',
            description: 'Whether trying again may help.',
          },
        },
      },
      jobCompleted: {
        type: 'object',
        description:
          'The job has ended, in the way that status says, and all of it has been handed over. The last message.',
        required: ['status'],
        properties: {
          status: {
            type: 'ref',
            ref: 'lex:network.example.backfill.defs#jobStatus',
          },
          error: {
            type: 'string',
            maxLength: 4000,
            description: 'Why the job failed, for people to read.',
          },
        },
      },
      info: {
        type: 'object',
        description: 'Something about the stream itself.',
        required: ['name'],
        properties: {
          name: {
            type: 'string',
            maxLength: 64,
            description:
              "'OutdatedCursor': repos that were closed after the cursor may be missing.",
          },
          message: {
            type: 'string',
            maxLength: 2000,
          },
        },
      },
    },
  },
} as const satisfies Record<string, LexiconDoc>
export const schemas = Object.values(schemaDict) satisfies LexiconDoc[]
export const lexicons: Lexicons = new Lexicons(schemas)

export function validate<T extends { $type: string }>(
  v: unknown,
  id: string,
  hash: string,
  requiredType: true,
): ValidationResult<T>
export function validate<T extends { $type?: string }>(
  v: unknown,
  id: string,
  hash: string,
  requiredType?: false,
): ValidationResult<T>
export function validate(
  v: unknown,
  id: string,
  hash: string,
  requiredType?: boolean,
): ValidationResult {
  return (requiredType ? is$typed : maybe$typed)(v, id, hash)
    ? lexicons.validate(`${id}#${hash}`, v)
    : {
        success: false,
        error: new ValidationError(
          `Must be an object with "${hash === 'main' ? id : `${id}#${hash}`}" $type property`,
        ),
      }
}

export const ids = {
  NetworkExampleBackfillAuthBackfill: 'network.example.backfill.authBackfill',
  NetworkExampleBackfillCancelJob: 'network.example.backfill.cancelJob',
  NetworkExampleBackfillCreateJob: 'network.example.backfill.createJob',
  NetworkExampleBackfillDefs: 'network.example.backfill.defs',
  NetworkExampleBackfillDeleteAllJobDetails:
    'network.example.backfill.deleteAllJobDetails',
  NetworkExampleBackfillDeleteCaller: 'network.example.backfill.deleteCaller',
  NetworkExampleBackfillDeleteJobDetails:
    'network.example.backfill.deleteJobDetails',
  NetworkExampleBackfillDescribeService:
    'network.example.backfill.describeService',
  NetworkExampleBackfillExportRecords: 'network.example.backfill.exportRecords',
  NetworkExampleBackfillGetJobStatus: 'network.example.backfill.getJobStatus',
  NetworkExampleBackfillGetPdsSummary: 'network.example.backfill.getPdsSummary',
  NetworkExampleBackfillListCallers: 'network.example.backfill.listCallers',
  NetworkExampleBackfillListJobRepos: 'network.example.backfill.listJobRepos',
  NetworkExampleBackfillListJobs: 'network.example.backfill.listJobs',
  NetworkExampleBackfillListRecords: 'network.example.backfill.listRecords',
  NetworkExampleBackfillPauseJob: 'network.example.backfill.pauseJob',
  NetworkExampleBackfillPurgeJob: 'network.example.backfill.purgeJob',
  NetworkExampleBackfillPutCaller: 'network.example.backfill.putCaller',
  NetworkExampleBackfillRefreshJob: 'network.example.backfill.refreshJob',
  NetworkExampleBackfillResumeJob: 'network.example.backfill.resumeJob',
  NetworkExampleBackfillRetryJob: 'network.example.backfill.retryJob',
  NetworkExampleBackfillSubscribeJob: 'network.example.backfill.subscribeJob',
  NetworkExampleBackfillSubscribeRecords:
    'network.example.backfill.subscribeRecords',
} as const
