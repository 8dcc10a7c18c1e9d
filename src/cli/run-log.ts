import { pino } from 'pino'
import type { LogLevel } from '../config.js'
import type { EventName, Logger } from '../events.js'
import { plain } from './text.js'

/** Notes on what holds a run up: after so many nobody reads them any more. */
const NOTES_MAX = 20

interface LogLine {
  readonly level: string
  readonly event?: EventName
  readonly [detail: string]: unknown
}

/**
 * What a run tells besides its progress. At a level that somebody asked for: the lines of the log. Else what
 * people need to know, as text: why it waits, and faults.
 * @param say prints a line
 */
export function createRunLogger(asked: LogLevel | null, say: (line: string) => void): Logger {
  const options = {
    level: asked ?? 'warn',
    base: null,
    formatters: { level: (label: string) => ({ level: label }) },
  }
  const notes = new Set<string>()
  const write = (line: string) => {
    if (asked !== null) return say(line.trimEnd())
    const note = noteOf(JSON.parse(line), line.trimEnd())
    // The same trouble comes back with every try.
    if (note === null || notes.has(note) || notes.size >= NOTES_MAX) return
    notes.add(note)
    say(note)
  }
  return pino(options, { write })
}

function noteOf(line: LogLine, text: string): string | null {
  const told = (name: string) => plain(String(line[name]))
  switch (line.event) {
    case 'discovery.deferred':
      return `The ${line.lists === 'repos' ? 'host' : 'relay'} ${told('origin')} cannot be read: ${told('why')}. Trying again.`
    case 'host.cooling':
      return `${told('host')} asks to wait: its repos take longer.`
    case 'host.parked':
      return `${told('host')} does not answer: its repos wait until it does.`
    case 'engine.halted':
      return `The work stands still: ${told('why')}. It goes on by itself.`
    case 'database.connection-lost':
      return 'The connection to the database is lost. Trying again.'
    default:
      return line.level === 'error' || line.level === 'fatal' ? text : null
  }
}
