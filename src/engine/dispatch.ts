import type { Job, PgBoss } from 'pg-boss'
import type { Tell } from '../events.js'
import { pause } from '../pause.js'
import type { HeldTask } from '../store/workers.js'
import type { Standstill } from './standstill.js'

/**
 * Who does what, across processes, by pg-boss. A task says "work on this for a while": drive a host, look up
 * repos, go on with a job's discovery. It never stands for one repo; the repos are rows.
 *
 * `exclusive` queues hold at most one task for each key, waiting or running. A wake-up for a key that runs in
 * this process is remembered and sent when the task ends; for one that runs elsewhere it is dropped, and the
 * sweep, which sends for whatever has work and no task, makes up for it (docs/decisions/0003-dispatch.md). A
 * task whose process died is freed by whoever sees that the process is gone (dead-workers.ts), or found by its
 * missing heartbeat; nothing is retried from here.
 */

export const TASKS = ['discover', 'resolve', 'drive'] as const
export type TaskKind = (typeof TASKS)[number]

/** How long a process may be silent before its tasks count as dead. The least pg-boss allows. */
const HEARTBEAT_SECONDS = 10
const TOUCH_MS = 3_000
const POLL_MS = 500

/** A lost connection must not cost a host the time that a dead process does. */
const COMPLETE_AGAIN_MS = 500
const COMPLETE_TRIES = (HEARTBEAT_SECONDS * 1_000) / COMPLETE_AGAIN_MS

/**
 * An upper bound only: a task ends by itself after a while, and says so by its heartbeat until then. Longer than any
 * reading takes that has to be made in one go: whoever is found to have expired would begin it anew.
 */
const EXPIRE_SECONDS = 24 * 3_600

interface UnderWay {
  readonly id: string
  again: boolean
}

export type TaskHandler = (key: number, signal: AbortSignal) => Promise<void>

