import { pause } from '../pause.js'
import type { EngineContext } from './context.js'

/**
 * Does something again and again: never while the engine stands still, and whatever becomes of it.
 * @param rest waits for as long as there is to be between two times; given the work's result, null where it failed
 */
export async function repeatUntil<Result>(
  { standstill, tell }: Pick<EngineContext, 'standstill' | 'tell'>,
  signal: AbortSignal,
  work: () => Promise<Result>,
  rest: (result: Result | null) => Promise<unknown>,
): Promise<void> {
  while (!signal.aborted) {
    await standstill.over()
    let result: Result | null = null
    try {
      result = await work()
    } catch (error) {
      const halted = standstill.notice(error, signal)
      if (!signal.aborted && !halted) tell('engine.sweep-failed', { err: error })
    }
    await rest(result)
  }
}

/** As `repeatUntil`, with the same pause each time. */
export async function repeatEvery(
  ctx: Pick<EngineContext, 'standstill' | 'tell'>,
  milliseconds: number,
  signal: AbortSignal,
  work: () => Promise<unknown>,
): Promise<void> {
  await repeatUntil(ctx, signal, work, () => pause(milliseconds, signal))
}
