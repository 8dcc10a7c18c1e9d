import { type Command, Option } from 'commander'
import { FAILURE_CLASSES } from '../../verdict.js'
import { readJobId } from '../arguments.js'
import { withConnection } from '../connection-options.js'
import type { SetExit } from '../exit.js'

const actions = () => import('../job-control.js')

/** The commands of `aquifer jobs` that change what a job does, or leave nothing of it. */
export function addJobControl(jobs: Command, exit: SetExit): void {
  addPause(jobs, exit)
  addResume(jobs, exit)
  addCancel(jobs, exit)
  addRetry(jobs, exit)
  addRefresh(jobs, exit)
  addPds(jobs, exit)
  addDeleteDetails(jobs, exit)
  addPurge(jobs, exit)
}

function addPause(jobs: Command, exit: SetExit): void {
  const command = jobs
    .command('pause')
    .description('Let a running job stop for a while, and print its status')
    .argument('<job>', 'its id', readJobId)
    .option('--wait', 'wait until it is paused: what is in flight ends first')
    .option('--json', 'print the job as JSON')
  withConnection(command)
    .addHelpText('after', PAUSE_HELP)
    .action(async (job: string, options) => exit(await (await actions()).pauseJob(job, options)))
}

function addResume(jobs: Command, exit: SetExit): void {
  const command = jobs
    .command('resume')
    .description('Let a paused job go on where it stopped, and print its status')
    .argument('<job>', 'its id', readJobId)
    .option('--json', 'print the job as JSON')
  withConnection(command)
    .addHelpText('after', RESUME_HELP)
    .action(async (job: string, options) => exit(await (await actions()).resumeJob(job, options)))
}

function addCancel(jobs: Command, exit: SetExit): void {
  const command = jobs
    .command('cancel')
    .description('End a job before its time, and print its status; what was fetched stays')
    .argument('<job>', 'its id', readJobId)
    .option('--wait', 'wait until it is cancelled: what is in flight ends first')
    .option('--json', 'print the job as JSON')
  withConnection(command)
    .addHelpText('after', CANCEL_HELP)
    .action(async (job: string, options) => exit(await (await actions()).cancelJob(job, options)))
}

function addRetry(jobs: Command, exit: SetExit): void {
  const command = jobs
    .command('retry')
    .description('Take up what failed in a job that has ended, and print its status')
    .argument('<job>', 'its id', readJobId)
    .addOption(
      new Option(
        '--class <class...>',
        'only repos that failed like this (default: all that may go away by themselves)',
      ).choices(FAILURE_CLASSES),
    )
    .option('-w, --watch', 'wait for the end of the job, and show how it gets on')
    .option('--json', 'print the job as JSON')
  withConnection(command)
    .addHelpText('after', RETRY_HELP)
    .action(async (job: string, options) => exit(await (await actions()).retryJob(job, options)))
}

function addRefresh(jobs: Command, exit: SetExit): void {
  const command = jobs
    .command('refresh')
    .description('Repeat a job that has ended, and print the id of the new one; what has not changed stays')
    .argument('<job>', 'its id', readJobId)
    .option('--name <name>', 'a name of your own for the new job (default: that of the old one)')
    .option('--client-token <token>', 'the same token gives the same job: for scripts that may run twice')
    .option('-w, --watch', 'wait for the end of the job, and show how it gets on')
    .option('--json', 'print the job as JSON')
  withConnection(command)
    .addHelpText('after', REFRESH_HELP)
    .action(async (job: string, options) => exit(await (await actions()).refreshJob(job, options)))
}

function addPds(jobs: Command, exit: SetExit): void {
  const command = jobs
    .command('pds')
    .description('List the hosts of a job, the one with most of its repos first')
    .argument('<job>', 'its id', readJobId)
    .option('--json', 'print JSON')
  withConnection(command)
    .addHelpText('after', PDS_HELP)
    .action(async (job: string, options) => exit(await (await actions()).showHosts(job, options)))
}

function addDeleteDetails(jobs: Command, exit: SetExit): void {
  const command = jobs
    .command('delete-details')
    .description('Delete the list of repos of a job that has ended; its counters and its records stay')
    .argument('[job]', 'its id', readJobId)
    .option('--all', 'of all your jobs that have ended')
    .option('-y, --yes', 'do not ask first')
    .option('--json', 'print what was deleted as JSON')
  withConnection(command)
    .addHelpText('after', DELETE_HELP)
    .action(async (job: string | undefined, options) =>
      exit(await (await actions()).deleteDetails(job, options)),
    )
}

function addPurge(jobs: Command, exit: SetExit): void {
  const command = jobs
    .command('purge')
    .description(
      'Delete what a job that has ended has fetched, but for what other jobs need, and its list of repos',
    )
    .argument('<job>', 'its id', readJobId)
    .option('--wait', 'wait until it is gone')
    .option('-y, --yes', 'do not ask first')
    .option('--json', 'print the job as JSON')
  withConnection(command)
    .addHelpText('after', PURGE_HELP)
    .action(async (job: string, options) => exit(await (await actions()).purgeJob(job, options)))
}

const PAUSE_HELP = `
Examples:
  aquifer jobs pause 3m65qz7wxyz2a
  aquifer jobs pause 3m65qz7wxyz2a --wait && echo "nothing is in flight any more"`

const RESUME_HELP = `
Examples:
  aquifer jobs resume 3m65qz7wxyz2a && aquifer jobs watch 3m65qz7wxyz2a`

const CANCEL_HELP = `
Examples:
  aquifer jobs cancel 3m65qz7wxyz2a
  aquifer jobs cancel 3m65qz7wxyz2a --wait --json | jq .totalRecords`

const RETRY_HELP = `
Examples:
  aquifer jobs retry 3m65qz7wxyz2a --watch
  aquifer jobs retry 3m65qz7wxyz2a --class repo-not-found host-blocked

Exit codes with --watch: 0 done, 1 failed, 2 wrong usage, 3 finished with failed repos, 130 interrupted.`

const REFRESH_HELP = `
Examples:
  aquifer jobs refresh 3m65qz7wxyz2a --watch
  aquifer jobs refresh 3m65qz7wxyz2a --client-token "$(date +%F)" --json | jq -r .id

Exit codes with --watch: 0 done, 1 failed, 2 wrong usage, 3 finished with failed repos, 130 interrupted.`

const PDS_HELP = `
Examples:
  aquifer jobs pds 3m65qz7wxyz2a
  aquifer jobs pds 3m65qz7wxyz2a --json | jq '.pdsEndpoints[] | select(.state != "ok")'`

const DELETE_HELP = `
Examples:
  aquifer jobs delete-details 3m65qz7wxyz2a
  aquifer jobs delete-details --all --yes`

const PURGE_HELP = `
Examples:
  aquifer jobs purge 3m65qz7wxyz2a
  aquifer jobs purge 3m65qz7wxyz2a --yes --wait && echo "nothing of it is left"`
