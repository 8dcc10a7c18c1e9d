/** Why a stream is refused, or ends before the job does. */
export class FeedError extends Error {
  override readonly name = 'FeedError'
  constructor(
    readonly code: 'FutureCursor' | 'ConsumerTooSlow',
    message: string,
  ) {
    super(message)
  }
}
