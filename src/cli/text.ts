/** Text as a terminal shows it. Pure. */

const SEGMENTER = new Intl.Segmenter()

/** Characters that take two columns: those of East Asia, and emoji. */
const WIDE =
  /\p{Emoji_Presentation}|\uFE0F|[\u1100-\u115F\u2E80-\uA4CF\uAC00-\uD7A3\uF900-\uFAFF\uFE30-\uFE6F\uFF00-\uFF60\uFFE0-\uFFE6\u{20000}-\u{3FFFD}]/u

/** What moves the cursor, changes colours or turns the direction of writing: text of others must not do that. */
const CONTROLS = /[\p{Cc}\u2028\u2029\u202A-\u202E\u2066-\u2069]+/gu

/** Text on one line that only stands there, whoever wrote it. */
export function plain(text: string): string {
  return text.replace(CONTROLS, ' ').trim()
}

/** Columns that a text takes. */
export function widthOf(text: string): number {
  if (/^[\x20-\x7E]*$/.test(text)) return text.length
  let width = 0
  for (const { segment } of SEGMENTER.segment(text)) width += WIDE.test(segment) ? 2 : 1
  return width
}

/** A text that takes at most so many columns: cut, with an ellipsis, if it is longer. */
export function truncate(text: string, columns: number): string {
  if (widthOf(text) <= columns) return text
  let kept = ''
  let width = 1
  for (const { segment } of SEGMENTER.segment(text)) {
    width += widthOf(segment)
    if (width > columns) break
    kept += segment
  }
  return columns < 1 ? '' : `${kept}…`
}

/** A text filled up with spaces. */
export function pad(text: string, columns: number, side: 'left' | 'right'): string {
  const spaces = ' '.repeat(Math.max(0, columns - widthOf(text)))
  return side === 'left' ? spaces + text : text + spaces
}

/** `1,234` */
export function count(value: number): string {
  return value.toLocaleString('en-US')
}

/** `1 repo`, `2 repos` */
export function counted(value: number, noun: string): string {
  return `${count(value)} ${noun}${value === 1 ? '' : 's'}`
}

/** A time that is left, from seconds. */
export function duration(seconds: number): string {
  // Rounded before it is divided: 59.5 min are an hour, not 60 min.
  if (seconds <= 59) return `${Math.ceil(seconds)} s`
  const minutes = Math.ceil(seconds / 60)
  return minutes < 60 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`
}
