import { randomBytes } from 'node:crypto'
import { Failure } from '../outcome.js'

/** More would not leave room for honest records in a repo of a gibibyte, but fill memory. */
const BLOCKS_MAX = 7_000_000

/** Words of a slot: two of the digest, and where the block is, low and high, counted from one. */
const WORDS = 4

/** The index is in parts, so that none takes long to grow: all of a million blocks would stop us for 100 ms. */
const PARTS = 64
const PART_BITS = 6
const SLOTS_AT_FIRST = 16

/** A part that nothing is in: most repos are small. */
const FREE_SLOT = new Uint32Array(WORDS)

/** How full a part may be. */
const LOAD_MAX = 0.85

/** Where in a CID the kind of data stands, and where its digest begins. */
const CODEC_AT = 1
const DIGEST_AT = 4

/**
 * Where blocks are, by CID, in 19 to 38 bytes for each. It keeps a quarter of each digest, so whoever looks there
 * has to compare the CID.
 */
export class BlockIndex {
  readonly #parts: Uint32Array[] = Array(PARTS).fill(FREE_SLOT)
  readonly #taken = new Uint32Array(PARTS)
  #size = 0
  /** Nobody else can tell which blocks come to lie in one place. */
  readonly #salt = new Uint32Array(Uint8Array.from(randomBytes(12)).buffer)

  get size(): number {
    return this.#size
  }

  /**
   * Notes where the block is whose CID begins here; the first time, if it comes more than once.
   * @throws Failure `body-too-large`
   */
  add(bytes: Buffer, cidAt: number, offset: number): void {
    const one = firstWord(bytes, cidAt)
    const two = secondWord(bytes, cidAt)
    const mixed = this.#mix(one, two)
    const part = mixed % PARTS
    let table = this.#parts[part]!
    if (this.#taken[part]! + 1 > (table.length / WORDS) * LOAD_MAX) {
      table = this.#grown(table)
      this.#parts[part] = table
    }
    const slot = slotOf(table, mixed, one, two)
    if (isTaken(table, slot)) return
    if (this.#size === BLOCKS_MAX) {
      throw new Failure('body-too-large', `the CAR has more than ${BLOCKS_MAX} blocks`)
    }
    table[slot] = one
    table[slot + 1] = two
    table[slot + 2] = offset + 1
    table[slot + 3] = (offset + 1) / 2 ** 32
    this.#taken[part]! += 1
    this.#size += 1
  }

  /** Where the block of the CID that begins here must be, if anywhere; -1 when it is not there. */
  find(bytes: Buffer, cidAt: number): number {
    const one = firstWord(bytes, cidAt)
    const two = secondWord(bytes, cidAt)
    const mixed = this.#mix(one, two)
    const table = this.#parts[mixed % PARTS]!
    const slot = slotOf(table, mixed, one, two)
    return table[slot + 2]! + table[slot + 3]! * 2 ** 32 - 1
  }

  #mix(one: number, two: number): number {
    const [first, second, third] = [this.#salt[0]!, this.#salt[1]!, this.#salt[2]!]
    let mixed = Math.imul(one ^ first, second | 1)
    mixed = Math.imul(mixed ^ (mixed >>> 15) ^ two, third | 1)
    return (mixed ^ (mixed >>> 13)) >>> 0
  }

  #grown(before: Uint32Array): Uint32Array {
    const table = new Uint32Array(Math.max(SLOTS_AT_FIRST * WORDS, before.length * 2))
    for (let slot = 0; slot < before.length; slot += WORDS) {
      if (!isTaken(before, slot)) continue
      const one = before[slot]!
      const two = before[slot + 1]!
      const to = slotOf(table, this.#mix(one, two), one, two)
      for (let word = 0; word < WORDS; word += 1) table[to + word] = before[slot + word]!
    }
    return table
  }
}

/** The slot of this block, or the free one where it would be. */
function slotOf(table: Uint32Array, mixed: number, one: number, two: number): number {
  const mask = table.length - 1
  let slot = ((mixed >>> PART_BITS) * WORDS) & mask
  while (isTaken(table, slot) && (table[slot] !== one || table[slot + 1] !== two)) {
    slot = (slot + WORDS) & mask
  }
  return slot
}

function isTaken(table: Uint32Array, slot: number): boolean {
  return table[slot + 2] !== 0 || table[slot + 3] !== 0
}

/** The same bytes may be there as two kinds of data. */
function firstWord(bytes: Buffer, cidAt: number): number {
  return (bytes.readUInt32LE(cidAt + DIGEST_AT) ^ bytes[cidAt + CODEC_AT]!) >>> 0
}

function secondWord(bytes: Buffer, cidAt: number): number {
  return bytes.readUInt32LE(cidAt + DIGEST_AT + 4)
}
