import type { CopiedRow } from './delivery-copy.js'

const AFTER_RKEY = Buffer.from('","cid":"')
const AFTER_CID = Buffer.from('"')
const BEFORE_VALUE = Buffer.from('","value":')
/** How a line ends. */
export const END = Buffer.from('}\n')
const CLOSING = 0x7d
const OPENING = 0x7b
const NEWLINE = 0x0a
const SPACE = 0x20

/** What a line has besides its head and what was stored. */
const EXTRA_BYTES = AFTER_RKEY.length + BEFORE_VALUE.length + END.length

/** Copied byte by byte up to this length: a call costs more than that. */
const SHORT = 64

/** Memory that is so much larger than a page is not kept for it. */
const MEMORY_MAX = 4

/** The lines of a page, one behind the other in one place. */
export class PageWriter {
  #out: Buffer
  #at = 0

  /**
   * @param bytes about how long the page will be
   * @param memory of a page that nobody needs any more: memory that is new to the process costs as much as its lines
   */
  constructor(bytes: number, memory: Buffer | null) {
    const isOfUse = memory !== null && memory.length >= bytes && memory.length <= MEMORY_MAX * bytes
    // A place of its own, not cut from a shared one: it is gone when the page is.
    this.#out = isOfUse ? memory : Buffer.allocUnsafeSlow(Math.max(bytes, 4096))
  }

  /** What the page lies in. */
  get memory(): Buffer {
    return this.#out
  }

  /** How many bytes there are. */
  get length(): number {
    return this.#at
  }

  /** Adds a line. @param rkey which of the fields */
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
  }

  /** Adds lines that are put together already but for the head of the first one and the end of the last. */
  addAll(head: Buffer, { bytes, starts, lengths }: CopiedRow, lines: number): void {
    this.#makeRoom(head.length + lengths[lines]! + END.length)
    this.#put(head, 0, head.length)
    this.#put(bytes, starts[lines]!, lengths[lines]!)
    this.#put(END, 0, END.length)
  }

  /**
   * The page. Breaks inside of values become spaces: in JSON they mean nothing where they may stand, which is nowhere
   * between the end of an object and the beginning of another.
   */
  finish(): Buffer {
    const page = this.#out.subarray(0, this.#at)
    for (let at = page.indexOf(NEWLINE); at >= 0; at = page.indexOf(NEWLINE, at + 1)) {
      const isBreak = page[at - 1] === CLOSING && (at + 1 === page.length || page[at + 1] === OPENING)
      if (!isBreak) page[at] = SPACE
    }
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
