import { ARRAY, MAP, writeHead } from '../atproto/cbor-head.js'
import { textItem, Unencodable } from './delivery-bytes.js'
import { CborWriter } from './delivery-cbor.js'

const NEWLINE = 0x0a
const COMMA = 0x2c

const CID = textItem('cid')
const URI = textItem('uri')
const VALUE = textItem('value')

/** What a line has before its URI, between that and its CID, and between this and its value. */
const BEFORE_URI = '{"uri":'.length
const BEFORE_CID = ',"cid":'.length
const BEFORE_VALUE = ',"value":'.length

/** Gathers records as DAG-CBOR from their lines, `{"uri":…,"cid":…,"value":…}`. */
export class RecordEncoder {
  readonly #writer = new CborWriter()
  #count = 0

  /** How many records there are. */
  get count(): number {
    return this.#count
  }

  /**
   * Adds the record of a line, if there is room for it. A value that has no form in DAG-CBOR is left out.
   * @param from where the line begins
   * @param bytesMax what all records together may take; a single one may take more
   * @returns where the next line begins; null when there is no room
   */
  add(text: Buffer, from: number, bytesMax: number): number | null {
    const writer = this.#writer
    const end = text.indexOf(NEWLINE, from)
    const start = writer.at
    writer.makeRoom(end - from)
    this.#writeRecord(text, from)
    if (writer.at > bytesMax && this.#count > 0) {
      writer.at = start
      return null
    }
    this.#count += 1
    return end + 1
  }

  /** An array of the records behind some other bytes. The records are then gone from here. */
  take(...before: readonly Uint8Array[]): Buffer {
    const head = Buffer.alloc(5)
    const length = writeHead(head, 0, ARRAY, this.#count)
    const records = this.#writer.out.subarray(0, this.#writer.at)
    this.#writer.at = 0
    this.#count = 0
    return Buffer.concat([...before, head.subarray(0, length), records])
  }

  /** Of two names the shorter one comes first, then the one that is less: `cid`, `uri`, `value`. */
  #writeRecord(text: Buffer, from: number): void {
    const writer = this.#writer
    const start = writer.at
    const uri = from + BEFORE_URI
    const afterUri = text.indexOf('"', uri + 1) + 1
    writer.out[writer.at++] = MAP | 3
    writer.put(CID)
    const afterCid = writer.write(text, afterUri + BEFORE_CID)
    writer.put(URI)
    writer.write(text, uri)
    const end = writer.at
    try {
      if (text[afterCid] !== COMMA) throw new Unencodable()
      writer.put(VALUE)
      writer.write(text, afterCid + BEFORE_VALUE)
    } catch (error) {
      // A value may be nested too deeply, too.
      if (!(error instanceof Unencodable || error instanceof RangeError)) throw error
      writer.at = end
      writer.out[start] = MAP | 2
    }
  }
}