export class Dispatch {
  readonly #boss: PgBoss
  readonly #tell: Tell
  readonly #standstill: Standstill
  readonly #standstillOf: Readonly<Partial<Record<TaskKind, Standstill>>>
  readonly #nudges = new Map<TaskKind, () => void>()
  /** Tasks under way in this process by key: whether that was asked for again meanwhile. */
  readonly #underWay: Record<TaskKind, Map<number, UnderWay>> = {
    discover: new Map(),
    resolve: new Map(),
    drive: new Map(),
  }

  /** @param standstillOf what tasks of one kind stand still for besides */
  constructor(
    boss: PgBoss,
    tell: Tell,
    standstill: Standstill,
    standstillOf: Readonly<Partial<Record<TaskKind, Standstill>>> = {},
  ) {
    this.#boss = boss
    this.#tell = tell
    this.#standstill = standstill
    this.#standstillOf = standstillOf
  }

  /** Makes the queues, if they are not there yet. */
  async prepare(): Promise<void> {
    for (const name of TASKS) {
      const settings = {
        retryLimit: 0,
        heartbeatSeconds: HEARTBEAT_SECONDS,
        expireInSeconds: EXPIRE_SECONDS,
        deleteAfterSeconds: 60,
      }
      await this.#boss.createQueue(name, { policy: 'exclusive', ...settings })
      // One that is there keeps the settings that it was made with.
      await this.#boss.updateQueue(name, settings)
    }
  }

  /** What this process is at. */
  held(): HeldTask[] {
    return TASKS.flatMap((kind) => Array.from(this.#underWay[kind], ([key, { id }]) => ({ kind, id, key })))
  }

  /** Ends tasks whose process is gone, and asks for their keys anew. */
  async free(tasks: readonly HeldTask[]): Promise<void> {
    for (const kind of TASKS) {
      const ofKind = tasks.filter((task) => task.kind === kind)
      if (ofKind.length === 0) continue
      await this.#boss.fail(
        kind,
        ofKind.map(({ id }) => id),
      )
      await this.wake(
        kind,
        ofKind.map(({ key }) => key),
      )
    }
  }

  /** Asks that somebody works on each of these keys. One that waits already is not asked for twice. */
  async wake(kind: TaskKind, keys: Iterable<number>): Promise<void> {
    const jobs: { data: { key: number }; singletonKey: string }[] = []
    // In one order: two that insert the same keys at the same time wait for each other's.
    for (const key of [...new Set(keys)].sort((one, other) => one - other)) {
      const running = this.#underWay[kind].get(key)
      if (running) running.again = true
      else jobs.push({ data: { key }, singletonKey: String(key) })
    }
    if (jobs.length === 0) return
    await this.#boss.insert(kind, jobs)
    this.#nudges.get(kind)?.()
  }

  /**
   * Takes tasks of one kind, up to `concurrency` at once, until the signal is aborted; then waits for the ones
   * under way, which are told by the same signal.
   */
  async work(kind: TaskKind, concurrency: number, handler: TaskHandler, signal: AbortSignal): Promise<void> {
    const underWay = new Map<string, Promise<void>>()
    const touching = setInterval(() => void this.#touch(kind, [...underWay.keys()]), TOUCH_MS)
    try {
      while (!signal.aborted) {
        await this.#standstill.over()
        await this.#standstillOf[kind]?.over()
        const free = concurrency - underWay.size
        const tasks = free > 0 && !signal.aborted ? await this.#fetch(kind, free, signal) : []
        for (const task of tasks) {
          const done = this.#run(kind, task, handler, signal).finally(() => {
            underWay.delete(task.id)
            this.#nudges.get(kind)?.()
          })
          underWay.set(task.id, done)
        }
        if (tasks.length === 0) await this.#pause(kind, signal)
      }
      await Promise.all(underWay.values())
    } finally {
      clearInterval(touching)
    }
  }

  async #run(
    kind: TaskKind,
    task: Job<{ key: number }>,
    handler: TaskHandler,
    signal: AbortSignal,
  ): Promise<void> {
    const { key } = task.data
    const running: UnderWay = { id: task.id, again: false }
    this.#underWay[kind].set(key, running)
    try {
      await handler(key, signal)
    } catch (error) {
      const halted = this.#standstill.notice(error, signal)
      if (!signal.aborted && !halted) this.#tell('engine.task-failed', { task: kind, key, err: error })
    }
    // A task that failed is done all the same: its work is in rows, and the sweep sends for those.
    await this.#complete(kind, task.id, signal)
    // Not before: until then a wake-up that was sent would be dropped.
    if (this.#underWay[kind].get(key) === running) this.#underWay[kind].delete(key)
    if (!running.again || signal.aborted) return
    await this.wake(kind, [key]).catch((error: unknown) => {
      this.#tell('dispatch.warning', { task: kind, key, err: error })
    })
  }

  /** Says that a task has ended. Where that fails for long, the task is found by its missing heartbeat. */
  async #complete(kind: TaskKind, id: string, signal: AbortSignal): Promise<void> {
    for (let tries = 1; ; tries++) {
      try {
        await this.#boss.complete(kind, id)
        return
      } catch (error) {
        if (tries === 1) this.#tell('dispatch.warning', { task: kind, err: error })
      }
      if (tries >= COMPLETE_TRIES || signal.aborted) return
      await pause(COMPLETE_AGAIN_MS, signal)
    }
  }

  async #fetch(kind: TaskKind, batchSize: number, signal: AbortSignal): Promise<Job<{ key: number }>[]> {
    try {
      return (await this.#boss.fetch<{ key: number }>(kind, { batchSize })) ?? []
    } catch (error) {
      if (!this.#standstill.notice(error, signal)) this.#tell('dispatch.warning', { task: kind, err: error })
      return []
    }
  }

  async #touch(kind: TaskKind, ids: string[]): Promise<void> {
    if (ids.length === 0) return
    await this.#boss.touch(kind, ids).catch((error: unknown) => {
      this.#tell('dispatch.warning', { task: kind, err: error })
    })
  }

  /** Waits for the next poll, or for this process to send or finish something itself. */
  async #pause(kind: TaskKind, signal: AbortSignal): Promise<void> {
    const nudged = Promise.withResolvers<void>()
    this.#nudges.set(kind, nudged.resolve)
    await Promise.race([nudged.promise, pause(POLL_MS, signal)])
  }
}
