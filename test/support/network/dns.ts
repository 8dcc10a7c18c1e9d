import { createSocket, type RemoteInfo, type Socket } from 'node:dgram'
import { once } from 'node:events'

/** A DNS server on loopback that knows TXT records only. */
export class TestDns implements AsyncDisposable {
  /** TXT records by name; whoever has none does not exist. */
  readonly records = new Map<string, readonly string[]>()
  /** Names that were asked for. */
  readonly asked: string[] = []
  readonly #socket: Socket

  constructor(socket: Socket) {
    this.#socket = socket
    socket.on('message', (message, from) => this.#answer(message, from))
  }

  /** `127.0.0.1:5353` */
  get address(): string {
    return `127.0.0.1:${this.#socket.address().port}`
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#socket.close()
    await once(this.#socket, 'close')
  }

  #answer(message: Buffer, from: RemoteInfo): void {
    const question = readQuestion(message)
    this.asked.push(question.name)
    const texts = question.type === TXT ? (this.records.get(question.name) ?? []) : []
    const header = Buffer.alloc(HEADER_BYTES)
    message.copy(header, 0, 0, 2)
    header.writeUInt16BE(texts.length > 0 ? ANSWERED : NO_SUCH_NAME, 2)
    header.writeUInt16BE(1, 4)
    header.writeUInt16BE(texts.length, 6)
    this.#socket.send(
      Buffer.concat([header, message.subarray(HEADER_BYTES, question.end), ...texts.map(answerOf)]),
      from.port,
      from.address,
    )
  }
}

/** Starts a server on a port chosen by the system. */
export async function startDns(): Promise<TestDns> {
  const socket = createSocket('udp4').bind(0, '127.0.0.1')
  await once(socket, 'listening')
  return new TestDns(socket)
}

const HEADER_BYTES = 12
const TXT = 16
/** A response, recursion wanted and available; with the code 3 for a name that does not exist. */
const ANSWERED = 0x8180
const NO_SUCH_NAME = 0x8183

function readQuestion(message: Buffer): { name: string; type: number; end: number } {
  const labels: string[] = []
  let at = HEADER_BYTES
  for (let length = message[at]!; length > 0; length = message[at]!) {
    labels.push(message.toString('latin1', at + 1, at + 1 + length))
    at += length + 1
  }
  return { name: labels.join('.').toLowerCase(), type: message.readUInt16BE(at + 1), end: at + 5 }
}

/** The record for the name that was asked for, in strings of at most 255 bytes. */
function answerOf(text: string): Buffer {
  const bytes = Buffer.from(text)
  const strings: Buffer[] = []
  for (let start = 0; start < bytes.length; start += 255) {
    const part = bytes.subarray(start, start + 255)
    strings.push(Buffer.from([part.length]), part)
  }
  const data = Buffer.concat(strings)
  const fixed = Buffer.alloc(12)
  // A pointer to the name in the question.
  fixed.writeUInt16BE(0xc000 | HEADER_BYTES, 0)
  fixed.writeUInt16BE(TXT, 2)
  fixed.writeUInt16BE(1, 4)
  fixed.writeUInt16BE(data.length, 10)
  return Buffer.concat([fixed, data])
}
