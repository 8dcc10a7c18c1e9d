import { connect } from 'node:net'

/**
 * The question whether the server speaks TLS, which it answers with one byte before it asks who we are (Postgres's
 * protocol, message SSLRequest): the length of the message, and the code of the question.
 */
const TLS_QUESTION = Buffer.from([0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f])
const ANSWER_MILLISECONDS_MAX = 5_000

/**
 * Whether a Postgres answers on a port of this machine. One that was just killed does not any more, though its
 * process may still be there for a moment; nor does one that is stopped.
 */
export function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: '127.0.0.1', port })
    const finish = (answered: boolean) => {
      socket.destroy()
      resolve(answered)
    }
    socket.setTimeout(ANSWER_MILLISECONDS_MAX, () => finish(false))
    socket.on('connect', () => socket.write(TLS_QUESTION))
    socket.on('data', () => finish(true))
    socket.on('error', () => finish(false))
    socket.on('close', () => finish(false))
  })
}
