import type { Command } from 'commander'
import { readDid } from '../arguments.js'
import type { SetExit } from '../exit.js'

/** `aquifer manifest` */
export function addManifest(program: Command, exit: SetExit): void {
  const manifest = program
    .command('manifest')
    .description('Check what a service has signed of the repos of a job')
    .addHelpText('after', MANIFEST_HELP)
  manifest
    .command('verify')
    .description('Check that a manifest is whole, and that the service signed it')
    .argument('<file>', 'the manifest, compressed or not; - is standard input')
    .option('--signed-by <did>', 'the service that must have signed it (default: the one it names)', readDid)
    .option('--did-document <file>', "that service's DID document (default: it is asked for)")
    .option('--json', 'print what it says of the job as JSON')
    .addHelpText('after', VERIFY_HELP)
    .action(async (file: string, options) => {
      const { verifyFile } = await import('../manifest.js')
      exit(await verifyFile(file, options))
    })
}

const MANIFEST_HELP = `
Examples:
  aquifer manifest verify manifest.jsonl`

const VERIFY_HELP = `
Examples:
  aquifer manifest verify manifest.jsonl.gz --signed-by did:web:backfill.example.com
  aquifer manifest verify manifest.jsonl --did-document did.json --json | jq .records

Without --signed-by it is for you to see whether the service named is the one you asked. A key that the service has
replaced meanwhile is in no DID document any more: keep the document with the manifest.`
