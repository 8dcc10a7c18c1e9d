import { createServer } from 'node:net'
import { readIfExists, writeDurably } from './files.js'

/**
 * Chooses a port on loopback that nobody listens on now. The one used last comes first, so that a process which
 * holds the old address finds the server again after somebody else restarted it.
 *
 * @param memory the file that holds the port used last
 */
export async function choosePort(memory: string): Promise<number> {
  const last = Number(await readIfExists(memory))
  return (last > 0 ? await tryPort(last) : undefined) ?? (await tryPort(0)) ?? noPort()
}

/** Remembers a port which a server listens on. */
export async function rememberPort(memory: string, port: number): Promise<void> {
  if (Number(await readIfExists(memory)) !== port) await writeDurably(memory, `${port}\n`, 0o644)
}

/** The port itself, or any when it is 0, if it can be listened on. */
function tryPort(port: number): Promise<number | undefined> {
  return new Promise((resolve) => {
    const server = createServer()
    server.on('error', () => resolve(undefined))
    server.listen({ port, host: '127.0.0.1' }, () => {
      const address = server.address()
      const found = address !== null && typeof address === 'object' ? address.port : undefined
      server.close(() => resolve(found))
    })
  })
}

function noPort(): never {
  throw new Error('no port is free on 127.0.0.1')
}
