import { request } from 'undici'

/** Somebody's account on a PDS, as its sign-in page is told. */
export interface SignIn {
  readonly did: string
  readonly identifier: string
  readonly password: string
}

/** A session of a program, as the account's own settings show it. */
export interface OAuthGrant {
  readonly clientId: string
  readonly scope: string
}

const API = '/@atproto/oauth-provider/~api'
const CSRF_COOKIE = 'csrf-token'

/**
 * A browser with somebody in front of it, as far as the pages of a PDS's authorization server need one: it keeps
 * cookies, says where its requests come from, and calls what the pages call when a button is pressed.
 */
export class TestBrowser {
  readonly #cookies = new Map<string, string>()

  /** Signs in on the page at an address, and lets the program have what it asks for. @returns where the page leads */
  async allow(page: URL, signIn: SignIn): Promise<URL> {
    const { did, identifier, password } = signIn
    await this.#show(page)
    await this.#call(page, 'sign-in', { username: identifier, password, locale: 'en', remember: true })
    const { url } = await this.#call<{ url: string }>(page, 'consent', { did })
    return this.#leave(page, new URL(url))
  }

  /** Refuses. @returns where the page leads */
  async refuse(page: URL): Promise<URL> {
    await this.#show(page)
    const { url } = await this.#call<{ url: string }>(page, 'reject', {})
    return this.#leave(page, new URL(url))
  }

  /** Which programs have a session of an account that has signed in here. */
  async grants(pds: string, did: string): Promise<OAuthGrant[]> {
    return this.#call(new URL('/account', pds), `oauth-sessions?did=${did}`)
  }

  async #show(page: URL): Promise<void> {
    const { status, text } = await this.#send(page, { headers: navigation('none') })
    if (status !== 200) throw new Error(`${page}: ${status} ${text.slice(0, 2_000)}`)
  }

  async #call<Answer>(page: URL, endpoint: string, input?: object): Promise<Answer> {
    const { status, text } = await this.#send(new URL(`${API}/${endpoint}`, page), {
      headers: {
        origin: page.origin,
        referer: page.href,
        'sec-fetch-site': 'same-origin',
        'sec-fetch-mode': 'same-origin',
        'x-csrf-token': this.#cookies.get(CSRF_COOKIE) ?? '',
      },
      input,
    })
    if (status !== 200) throw new Error(`${endpoint}: ${status} ${text}`)
    return JSON.parse(text) as Answer
  }

  async #leave(page: URL, way: URL): Promise<URL> {
    const headers = { ...navigation('same-origin'), referer: page.href }
    const { status, location, text } = await this.#send(way, { headers })
    if (location === undefined) throw new Error(`${way}: ${status} ${text}`)
    return new URL(location)
  }

  /** Not by `fetch`, which says itself where its requests come from. */
  async #send(url: URL, { headers, input }: { headers: Record<string, string>; input?: object | undefined }) {
    const cookie = [...this.#cookies].map(([name, value]) => `${name}=${value}`).join('; ')
    const response = await request(url, {
      method: input === undefined ? 'GET' : 'POST',
      headers: {
        'accept-language': 'en',
        'user-agent': 'aquifer-test',
        ...(cookie !== '' && { cookie }),
        ...(input !== undefined && { 'content-type': 'application/json' }),
        ...headers,
      },
      ...(input !== undefined && { body: JSON.stringify(input) }),
    })
    for (const line of [response.headers['set-cookie'] ?? []].flat()) {
      const [, name, value] = /^([^=]+)=([^;]*)/.exec(line) ?? []
      if (name !== undefined && value !== undefined) this.#cookies.set(name, value)
    }
    const location = response.headers.location?.toString()
    return { status: response.statusCode, location, text: await response.body.text() }
  }
}

const navigation = (site: 'none' | 'same-origin') => ({
  'sec-fetch-site': site,
  'sec-fetch-mode': 'navigate',
  'sec-fetch-dest': 'document',
})
