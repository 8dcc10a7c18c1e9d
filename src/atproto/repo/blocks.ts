import { Failure } from '../outcome.js'

/** Blocks by CID. */
export interface Blocks {
  /** @throws Failure `incomplete-car` when it is not there */
  read(cid: string): Uint8Array
  has(cid: string): boolean
}

/** Of a repo that is not whole. */
export function missingBlock(cid: string): Failure {
  return new Failure('incomplete-car', `block ${cid} is missing`)
}

/** Blocks in memory: those of small answers. */
export class BlockMap implements Blocks {
  readonly #blocks = new Map<string, Uint8Array>()
  #bytes = 0

  get size(): number {
    return this.#blocks.size
  }

  /** What all blocks hold together. */
  get bytes(): number {
    return this.#bytes
  }

  read(cid: string): Uint8Array {
    const block = this.#blocks.get(cid)
    if (block === undefined) throw missingBlock(cid)
    return block
  }

  has(cid: string): boolean {
    return this.#blocks.has(cid)
  }

  /** @param block whose hash is known to be that of the CID */
  set(cid: string, block: Uint8Array): void {
    if (this.#blocks.has(cid)) return
    this.#blocks.set(cid, block)
    this.#bytes += block.length
  }

  add(other: BlockMap): void {
    for (const [cid, block] of other.#blocks) this.set(cid, block)
  }

  delete(cid: string): void {
    const block = this.#blocks.get(cid)
    if (block !== undefined && this.#blocks.delete(cid)) this.#bytes -= block.length
  }
}
