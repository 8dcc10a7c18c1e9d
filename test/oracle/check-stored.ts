import { differencesOf } from './compare.js'
import type { Run } from './run.js'
import { recordsIn, type Shelf, type StoredPicture } from './stored.js'

/** Rows of the store itself: the world's, and all of a repo that any job has completed. */
export function checkStored(run: Run, { shelves, gone }: StoredPicture): string[] {
  const all = [...shelves.values()]
  const completed = all.filter(({ edition, account }) => edition !== null && !gone.has(account.did))
  const others = all.filter((shelf) => !completed.includes(shelf))
  const known = new Map(
    others.flatMap((shelf) => recordsEver(run, shelf)).map((record) => [JSON.stringify(record), record]),
  )
  return [
    ...differencesOf(
      'stored',
      completed.flatMap(({ records }) => records.map(plain)),
      completed.flatMap((shelf) => recordsIn(run, shelf, shelf.edition!)),
    ),
    // Of repos that came to another end, what is stored of them is right all the same.
    ...others
      .flatMap(({ records }) => records.map(plain))
      .filter((record) => !known.has(JSON.stringify(record)))
      .map((record) => `stored, but nowhere: ${JSON.stringify(record)}`),
    ...completed.flatMap((shelf) => checkTombstones(run, shelf)),
  ]
}

const plain = ({ uri, cid, value }: { uri: string; cid: string; value: object }) => ({ uri, cid, value })

function recordsEver(run: Run, shelf: Shelf) {
  return run.simulation.census
    .editionsOf(shelf.account)
    .flatMap(({ number }) => recordsIn(run, shelf, number))
}

/** What was there when it was read before, and is there no more, has left a tombstone; and nothing else has. */
function checkTombstones(run: Run, shelf: Shelf): string[] {
  const { edition, before, tombstones } = shelf
  const there = new Set(recordsIn(run, shelf, edition!).map(({ uri }) => uri))
  const buried = new Set(tombstones)
  const dropped = before
    .flatMap((each) => recordsIn(run, shelf, each))
    .filter(({ uri }) => !there.has(uri) && !buried.has(uri))
  const ever = new Set(recordsEver(run, shelf).map(({ uri }) => uri))
  const wrong = tombstones.filter((uri) => there.has(uri) || !ever.has(uri))
  return [
    ...[...new Set(dropped.map(({ uri }) => uri))].map((uri) => `gone without a tombstone: ${uri}`),
    ...wrong.map((uri) => `a tombstone of what is not gone: ${uri}`),
  ]
}
