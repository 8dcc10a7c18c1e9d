import { isIP } from 'node:net'
import { isValidDid } from '@atproto/syntax'
import { didWebFromUrl } from './auth/did-document.js'

/** All problems of a configuration at once, one line each. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError'
  constructor(readonly problems: readonly string[]) {
    super(
      `The configuration has ${problems.length === 1 ? 'a problem' : `${problems.length} problems`}:\n${problems.map((p) => `  - ${p}`).join('\n')}`,
    )
  }
}

export type Environment = Readonly<Record<string, string | undefined>>

/** Reads variables one by one and keeps every problem for the end. */
export class ConfigReader {
  readonly #env: Environment
  readonly #problems: string[] = []

  constructor(env: Environment) {
    this.#env = env
  }

  finish(): void {
    if (this.#problems.length > 0) throw new ConfigError(this.#problems)
  }

  text(name: string, fallback: string): string {
    return this.#env[name]?.trim() || fallback
  }

  list(name: string): string[] {
    return this.text(name, '')
      .split(',')
      .map((part) => part.trim())
      .filter((part) => part !== '')
  }

  /** Text that goes into a request header. */
  headerText(name: string): string {
    const text = this.text(name, '')
    return /^[\x20-\x7e]*$/.test(text) ? text : this.#refuse(name, text, 'plain ASCII text on one line', '')
  }

  /** Names of hosts in lower case, perhaps with a wildcard in front. */
  hostnames(name: string): string[] {
    return this.list(name).map((text) => {
      const hostname = text.toLowerCase().replace(/^\*\./, '')
      const isName = /^[^\s/\\@?#:*]+$/.test(hostname) && URL.canParse(`https://${hostname}`)
      if (isName || isIP(hostname.replace(/^\[|\]$/g, '')) !== 0) return text.toLowerCase()
      return this.#refuse(
        name,
        text,
        'a host name such as pds.example or *.example (no scheme, port or path)',
        '',
      )
    })
  }

  integer(name: string, fallback: number, min: number, max: number): number {
    const text = this.text(name, String(fallback))
    const value = Number(text)
    if (/^\d+$/.test(text) && value >= min && value <= max) return value
    return this.#refuse(name, text, `a whole number from ${min} to ${max}`, fallback)
  }

  /** A whole number that bounds something; 0 stands for no limit, which is null. */
  limit(name: string, fallback: number, max: number): number | null {
    return this.integer(name, fallback, 0, max) || null
  }

  flag(name: string, fallback: boolean): boolean {
    const text = this.text(name, String(fallback)).toLowerCase()
    if (['true', '1', 'yes'].includes(text)) return true
    if (['false', '0', 'no'].includes(text)) return false
    return this.#refuse(name, text, '"true" or "false"', fallback)
  }

  choice<const T extends readonly string[]>(name: string, choices: T, fallback: T[number]): T[number] {
    const text = this.text(name, fallback)
    if (choices.includes(text)) return text
    return this.#refuse(name, text, `one of ${choices.join(', ')}`, fallback)
  }

  dids(name: string): string[] {
    const dids = this.list(name)
    for (const did of dids) {
      if (!isValidDid(did)) this.#refuse(name, did, 'a DID such as did:plc:… or did:web:…', null)
    }
    return dids
  }

  did(name: string): string | null {
    const [did, ...more] = this.dids(name)
    return more.length > 0 ? this.#refuse(name, this.text(name, ''), 'a single DID', null) : (did ?? null)
  }

  /** The did:web of our own address. */
  didOf(name: string, url: string): string {
    // An unusable URL has its problem already.
    if (url === '') return ''
    try {
      return didWebFromUrl(url)
    } catch {
      return this.#refuse(
        name,
        url,
        'a URL with a host name (did:web has none for an address), or set SERVICE_DID',
        '',
      )
    }
  }

  origin(name: string, allowHttp: boolean): string | null {
    const [origin, ...more] = this.origins(name, [], allowHttp)
    return more.length > 0 ? this.#refuse(name, this.text(name, ''), 'a single origin', '') : (origin ?? null)
  }

  origins(name: string, fallback: readonly string[], allowHttp: boolean): string[] {
    const given = this.list(name)
    const origins = given.map((text) => {
      const url = URL.canParse(text) ? new URL(text) : null
      const schemes = allowHttp ? ['https:', 'http:'] : ['https:']
      const bare = url && url.href === `${url.origin}/`
      if (bare && schemes.includes(url.protocol)) return url.origin
      const wanted = `an ${allowHttp ? 'http(s)' : 'https'} origin such as https://relay.example (no path)`
      return this.#refuse(name, text, wanted, '')
    })
    return given.length > 0 ? [...new Set(origins)] : [...fallback]
  }

  /** 32 bytes in hexadecimal. */
  privateKey(name: string): string | null {
    const text = this.text(name, '').toLowerCase()
    if (text === '' || /^[0-9a-f]{64}$/.test(text)) return text || null
    // The value is not repeated: most of it may be right.
    this.#problems.push(`${name} is not a private key: 64 digits, as "openssl rand -hex 32" prints them`)
    return null
  }

  databaseUrl(name: string): string | null {
    const text = this.text(name, '')
    if (text === '') return null
    // What stands in no place of its own might be part of a password, and would be printed.
    if (/^postgres(ql)?:\/\/[^#]*$/i.test(text) && URL.canParse(text)) return text
    // The value is not repeated: it may hold a password.
    this.#problems.push(
      `${name} is not a connection string of the form postgres://user:password@host:port/database`,
    )
    return null
  }

  #refuse<T>(name: string, value: string, wanted: string, fallback: T): T {
    const shown = JSON.stringify(value.replace(/\/\/.*@/s, '//***@'))
    this.#problems.push(`${name} is ${shown}, but must be ${wanted}`)
    return fallback
  }
}
