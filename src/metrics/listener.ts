import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { SetupError } from '../errors.js'
import { checkHealth, inTime } from '../health.js'
import type { Service } from '../service.js'
import { readLoad } from '../store/load.js'

type Parts = Pick<Service, 'config' | 'store' | 'engine' | 'metrics' | 'now'>

export interface MetricsListener extends AsyncDisposable {
  readonly server: Server
}

/** Everything there is to measure, as Prometheus reads it. */
export async function scrape({ store, engine, metrics }: Parts): Promise<{ type: string; text: string }> {
  const load = await inTime(readLoad(store.db))
  const working = engine && { isHalted: engine.halted !== null, hostsDriven: engine.hostsDriven }
  return { type: metrics.contentType, text: await metrics.text({ load, engine: working }) }
}

/**
 * Answers `/metrics` and `/xrpc/_health` on a port of their own, for whoever looks after the service: callers need
 * not see the one, and a worker has no other port.
 * @throws SetupError when the port cannot be had
 */
export async function listenForScrapes(parts: Parts, port: number): Promise<MetricsListener> {
  const { host } = parts.config.server
  const server = createServer((request, response) => {
    answer(parts, request, response).catch(() => response.destroy())
  })
  server.listen(port, host)
  try {
    await once(server, 'listening')
  } catch (error) {
    throw new SetupError(`Cannot listen on ${host}:${port}: ${(error as Error).message}`, { cause: error })
  }
  return {
    server,
    async [Symbol.asyncDispose]() {
      const closed = once(server, 'close')
      server.close()
      server.closeAllConnections()
      await closed
    },
  }
}

async function answer(parts: Parts, { url = '' }: IncomingMessage, response: ServerResponse): Promise<void> {
  const [path] = url.split('?')
  if (path === '/metrics') {
    const { type, text } = await scrape(parts)
    response.writeHead(200, { 'content-type': type }).end(text)
  } else if (path === '/xrpc/_health') {
    const { status, body } = await checkHealth(parts)
    response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
  } else
    response.writeHead(404, { 'content-type': 'text/plain' }).end('There are /metrics and /xrpc/_health.\n')
}
