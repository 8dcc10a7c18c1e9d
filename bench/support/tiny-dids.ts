const DIGITS = 'abcdefghijklmnopqrstuvwxyz234567'
const LENGTH = 24

/** Of these, few enough that a number holds them. */
const DIGITS_USED = 8

/** The DID of an account that is a number. */
export function didOfNumber(account: number): string {
  let name = ''
  for (let rest = account; name.length < LENGTH; rest = Math.floor(rest / 32)) name = DIGITS[rest % 32] + name
  return `did:plc:${name}`
}

/** The number whose DID it is. */
export function numberOfDid(did: string): number {
  return [...did.slice(-DIGITS_USED)].reduce((sum, digit) => sum * 32 + DIGITS.indexOf(digit), 0)
}
