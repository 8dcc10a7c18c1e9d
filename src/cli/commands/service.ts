import type { Command } from 'commander'
import type { SetExit } from '../exit.js'

/** The commands of whoever runs the service. */
export function addServiceCommands(program: Command, exit: SetExit): void {
  program
    .command('serve')
    .description('Answer requests and do the work. Settings come from the environment: see "aquifer config"')
    .option('--no-engine', 'only answer requests; workers elsewhere do the work')
    .addHelpText('after', SERVE_HELP)
    .action(async (options: { engine: boolean }) => {
      const { serve } = await import('../serve.js')
      exit(await serve({ api: true, engine: options.engine }))
    })
  program
    .command('worker')
    .description('Do the work of jobs that another process answers for')
    .addHelpText('after', WORKER_HELP)
    .action(async () => {
      const { serve } = await import('../serve.js')
      exit(await serve({ api: false, engine: true }))
    })
  program
    .command('migrate')
    .description('Bring the database schema up to date; the other commands do it too')
    .option('--json', 'print JSON')
    .addHelpText('after', MIGRATE_HELP)
    .action(async (options: { json?: boolean }) => {
      const { migrateOnly } = await import('../migrate.js')
      exit(await migrateOnly(options))
    })
  program
    .command('config')
    .description('Print the settings in force, without secrets')
    .option('--json', 'print JSON')
    .addHelpText('after', CONFIG_HELP)
    .action(async (options: { json?: boolean }) => {
      const { showConfig } = await import('../show-config.js')
      exit(await showConfig(options))
    })
}

const SERVE_HELP = `
Examples:
  BACKFILL_ALLOW=did:web:app.example.com PUBLIC_URL=https://backfill.example.com aquifer serve
  DATABASE_URL=postgres://… aquifer serve --no-engine`

const WORKER_HELP = `
Examples:
  DATABASE_URL=postgres://… aquifer worker`

const MIGRATE_HELP = `
Examples:
  DATABASE_URL=postgres://… aquifer migrate`

const CONFIG_HELP = `
Examples:
  aquifer config
  PORT=8080 aquifer config --json`
