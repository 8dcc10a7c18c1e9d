import { randomUUID } from 'node:crypto'
import { readSync } from 'node:fs'
import { type FileHandle, mkdir, open, rm, unlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Failure } from '../outcome.js'
import { BlockIndex } from './block-index.js'
import { type Blocks, missingBlock } from './blocks.js'
import { CarReader } from './car.js'
import { CID_BYTES, writeCidBytes } from './cid.js'

/** Takes a body as it arrives. */
export interface ByteSink {
  /** Resolves when more may come. */
  write(chunk: Buffer): Promise<void>
}

export interface SpoolOptions {
  /** Where the file lies; it is made when it is not there. */
  readonly directory: string
  /** The most that the CAR may be. */
  readonly maxBytes: number
}

/** What goes wrong with the file: it says nothing of the repo, or of its host. */
export class SpoolTrouble extends Error {
  override readonly name = 'SpoolTrouble'
  constructor(cause: unknown) {
    super(`the spool: ${cause instanceof Error ? cause.message : String(cause)}`, { cause })
  }
}

/** What is written to see whether there is room. */
const LOOK_BYTES = 1024 * 1024

/** What is held before it is written. A CAR that is not larger, as most are, needs no file. */
const BUFFER_BYTES = 256 * 1024
const FIRST_BUFFER_BYTES = 16 * 1024

/**
 * What is read from the file at once, so that neighbours need not be; and a little more, so that blocks which
 * begin near the end are there as a whole.
 */
const PAGE_BYTES = 16 * 1024
const OVERLAP_BYTES = 4 * 1024

/** How many pages are held. Those of the same number, modulo this, take each other's place. */
const PAGES_MAX = 256

/** The longest that the length of a section can be written. */
const PREFIX_BYTES_MAX = 4

/**
 * A CAR on its way to disk, and its blocks by CID once it is whole. Only an index of the blocks is in memory. The
 * file has no name from the moment it is there, where the system allows that, so that nothing of it outlives us.
 */
export class Spool implements Blocks, ByteSink, AsyncDisposable {
  readonly #options: SpoolOptions
  readonly #index = new BlockIndex()
  readonly #reader = new CarReader(({ bytes, cidAt, offset }) => this.#index.add(bytes, cidAt, offset))
  readonly #pages = new Map<number, Page>()
  readonly #cid = Buffer.alloc(CID_BYTES)
  /** Bytes that came, of which the last ones are in the buffer. */
  #length = 0
  #buffer = Buffer.alloc(0)
  #buffered = 0
  #file: FileHandle | null = null
  /** Of a file that could not be unlinked while it is open. */
  #path: string | null = null
  #isWhole = false

  private constructor(options: SpoolOptions) {
    this.#options = options
  }

  static async open(options: SpoolOptions): Promise<Spool> {
    return new Spool(options)
  }

  /** How long the CAR is so far. */
  get bytes(): number {
    return this.#length
  }

  /** How many blocks it has so far. */
  get blocks(): number {
    return this.#index.size
  }

