import { isValidNsid } from '@atproto/syntax'

/** What the name of an authority becomes in code and text. Pure. */

/** The last segment of every name of ours; what stands before it is the authority. */
const GROUP = 'backfill'

interface Spelling {
  readonly before: RegExp
  readonly after: string
}

/** @throws Error for what is no authority of lexicons */
export function assertAuthority(authority: string): void {
  if (authority.includes('.') && isValidNsid(`${authority}.${GROUP}.createJob`)) return
  throw new Error(`${JSON.stringify(authority)} is not an authority such as com.acme (a domain, backwards)`)
}

/**
 * The authority that the lexicons have now.
 * @param ids of all of them
 * @throws Error when there is not exactly one
 */
export function authorityOf(ids: readonly string[]): string {
  const groups = ids
    .map((id) => id.slice(0, id.lastIndexOf('.')))
    .filter((group) => group.endsWith(`.${GROUP}`))
  const authorities = [...new Set(groups.map((group) => group.slice(0, -GROUP.length - 1)))]
  if (authorities.length !== 1)
    throw new Error(`the lexicons have ${authorities.length} authorities, not one`)
  return authorities[0]!
}

/** Where an authority's lexicons of ours are, below `lexicons/`. */
export function folderOf(authority: string): string {
  return [...authority.split('.'), GROUP].join('/')
}

/** A text with one authority's name of our lexicons in the place of another's, however it is spelled there. */
export function renameIn(text: string, from: string, to: string): string {
  return spellings(from, to).reduce(
    (renamed, { before, after }) => renamed.replace(before, () => after),
    text,
  )
}

/** Whether a text has an authority's name of our lexicons in it. */
export function mentions(text: string, authority: string): boolean {
  return spellings(authority, authority).some(({ before }) => text.search(before) >= 0)
}

function spellings(from: string, to: string): Spelling[] {
  const [old, next] = [segmentsOf(from), segmentsOf(to)]
  // Neither the end of a longer name nor the beginning of one.
  const whole = (before: string) => new RegExp(`(?<![\\w-])${escaped(before)}(?![\\w-])`, 'g')
  return [
    // `client.network.example.backfill`: generated properties have no hyphens.
    {
      before: new RegExp(`(?<=[\\w)]\\.)${escaped(properties(old).join('.'))}\\b`, 'g'),
      after: properties(next).join('.'),
    },
    { before: whole(old.join('.')), after: next.join('.') },
    // In regular expressions.
    { before: whole(old.join('\\.')), after: next.join('\\.') },
    { before: whole(old.join('/')), after: next.join('/') },
    { before: whole(old.toReversed().join('.')), after: next.toReversed().join('.') },
    { before: new RegExp(`\\b${title(old)}(?=[A-Z])`, 'g'), after: title(next) },
    { before: new RegExp(escaped(indexed(old)), 'g'), after: indexed(next) },
  ]
}

function segmentsOf(authority: string): string[] {
  return [...authority.split('.'), GROUP]
}

/** As lex-cli has them. */
function properties(segments: readonly string[]): string[] {
  return segments.map((segment) => segment.replace(/-(\w)/g, (_, letter: string) => letter.toUpperCase()))
}

function title(segments: readonly string[]): string {
  return segments
    .flatMap((segment) => segment.split('-'))
    .map((word) => word.slice(0, 1).toUpperCase() + word.slice(1))
    .join('')
}

/** `['network']['example']['backfill']` */
function indexed(segments: readonly string[]): string {
  return properties(segments)
    .map((segment) => `['${segment}']`)
    .join('')
}

function escaped(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\/]/g, '\\$&')
}
