import { InvalidResponse } from './errors.js'

/**
 * The items of all pages, one after the other; the next page is asked for when it is needed.
 * @throws InvalidResponse for a cursor that leads back to the page it came with; what `fetchPage` throws
 */
export async function* allPages<Page extends { readonly cursor?: string }, Item>(
  fetchPage: (cursor: string | undefined) => Promise<Page>,
  itemsOf: (page: Page) => readonly Item[],
  firstCursor: string | undefined,
): AsyncGenerator<Item, void, undefined> {
  let cursor = firstCursor
  do {
    const page = await fetchPage(cursor)
    yield* itemsOf(page)
    if (page.cursor !== undefined && page.cursor === cursor) {
      throw new InvalidResponse({
        name: 'InvalidResponse',
        message: `the service gives the page after ${JSON.stringify(cursor)} again and again`,
      })
    }
    cursor = page.cursor
  } while (cursor !== undefined)
}
