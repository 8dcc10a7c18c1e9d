import { Pulse } from '../pulse.js'
import type { Pool, PoolClient } from '../store/database.js'
import { type RepoStep, StepBatch } from '../store/steps.js'

/**
 * Gathers steps of many repos into statements: one goes out when it holds enough rows, or has waited long enough and
 * can be sent at once. Two connections keep both cores of a small server busy; a third adds nothing. A row is the
 * cheaper the more go out together, so the second one is for more than the first can take.
 */

const CONNECTIONS = 2
/** Enough while nothing is being written, and at most. */
const ROWS_ENOUGH = 1_000
const ROWS_MAX = 2_000
const STEPS_MAX = 1_000
const BYTES_MAX = 8 * 1024 * 1024
const WAIT_MS = 40

/** Bytes of values that may wait to be written; whoever reads on waits while there are more. */
const WAITING_BYTES_MAX = 32 * 1024 * 1024

interface Waiting {
  readonly batch: StepBatch
  readonly settle: { resolve: (applied: boolean) => void; reject: (error: unknown) => void }[]
}

export class Writer {
  readonly #pool: Pool
  readonly #onWritten: (steps: readonly RepoStep[]) => void
  readonly #onBatch: (seconds: number, written: boolean) => void
  readonly #full: Waiting[] = []
  #filling: Waiting | null = null
  #timer: NodeJS.Timeout | null = null
  /** Whether the steps being gathered have waited long enough. They gather more of them while nothing can be sent. */
  #isDue = false
  #writing = 0
  /** In batches that are full, or under way. */
  #waitingBytes = 0
  readonly #roomMade = new Pulse()

  /**
   * @param onWritten told of the steps that took effect, once they are durable
   * @param onBatch told for how long each batch was under way, and whether it was written
   */
  constructor(
    pool: Pool,
    onWritten: (steps: readonly RepoStep[]) => void,
    onBatch: (seconds: number, written: boolean) => void = () => {},
  ) {
    this.#pool = pool
    this.#onWritten = onWritten
    this.#onBatch = onBatch
  }

  /**
   * Makes a step durable.
   * @returns false when it did not take effect: the driver has lost its host, or the repo has its outcome
   * @throws when the database refuses or is gone; nothing of the step is written then, as far as is known
   */
  write(step: RepoStep): Promise<boolean> {
    this.#filling ??= { batch: new StepBatch(), settle: [] }
    const filling = this.#filling
    const settled = new Promise<boolean>((resolve, reject) => filling.settle.push({ resolve, reject }))
    filling.batch.add(step)
    const { batch } = filling
    if (batch.rows >= ROWS_MAX || batch.steps.length >= STEPS_MAX || batch.valueBytes >= BYTES_MAX)
      this.#conclude()
    else if (!this.#isDue) this.#timer ??= setTimeout(() => this.#comeDue(), WAIT_MS)
    this.#pump()
    return settled
  }

  /** Waits until there is room for more: whoever is about to read what is then to be written asks first. */
  async room(): Promise<void> {
    while (this.#waitingBytes > WAITING_BYTES_MAX) await this.#roomMade.next
  }

  /**
   * Makes a step durable in a transaction of its own, together with what `before` does.
   * @returns as `write`; when false, nothing of either has taken effect
   */
  async writeWith(step: RepoStep, before: (client: PoolClient) => Promise<void>): Promise<boolean> {
    const client = await this.#pool.connect()
    try {
      await client.query('begin')
      await before(client)
      const batch = new StepBatch()
      batch.add(step)
      const [applied] = await batch.write(client)
      await client.query(applied ? 'commit' : 'rollback')
      client.release()
      if (applied) this.#onWritten([step])
      return applied === true
    } catch (error) {
      // The connection's state is unknown: closing it rolls back.
      client.release(true)
      throw error
    }
  }

  #comeDue(): void {
    this.#timer = null
    this.#isDue = true
    this.#pump()
  }

  /** Whether the steps gathered so far are to go out, now that they can. */
  get #isEnough(): boolean {
    return this.#isDue || (this.#writing === 0 && (this.#filling?.batch.rows ?? 0) >= ROWS_ENOUGH)
  }

  /** The steps gathered so far are a batch; the next ones belong to another. */
  #conclude(): void {
    if (this.#timer) clearTimeout(this.#timer)
    this.#timer = null
    this.#isDue = false
    if (this.#filling) {
      this.#waitingBytes += this.#filling.batch.valueBytes
      this.#full.push(this.#filling)
    }
    this.#filling = null
  }

  #pump(): void {
    while (this.#writing < CONNECTIONS) {
      if (this.#full.length === 0 && this.#isEnough) this.#conclude()
      const next = this.#full.shift()
      if (!next) return
      this.#writing += 1
      void this.#send(next).finally(() => {
        this.#writing -= 1
        this.#waitingBytes -= next.batch.valueBytes
        this.#roomMade.beat()
        this.#pump()
      })
    }
  }

  async #send({ batch, settle }: Waiting): Promise<void> {
    const began = performance.now()
    const end = (written: boolean) => this.#onBatch((performance.now() - began) / 1_000, written)
    try {
      const client = await this.#pool.connect()
      let applied: boolean[]
      try {
        applied = await batch.write(client)
        client.release()
      } catch (error) {
        client.release(true)
        end(false)
        throw error
      }
      end(true)
      this.#onWritten(batch.steps.filter((_, index) => applied[index]))
      settle.forEach(({ resolve }, index) => {
        resolve(applied[index]!)
      })
    } catch (error) {
      for (const { reject } of settle) reject(error)
    }
  }
}