  /** @throws Failure `bad-response`, `cid-mismatch` or `body-too-large`; SpoolTrouble, as whatever reads from the file */
  async write(chunk: Buffer): Promise<void> {
    if (this.#length + chunk.length > this.#options.maxBytes) {
      throw new Failure('body-too-large', `the CAR is larger than ${this.#options.maxBytes} bytes`)
    }
    this.#reader.push(chunk)
    this.#length += chunk.length
    if (this.#buffered + chunk.length > BUFFER_BYTES) await this.#flush()
    if (chunk.length > BUFFER_BYTES) await writeAll(await this.#openFile(), chunk)
    else this.#hold(chunk)
  }

  /** To be called when all is written: what is read comes after this. @returns the roots @throws Failure `incomplete-car` */
  async finish(): Promise<readonly string[]> {
    const roots = this.#reader.end()
    if (this.#file !== null) await this.#flush()
    this.#isWhole = true
    return roots
  }

  has(cid: string): boolean {
    return this.#find(cid) !== null
  }

  read(cid: string): Buffer {
    const found = this.#find(cid)
    if (found === null) throw missingBlock(cid)
    const { bytes, at, dataAt, dataBytes } = found
    if (at + dataBytes <= bytes.length) return Buffer.from(bytes.subarray(at, at + dataBytes))
    const block = Buffer.allocUnsafeSlow(dataBytes)
    this.#readFile(block, dataAt)
    return block
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const file = this.#file
    this.#file = null
    this.#isWhole = false
    this.#pages.clear()
    await file?.close()
    if (this.#path !== null) await onDisk(unlink(this.#path))
    this.#path = null
  }

  /** The data of a block: where it begins in these bytes, which may end before it does, and where in the file. */
  #find(cid: string): { bytes: Buffer; at: number; dataAt: number; dataBytes: number } | null {
    if (!this.#isWhole) throw new Error('the spool is not open for reading')
    const offset = writeCidBytes(cid, this.#cid) ? this.#index.find(this.#cid, 0) : -1
    if (offset === -1) return null
    const { bytes, from } = this.#file === null ? { bytes: this.#held(), from: 0 } : this.#pageAt(offset)
    let at = offset - from
    let sectionBytes = 0
    for (let index = 0; index < PREFIX_BYTES_MAX; index += 1) {
      const byte = bytes[at]!
      at += 1
      sectionBytes += (byte & 0x7f) << (7 * index)
      if (byte < 0x80) break
    }
    if (this.#cid.compare(bytes, at, at + CID_BYTES) !== 0) return null
    at += CID_BYTES
    return { bytes, at, dataAt: from + at, dataBytes: sectionBytes - CID_BYTES }
  }

  /** What of the file lies around here. */
  #pageAt(offset: number): Page {
    const number = Math.floor(offset / PAGE_BYTES)
    const from = number * PAGE_BYTES
    const held = this.#pages.get(number % PAGES_MAX)
    if (held?.from === from) return held
    const room = held?.room ?? Buffer.allocUnsafeSlow(PAGE_BYTES + OVERLAP_BYTES)
    const bytes = room.subarray(0, Math.min(room.length, this.#length - from))
    this.#readFile(bytes, from)
    const page = { from, bytes, room }
    this.#pages.set(number % PAGES_MAX, page)
    return page
  }

  #readFile(into: Buffer, from: number): void {
    for (let at = 0; at < into.length; ) {
      const read = this.#readSome(into.subarray(at), from + at)
      if (read === 0) throw new Error('the spool file is shorter than what was written to it')
      at += read
    }
  }

  #readSome(into: Buffer, from: number): number {
    try {
      return readSync(this.#file!.fd, into, 0, into.length, from)
    } catch (error) {
      throw new SpoolTrouble(error)
    }
  }

  #held(): Buffer {
    return this.#buffer.subarray(0, this.#buffered)
  }

  #hold(chunk: Buffer): void {
    const length = this.#buffered + chunk.length
    if (length > this.#buffer.length) {
      const grown = Buffer.allocUnsafeSlow(
        Math.min(BUFFER_BYTES, Math.max(FIRST_BUFFER_BYTES, this.#buffer.length * 2, length)),
      )
      this.#held().copy(grown)
      this.#buffer = grown
    }
    chunk.copy(this.#buffer, this.#buffered)
    this.#buffered = length
  }

  async #flush(): Promise<void> {
    if (this.#buffered === 0) return
    await writeAll(await this.#openFile(), this.#held())
    this.#buffered = 0
  }

  async #openFile(): Promise<FileHandle> {
    if (this.#file !== null) return this.#file
    const { directory } = this.#options
    await onDisk(mkdir(directory, { recursive: true }))
    const path = join(directory, `${randomUUID()}.car`)
    this.#file = await onDisk(open(path, 'wx+', 0o600))
    this.#path = path
    // Windows does not take the name from an open file.
    const isUnlinked = await unlink(path).then(
      () => true,
      () => false,
    )
    if (isUnlinked) this.#path = null
    return this.#file
  }
}

/** Writes something where files of spools lie, and takes it away again. @throws SpoolTrouble where that fails */
export async function checkSpoolDirectory(directory: string): Promise<void> {
  await onDisk(mkdir(directory, { recursive: true }))
  const path = join(directory, `${randomUUID()}.look`)
  try {
    await onDisk(writeFile(path, Buffer.alloc(LOOK_BYTES, 1), { flag: 'wx', mode: 0o600 }))
  } finally {
    await rm(path, { force: true })
  }
}

/** A part of the file; the room stays when another part takes its place. */
interface Page {
  readonly from: number
  readonly bytes: Buffer
  readonly room: Buffer
}

/** @throws SpoolTrouble */
async function onDisk<T>(work: Promise<T>): Promise<T> {
  try {
    return await work
  } catch (error) {
    throw new SpoolTrouble(error)
  }
}

async function writeAll(file: FileHandle, bytes: Buffer): Promise<void> {
  for (let at = 0; at < bytes.length; ) {
    const { bytesWritten } = await onDisk(file.write(bytes, at, bytes.length - at))
    at += bytesWritten
  }
}
