import { BackfillError } from '../client/index.js'
import { explain } from './advice.js'
import { assertCanAsk, confirm } from './confirm.js'
import { CommandError, EXIT, Interrupted } from './exit.js'
import { type AccountOptions, locate, openAccount } from './lexicons-account.js'
import { compareLexicons, type Lexicon, type LexiconState } from './lexicons-diff.js'
import { askDns, type DnsAnswer, dnsValueOf, groupsOf } from './lexicons-dns.js'
import { readLexicons } from './lexicons-files.js'
import { type LexiconRepo, readPublished, writeLexicons } from './lexicons-repo.js'
import { dnsLines, lexiconLines } from './lexicons-text.js'
import { untilInterrupted } from './signals.js'
import { print, printJson } from './stdout.js'
import { counted, plain } from './text.js'

interface LexiconOptions {
  readonly dir?: string
  readonly dns?: string
  readonly json?: boolean
}

export interface PublishOptions extends LexiconOptions, AccountOptions {
  readonly yes?: boolean
  readonly dryRun?: boolean
}

export interface CheckOptions extends LexiconOptions {
  readonly did?: string
}

/** Writes what differs from the files into the repo of the account. */
export async function publishLexicons(options: PublishOptions): Promise<number> {
  const { login, dir, dns, json = false, yes = false, dryRun = false } = options
  if (!yes && !dryRun) assertCanAsk()
  return attempt(
    (error) => explainLogin(error, login),
    async (signal) => {
      const lexicons = await readLexicons(dir)
      const account = await openAccount(options, signal)
      const { commit, lexicons: published } = await readPublished(account, signal)
      const states = compareLexicons(lexicons, published)
      const answers = await askDns(groupsOf(lexicons.map(({ nsid }) => nsid)), dns)
      if (!json) await printReport(account, states, answers)
      const due = states.filter(({ state }) => state === 'new' || state === 'changed')
      if (!dryRun && due.length > 0) {
        if (!yes) {
          const question = `Publish ${counted(due.length, 'lexicon')} in the repo of ${account.did}?`
          await confirm(question, 'Nothing was published.', signal)
        }
        const names = new Set(due.map(({ nsid }) => nsid))
        const there = new Set(published.map(({ nsid }) => nsid))
        const chosen = lexicons.filter(({ nsid }) => names.has(nsid))
        await account.write((author) =>
          writeLexicons(author, chosen, there, commit, signal).catch(explainSwap),
        )
      }
      if (json) await printJson({ ...reportOf(account, states, answers), published: dryRun ? 0 : due.length })
      process.stderr.write(afterPublish(account, due.length, dryRun, answers))
      return EXIT.done
    },
  )
}

/** Compares what DNS names and what is published there with the files. */
export async function checkLexicons({ dir, dns, did, json = false }: CheckOptions): Promise<number> {
  return attempt(
    (error) => new CommandError(plain(error.message), { cause: error }),
    async (signal) => {
      const lexicons = await readLexicons(dir)
      const answers = await askDns(groupsOf(lexicons.map(({ nsid }) => nsid)), dns)
      const repos = await Promise.all(
        didsOf(did, answers).map(async (each) => {
          const repo = await locate(each, signal)
          const { lexicons: published } = await readPublished(repo, signal)
          return { repo, states: compareLexicons(ofRepo(lexicons, each, did, answers), published) }
        }),
      )
      if (json) {
        await printJson({
          dns: answers.map((answer) => dnsReport(answer, did)),
          repos: repos.map(({ repo, states }) => ({ did: repo.did, pds: repo.pds, lexicons: states })),
        })
      } else {
        for (const { repo, states } of repos) await printLines([repoLine(repo), ...lexiconLines(states)])
        await printLines(dnsLines(answers, did))
      }
      const problems = checkProblems(repos, answers, did)
      process.stderr.write(
        problems.length === 0 ? 'Everything is published as in the files.\n' : problems.join(''),
      )
      return problems.length === 0 ? EXIT.done : EXIT.failed
    },
  )
}

async function attempt(
  explained: (error: BackfillError) => Error,
  use: (signal: AbortSignal) => Promise<number>,
): Promise<number> {
  const { signal, restore } = untilInterrupted()
  try {
    return await use(signal)
  } catch (error) {
    if (signal.aborted && !(error instanceof Interrupted)) throw new Interrupted('Interrupted.')
    throw error instanceof BackfillError ? explained(error) : error
  } finally {
    restore()
  }
}

