import type { Blocks } from '../../../src/atproto/repo/blocks.js'

/** Blocks that count how often they are read. */
export class CountingBlocks implements Blocks {
  reads = 0
  readonly #blocks: Blocks

  constructor(blocks: Blocks) {
    this.#blocks = blocks
  }

  read(cid: string): Uint8Array {
    this.reads += 1
    return this.#blocks.read(cid)
  }

  has(cid: string): boolean {
    return this.#blocks.has(cid)
  }
}
