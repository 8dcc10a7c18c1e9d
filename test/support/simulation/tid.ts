/** In the order of their values, so that TIDs sort as their times do. */
const DIGITS = '234567abcdefghijklmnopqrstuvwxyz'

/** The TID of a moment (https://atproto.com/specs/tid). */
export function tidAt(micros: number, clock = 0): string {
  return sortable(micros, 11) + sortable(clock, 2)
}

/** A number in so many digits of base 32 that sort as numbers do. */
export function sortable(number: number, length: number): string {
  let digits = ''
  for (let rest = number; digits.length < length; rest = Math.floor(rest / 32)) {
    digits = DIGITS[rest % 32]! + digits
  }
  return digits
}

/** The number behind `sortable`; null when it is none. */
export function fromSortable(digits: string): number | null {
  let number = 0
  for (const digit of digits) {
    const value = DIGITS.indexOf(digit)
    if (value === -1) return null
    number = number * 32 + value
  }
  return number
}
