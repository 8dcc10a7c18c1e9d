import { type Command, Option } from 'commander'
import { JOB_STATUSES, LEVELS, REPO_STATUSES, REQUESTABLE_METHODS } from '../../verdict.js'
import { readDid, readHost, readHostnames, readJobId, readLimit, readRepos } from '../arguments.js'
import { withConnection } from '../connection-options.js'
import type { SetExit } from '../exit.js'
import { addJobControl } from './job-control.js'

const actions = () => import('../jobs.js')

/** `aquifer jobs`: the commands of whoever has a service fetch something. */
export function addJobs(program: Command, exit: SetExit): void {
  const jobs = program.command('jobs').description('Create jobs on a running service, and look after them')
  addCreate(jobs, exit)
  addList(jobs, exit)
  addStatus(jobs, exit)
  addRepos(jobs, exit)
  addWatch(jobs, exit)
  addJobControl(jobs, exit)
  jobs.addHelpText('after', JOBS_HELP)
}

function addCreate(jobs: Command, exit: SetExit): void {
  const command = jobs
    .command('create')
    .description('Start a job, and print its id')
    .option(
      '-c, --collection <nsid...>',
      'the collections, or prefixes such as com.example.* (with --repo or --host)',
    )
    .option(
      '-r, --repo <repo...>',
      'only these accounts: DIDs, handles or at:// URIs (default: ask the relays)',
      readRepos,
    )
    .option('--host <hostname...>', 'every account on these PDSs', readHostnames)
    .option('--name <text>', 'a name of your own for the job')
    .addOption(new Option('--method <method>', 'how to fetch (default: auto)').choices(REQUESTABLE_METHODS))
    .addOption(
      new Option('--level <level>', 'the least a repo must be proven (default: content)').choices(LEVELS),
    )
    .option('--client-token <token>', 'give the same one again to get the same job again')
    .option('-w, --watch', 'wait for the end of the job, and show how it gets on')
    .option('--json', 'print the job as JSON')
  withConnection(command)
    .addHelpText('after', CREATE_HELP)
    .action(async (options) => exit(await (await actions()).createJob(options)))
}

function addList(jobs: Command, exit: SetExit): void {
  const command = jobs
    .command('list')
    .description('List your jobs, newest first')
    .addOption(new Option('--status <status>', 'only these').choices(JOB_STATUSES))
    .option('--caller <did>', 'only those of this caller, where you may see them', readDid)
    .option('--limit <number>', 'at most so many (default: all)', readLimit)
    .option('--json', 'print JSON lines')
  withConnection(command)
    .addHelpText('after', LIST_HELP)
    .action(async (options) => exit(await (await actions()).listJobs(options)))
}

function addStatus(jobs: Command, exit: SetExit): void {
  const command = jobs
    .command('status')
    .description('Show one job and how far it has come')
    .argument('<job>', 'its id', readJobId)
    .option('--json', 'print JSON')
  withConnection(command)
    .addHelpText('after', STATUS_HELP)
    .action(async (job: string, options) => exit(await (await actions()).showStatus(job, options)))
}

function addRepos(jobs: Command, exit: SetExit): void {
  const command = jobs
    .command('repos')
    .description('List the repos of a job and what became of them')
    .argument('<job>', 'its id', readJobId)
    .addOption(
      new Option('--phase <phase>', 'only repos that have come this far').choices([
        'discovered',
        'resolved',
        'fetched',
      ]),
    )
    .addOption(new Option('--status <status>', 'only these').choices(REPO_STATUSES))
    .option('--host <host>', 'only repos on this PDS', readHost)
    .option('--limit <number>', 'at most so many (default: all)', readLimit)
    .option('--json', 'print JSON lines')
  withConnection(command)
    .addHelpText('after', REPOS_HELP)
    .action(async (job: string, options) => exit(await (await actions()).listRepos(job, options)))
}

function addWatch(jobs: Command, exit: SetExit): void {
  const command = jobs
    .command('watch')
    .description('Wait for the end of a job, and show how it gets on')
    .argument('<job>', 'its id', readJobId)
    .option('--json', 'print the ended job as JSON')
  withConnection(command)
    .addHelpText('after', WATCH_HELP)
    .action(async (job: string, options) => exit(await (await actions()).watchJob(job, options)))
}

const JOBS_HELP = `
Examples:
  export AQUIFER_SERVICE=https://backfill.example.com AQUIFER_DID=did:web:app.example.com AQUIFER_KEY=@app.key
  aquifer jobs create -c xyz.statusphere.status --watch
  aquifer jobs list`

const CREATE_HELP = `
Examples:
  aquifer jobs create -c xyz.statusphere.status --watch
  aquifer jobs create -c 'app.bsky.graph.*' -r alice.example.com at://did:plc:…/app.bsky.graph.list/3k…
  aquifer jobs create --host pds.example.com
  job=$(aquifer jobs create -c xyz.statusphere.status --client-token monday)
  aquifer jobs create -c xyz.statusphere.status --login alice.example.com

Exit codes with --watch: 0 done, 1 failed, 2 wrong usage, 3 finished with failed repos, 130 interrupted.`

const LIST_HELP = `
Examples:
  aquifer jobs list --limit 10
  aquifer jobs list --status running --json
  aquifer jobs list --caller did:web:app.example.com`

const STATUS_HELP = `
Examples:
  aquifer jobs status 3m65qz7wxyz2a
  aquifer jobs status 3m65qz7wxyz2a --json | jq .failures`

const REPOS_HELP = `
Examples:
  aquifer jobs repos 3m65qz7wxyz2a --status failed
  aquifer jobs repos 3m65qz7wxyz2a --host pds.example.com --json`

const WATCH_HELP = `
Examples:
  aquifer jobs watch 3m65qz7wxyz2a && aquifer records 3m65qz7wxyz2a -o records.jsonl

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 finished with failed repos, 130 interrupted.`
