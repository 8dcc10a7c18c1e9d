import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { CommandError } from './exit.js'

/** Where a browser of this machine brings the answer of an authorization server (RFC 8252 §7.3). */
export interface CallbackListener extends AsyncDisposable {
  readonly redirectUri: `http://127.0.0.1:${number}/callback`
  /** The parameters of the first answer that was expected. */
  readonly answer: Promise<URLSearchParams>
}

const PATH = '/callback'

/** Says nothing of how it went: that is only known once the code was exchanged, and in the terminal. */
const PAGE = `<!doctype html><meta charset="utf-8"><title>Aquifer</title>
<p>You can close this window. How it went is said in the terminal.
`

/**
 * Listens on a port that the system chooses.
 * @param isExpected whether an answer is one to what was asked: anybody on this machine can ask for the address
 */
export async function listenForCallback(
  isExpected: (params: URLSearchParams) => boolean,
): Promise<CallbackListener> {
  const { promise, resolve } = Promise.withResolvers<URLSearchParams>()
  const server = createServer((request, response) => {
    const { pathname, searchParams } = new URL(request.url ?? '/', 'http://127.0.0.1')
    if (request.method !== 'GET' || pathname !== PATH) return respond(request, response, 404)
    if (!isExpected(searchParams)) return respond(request, response, 400)
    respond(request, response, 200, PAGE)
    resolve(searchParams)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening').catch((error: Error) => {
    throw new CommandError(`Cannot listen on 127.0.0.1 for your browser: ${error.message}.`, { cause: error })
  })
  const { port } = server.address() as AddressInfo
  return {
    redirectUri: `http://127.0.0.1:${port}${PATH}`,
    answer: promise,
    async [Symbol.asyncDispose]() {
      const closed = once(server, 'close')
      server.close()
      // Browsers open connections ahead on which they ask for nothing.
      server.closeIdleConnections()
      const force = setTimeout(() => server.closeAllConnections(), 1_000)
      await closed
      clearTimeout(force)
    },
  }
}

function respond(request: IncomingMessage, response: ServerResponse, status: number, page = ''): void {
  request.resume()
  response.writeHead(status, {
    'content-type': 'text/html',
    'content-security-policy': "default-src 'none'",
    'referrer-policy': 'no-referrer',
    'cache-control': 'no-store',
    connection: 'close',
  })
  response.end(page)
}
