import { once } from 'node:events'
import { type AddressInfo, createServer, type Socket } from 'node:net'

/**
 * Serves HTTP spoken by hand, on so many ports: what a program that stands in for others takes from the machine is
 * missing to those who are measured.
 * @param answerTo gives the whole answer to a request's head
 * @returns the origins
 */
export function serveByHand(
  ports: number,
  answerTo: (request: string) => string | Buffer,
): Promise<string[]> {
  const serve = (socket: Socket) => {
    let received = ''
    socket.setNoDelay(true)
    socket.on('error', () => {})
    socket.on('data', (chunk) => {
      received += chunk.toString('latin1')
      for (let end = received.indexOf('\r\n\r\n'); end !== -1; end = received.indexOf('\r\n\r\n')) {
        socket.write(answerTo(received.slice(0, end)))
        received = received.slice(end + 4)
      }
    })
  }
  return Promise.all(
    Array.from({ length: ports }, async () => {
      const server = createServer(serve).listen(0, '127.0.0.1')
      await once(server, 'listening')
      return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    }),
  )
}