/** The service has no part in this: who refuses or does not answer is a PDS or the directory, which the message names. */
function explainLogin(error: BackfillError, login: string | undefined): Error {
  if (login === undefined) return new CommandError(plain(error.message), { cause: error })
  if (error.status === 404 || error.status === 501)
    return new CommandError(`${plain(error.message)}\nIs --pds right?`)
  return explain(error, { service: 'no service', did: login, isAccount: true })
}

/** Whose repos are looked into: the one that was named, else those that DNS names. */
function didsOf(did: string | undefined, answers: readonly DnsAnswer[]): string[] {
  if (did !== undefined) return [did]
  return [...new Set(answers.flatMap(({ found }) => (found.state === 'found' ? [found.did] : [])))]
}

function ofRepo(
  lexicons: readonly Lexicon[],
  repo: string,
  wanted: string | undefined,
  answers: readonly DnsAnswer[],
): Lexicon[] {
  if (wanted !== undefined) return [...lexicons]
  const groups = answers.flatMap(({ group, found }) =>
    found.state === 'found' && found.did === repo ? [group] : [],
  )
  return lexicons.filter(({ nsid }) => groupsOf([nsid]).every((group) => groups.includes(group)))
}

function checkProblems(
  repos: readonly { readonly states: readonly LexiconState[] }[],
  answers: readonly DnsAnswer[],
  did: string | undefined,
): string[] {
  const differing = repos.flatMap(({ states }) => states).filter(({ state }) => state !== 'unchanged')
  const wrong = answers.filter((answer) => !isRight(answer, did))
  return [
    ...(differing.length > 0
      ? [
          `${counted(differing.length, 'lexicon')} not as in the files: "aquifer lexicons publish" writes those.\n`,
        ]
      : []),
    ...wrong.map((answer) => dnsAdvice(answer, did)),
  ]
}

function isRight({ found }: DnsAnswer, did: string | undefined): boolean {
  return found.state === 'found' && (did === undefined || found.did === did)
}

function dnsAdvice({ name, found }: DnsAnswer, did: string | undefined): string {
  if (found.state === 'unreachable') {
    return `DNS could not be asked for ${name}: try again, or name a server with --dns.\n`
  }
  const value = did === undefined ? 'did=<DID of the account that publishes them>' : dnsValueOf(did)
  const others = found.state === 'missing' ? '' : ', as the only one of its kind'
  return `Nobody finds the lexicons yet: this DNS record must be there${others}:\n  ${name}. TXT "${value}"\n`
}

function afterPublish(
  { did }: LexiconRepo,
  due: number,
  isDryRun: boolean,
  answers: readonly DnsAnswer[],
): string {
  const said =
    due === 0
      ? 'Everything is published as in the files.\n'
      : isDryRun
        ? `Nothing was published: without --dry-run it would be ${counted(due, 'lexicon')}.\n`
        : `${counted(due, 'lexicon')} published.\n`
  return (
    said +
    answers
      .filter((answer) => !isRight(answer, did))
      .map((answer) => dnsAdvice(answer, did))
      .join('')
  )
}

function explainSwap(error: unknown): never {
  if (error instanceof BackfillError && error.name === 'InvalidSwap') {
    throw new CommandError(
      'Nothing was published: the repo has changed in the meantime. Give the command again to see how it is now.',
      { cause: error },
    )
  }
  throw error
}

async function printReport(
  repo: LexiconRepo,
  states: readonly LexiconState[],
  answers: readonly DnsAnswer[],
): Promise<void> {
  await printLines([repoLine(repo), ...lexiconLines(states), ...dnsLines(answers, repo.did)])
}

async function printLines(lines: readonly string[]): Promise<void> {
  await print(lines.map((line) => `${line}\n`).join(''))
}

function repoLine({ did, pds }: LexiconRepo): string {
  return `repo       ${did} on ${pds}`
}

function reportOf({ did, pds }: LexiconRepo, states: readonly LexiconState[], answers: readonly DnsAnswer[]) {
  return { did, pds, lexicons: states, dns: answers.map((answer) => dnsReport(answer, did)) }
}

function dnsReport(answer: DnsAnswer, did: string | undefined) {
  const { name, found } = answer
  return { name, ...(did !== undefined && { value: dnsValueOf(did) }), ok: isRight(answer, did), found }
}
