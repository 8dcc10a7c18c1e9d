import { hash } from 'node:crypto'
import { decode } from '@atcute/cbor'
import { CidLinkWrapper } from '@atcute/cid'
import { Failure } from '../outcome.js'
import { BlockMap } from './blocks.js'
import { asBuffer } from './cbor.js'
import { CID_BYTES, cidTextAt, isCidAt } from './cid.js'

/** The format: https://ipld.io/specs/transport/car/carv1 */

/** A block must be smaller. Records are at most a mebibyte, and nodes of honest trees a few kilobytes. */
const BLOCK_BYTES_MAX = 2 * 1024 * 1024

/** A header with one root has 58 bytes. */
const HEADER_BYTES_MAX = 4 * 1024

/** More digits than any length here has. */
const VARINT_BYTES_MAX = 10

/** What is set aside at first for a section that has not come as a whole: announcing one costs us no more. */
const FIRST_ALLOCATION_BYTES = 16 * 1024

/** A block whose hash is that of its CID, in bytes that are only there for the moment. */
export interface CarBlock {
  readonly bytes: Buffer
  /** Where in them the CID begins. */
  readonly cidAt: number
  /** Where in them the data ends, which begins after the CID. */
  readonly end: number
  /** Where in the whole CAR its section begins. */
  readonly offset: number
}

/** Takes a CAR apart piece by piece. Holds one section at most. */
export class CarReader {
  readonly #onBlock: (block: CarBlock) => void
  #roots: readonly string[] | null = null
  /** Where in the CAR the next section begins. */
  #offset = 0
  /** The beginning of a section whose end has not come. */
  #pending = Buffer.alloc(0)
  #pendingLength = 0
  /** Of the section looked at last: how long its length is written, and how long it is with that. */
  #prefixLength = 0
  #sectionLength = 0

  constructor(onBlock: (block: CarBlock) => void) {
    this.#onBlock = onBlock
  }

  /** @throws Failure `bad-response`, `cid-mismatch` or `body-too-large` */
  push(chunk: Buffer): void {
    let at = this.#pendingLength === 0 ? 0 : this.#completePending(chunk)
    while (at < chunk.length) {
      if (!this.#measure(chunk, at, chunk.length) || at + this.#sectionLength > chunk.length) {
        this.#keep(chunk, at, chunk.length)
        return
      }
      this.#takeSection(chunk, at)
      at += this.#sectionLength
    }
  }

  /** @returns the roots @throws Failure `incomplete-car` */
  end(): readonly string[] {
    if (this.#roots === null || this.#pendingLength > 0) {
      throw new Failure(
        'incomplete-car',
        `the CAR ends within a section, after ${this.#offset} bytes of whole ones`,
      )
    }
    return this.#roots
  }

  /** @returns how much of the chunk belongs to the section that is pending */
  #completePending(chunk: Buffer): number {
    let at = 0
    while (at < chunk.length) {
      const isMeasured = this.#measure(this.#pending, 0, this.#pendingLength)
      const missing = isMeasured ? this.#sectionLength - this.#pendingLength : 1
      const end = Math.min(chunk.length, at + missing)
      this.#keep(chunk, at, end)
      at = end
      if (isMeasured && this.#pendingLength === this.#sectionLength) {
        this.#pendingLength = 0
        this.#takeSection(this.#pending, 0)
        break
      }
    }
    return at
  }

  #keep(chunk: Buffer, from: number, to: number): void {
    const length = this.#pendingLength + to - from
    if (length > this.#pending.length) {
      const grown = Buffer.allocUnsafeSlow(Math.max(FIRST_ALLOCATION_BYTES, this.#pending.length * 2, length))
      this.#pending.copy(grown, 0, 0, this.#pendingLength)
      this.#pending = grown
    }
    chunk.copy(this.#pending, this.#pendingLength, from, to)
    this.#pendingLength = length
  }

  /** Reads how long the section is that begins here. @returns whether that has come as a whole */
  #measure(bytes: Buffer, from: number, to: number): boolean {
    let length = 0
    for (let index = 0; from + index < to; index += 1) {
      const byte = bytes[from + index]!
      length += (byte & 0x7f) * 2 ** (7 * index)
      if (byte >= 0x80 && index + 1 < VARINT_BYTES_MAX) continue
      if (byte >= 0x80 || (byte === 0 && index > 0))
        throw this.#failure('the length of a section is not a number')
      this.#assertLength(length)
      this.#prefixLength = index + 1
      this.#sectionLength = index + 1 + length
      return true
    }
    return false
  }

  #assertLength(length: number): void {
    if (this.#roots === null) {
      if (length === 0) throw this.#failure('the header is empty')
      if (length > HEADER_BYTES_MAX) throw this.#failure(`a header of ${length} bytes`)
    } else {
      if (length < CID_BYTES) throw this.#failure('a block is too short for its CID')
      const blockBytes = length - CID_BYTES
      if (blockBytes >= BLOCK_BYTES_MAX) {
        throw new Failure('body-too-large', `the CAR: a block of ${blockBytes} bytes`)
      }
    }
  }

  #takeSection(bytes: Buffer, at: number): void {
    const start = at + this.#prefixLength
    const end = at + this.#sectionLength
    if (this.#roots === null) this.#roots = readRoots(bytes.subarray(start, end))
    else this.#takeBlock(bytes, start, end)
    this.#offset += this.#sectionLength
  }

  #takeBlock(bytes: Buffer, cidAt: number, end: number): void {
    if (!isCidAt(bytes, cidAt)) throw this.#failure('a CID that repos do not use')
    const dataAt = cidAt + CID_BYTES
    // As strings, because a buffer for each digest costs more than the digest.
    if (
      hash('sha256', bytes.subarray(dataAt, end), 'binary') !== bytes.toString('latin1', cidAt + 4, dataAt)
    ) {
      throw new Failure('cid-mismatch', `the CAR: the block does not have the CID ${cidTextAt(bytes, cidAt)}`)
    }
    this.#onBlock({ bytes, cidAt, end, offset: this.#offset })
  }

  #failure(why: string): Failure {
    return new Failure('bad-response', `the CAR: ${why} (at byte ${this.#offset})`)
  }
}

function readRoots(header: Uint8Array): readonly string[] {
  let value: unknown
  try {
    value = decode(header)
  } catch (error) {
    throw new Failure('bad-response', 'the CAR: the header is not DAG-CBOR', { cause: error })
  }
  const { version, roots } = (value ?? {}) as { version?: unknown; roots?: unknown }
  if (version !== 1 || !Array.isArray(roots) || !roots.every((root) => root instanceof CidLinkWrapper)) {
    throw new Failure('bad-response', 'the CAR: the header is not that of a CAR of version 1')
  }
  return roots.map((root: CidLinkWrapper) => root.$link)
}

/** A small CAR that is there as a whole. Its blocks share its memory. */
export function readCar(bytes: Uint8Array): { roots: readonly string[]; blocks: BlockMap } {
  const blocks = new BlockMap()
  const reader = new CarReader((block) =>
    blocks.set(cidTextAt(block.bytes, block.cidAt), block.bytes.subarray(block.cidAt + CID_BYTES, block.end)),
  )
  reader.push(asBuffer(bytes))
  return { roots: reader.end(), blocks }
}
