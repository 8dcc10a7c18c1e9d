import type { CopiedRow } from './delivery-copy.js'

const AFTER_RKEY = Buffer.from('","cid":"')
const AFTER_CID = Buffer.from('"')
const BEFORE_VALUE = Buffer.from('","value":')
const END = Buffer.from('}')
const NEWLINE = 0x0a
const SPACE = 0x20

/** What a line has besides its head and what was stored. */
const EXTRA_BYTES = AFTER_RKEY.length + BEFORE_VALUE.length + END.length + 1

/** Copied byte by byte up to this length: a call costs more than that. */
const SHORT = 64

/** The lines of a page, one behind the other in one place. */
export class PageWriter {
  #out: Buffer
  #at = 0
  /** Where lines end. */
  readonly #breaks: number[] = []

  constructor(bytes: number) {
    // A place of its own, not cut from a shared one: it is gone when the page is.
    this.#out = Buffer.allocUnsafeSlow(Math.max(bytes, 4096))
  }

  /** How many bytes there are. */
  get length(): number {
    return this.#at
  }

  /**
   * Adds a line, whose break comes when the page is finished.
   * @param rkey which of the fields
   */
  add(head: Buffer, { bytes, starts, lengths }: CopiedRow, rkey: number, cid: number, value: number): void {
    this.#makeRoom(head.length + lengths[rkey]! + lengths[cid]! + Math.max(lengths[value]!, 0) + EXTRA_BYTES)
    this.#put(head, 0, head.length)
    this.#put(bytes, starts[rkey]!, lengths[rkey]!)
    this.#put(AFTER_RKEY, 0, AFTER_RKEY.length)
    this.#put(bytes, starts[cid]!, lengths[cid]!)
    if (lengths[value]! < 0) this.#put(AFTER_CID, 0, AFTER_CID.length)
    else {
      this.#put(BEFORE_VALUE, 0, BEFORE_VALUE.length)
      this.#put(bytes, starts[value]!, lengths[value]!)
    }
    this.#put(END, 0, END.length)
    this.#breaks.push(this.#at)
    this.#out[this.#at++] = SPACE
  }

  /** The page. Breaks inside of values become spaces: in JSON they mean nothing where they may stand. */
  finish(): Buffer {
    const page = this.#out.subarray(0, this.#at)
    for (let at = page.indexOf(NEWLINE); at >= 0; at = page.indexOf(NEWLINE, at + 1)) page[at] = SPACE
    for (const at of this.#breaks) page[at] = NEWLINE
    return page
  }

  #put(from: Buffer, start: number, length: number): void {
    const out = this.#out
    let at = this.#at
    if (length > SHORT) from.copy(out, at, start, start + length)
    else for (let index = 0; index < length; index += 1) out[at++] = from[start + index]!
    this.#at += length
  }

  #makeRoom(bytes: number): void {
    const needed = this.#at + bytes
    if (needed <= this.#out.length) return
    const larger = Buffer.allocUnsafeSlow(Math.max(needed, 2 * this.#out.length))
    this.#out.copy(larger, 0, 0, this.#at)
    this.#out = larger
  }
}
