import type { FieldChange, Json, LexiconState } from './lexicons-diff.js'
import { type DnsAnswer, dnsValueOf } from './lexicons-dns.js'
import { counted, pad, plain } from './text.js'

/** What is published, as people read it. Pure. */

/** A value of a field is cut after so many characters: the difference is what counts. */
const VALUE_LENGTH = 100

const WORDS = { new: 'new', changed: 'changed', unchanged: 'unchanged', 'no-file': 'no file' } as const

const WORD_WIDTH = 11

/** Each lexicon that differs, with what differs in it; the others are only counted. */
export function lexiconLines(states: readonly LexiconState[]): string[] {
  const lines = states
    .filter(({ state }) => state !== 'unchanged')
    .flatMap((lexicon) => [
      word(WORDS[lexicon.state]) + plain(lexicon.nsid),
      ...(lexicon.state === 'changed' ? lexicon.changes.flatMap(changeLines) : []),
    ])
  const same = states.filter(({ state }) => state === 'unchanged').length
  return same === 0 ? lines : [...lines, `${word(WORDS.unchanged)}${counted(same, 'lexicon')}`]
}

/** The TXT record of each group, as it must be, and what was found. */
export function dnsLines(answers: readonly DnsAnswer[], did: string | undefined): string[] {
  return answers.map((answer) => {
    const value = did === undefined ? '"did=…"' : JSON.stringify(dnsValueOf(did))
    return `${word('DNS')}${answer.name} TXT ${value}  ${findingText(answer, did)}`
  })
}

function findingText({ found }: DnsAnswer, did: string | undefined): string {
  switch (found.state) {
    case 'found':
      return did === undefined || found.did === did ? 'ok' : `names another: ${plain(found.did)}`
    case 'missing':
      return 'missing'
    case 'unusable':
      return `unusable: ${found.records.map((record) => plain(JSON.stringify(record))).join(' ')}`
    case 'unreachable':
      return `could not be asked for (${plain(found.reason)})`
  }
}

function changeLines({ at, before, after }: FieldChange): string[] {
  const place = plain(at)
  if (before === undefined) return [`  + ${place}: ${valueText(after)}`]
  if (after === undefined) return [`  - ${place}: ${valueText(before)}`]
  return [`  ~ ${place}: ${valueText(before)}`, `${' '.repeat(place.length + 4)}→ ${valueText(after)}`]
}

function valueText(value: Json | undefined): string {
  const text = plain(JSON.stringify(value) ?? '')
  return text.length > VALUE_LENGTH ? `${text.slice(0, VALUE_LENGTH)}…` : text
}

function word(text: string): string {
  return pad(text, WORD_WIDTH, 'right')
}
