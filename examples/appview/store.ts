import { randomUUID } from 'node:crypto'
import { DatabaseSync, type SQLInputValue } from 'node:sqlite'
import type { ReceiptView, RecordView, StartCursor } from 'aquifer/client'
import type { Change } from './firehose.ts'

const SCHEMA = `
PRAGMA busy_timeout = 5000;
PRAGMA journal_mode = WAL;
-- Nothing waits for the disk: a power cut may take back the last transactions, but with them their positions.
PRAGMA synchronous = NORMAL;

CREATE TABLE IF NOT EXISTS status (
  did TEXT NOT NULL, rkey TEXT NOT NULL, cid TEXT NOT NULL, rev TEXT, value TEXT, PRIMARY KEY (did, rkey)
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS status_newest ON status (value ->> 'createdAt');

CREATE TABLE IF NOT EXISTS repo (
  did TEXT PRIMARY KEY,
  rev TEXT,                          -- our rows have all events up to this one; null: nobody can tell
  handle TEXT,
  hidden INTEGER NOT NULL DEFAULT 0, -- the account is deactivated, suspended or taken down
  due INTEGER,                       -- our rows may be wrong; when to read them again, in seconds
  backfill INTEGER                   -- the last one that has read it
) STRICT;
CREATE INDEX IF NOT EXISTS repo_due ON repo (due) WHERE due IS NOT NULL;

-- One at a time; of all repos there are, or of those that were due.
CREATE TABLE IF NOT EXISTS backfill (
  id INTEGER PRIMARY KEY AUTOINCREMENT, token TEXT NOT NULL, repos TEXT, positions TEXT,
  job TEXT, cursor INTEGER NOT NULL DEFAULT 0
) STRICT;

-- Up to where each relay's events are in our rows.
CREATE TABLE IF NOT EXISTS position (relay TEXT PRIMARY KEY, seq INTEGER NOT NULL) STRICT;

CREATE VIEW IF NOT EXISTS visible_status AS
  SELECT status.*, handle FROM status JOIN repo USING (did) WHERE NOT hidden;
`

/** A backfill that is to be done, or has been begun. */
export interface Backfill {
  readonly id: number
  /** Makes one job of it, however often it is asked for. */
  readonly token: string
  /** null: all there are. */
  readonly repos: string[] | null
  /** Where the relays were before it began; null until its job has said so. */
  readonly positions: StartCursor[] | null
}

/** As many repos as one job may name. */
const REPOS_MAX = 1_000

/** All that the AppView knows, and how far it has come. Both change in the same transaction. */
export class Store {
  readonly #db: DatabaseSync

  constructor(path: string) {
    this.#db = new DatabaseSync(path)
    this.#db.exec(SCHEMA)
  }

  latest() {
    return this.#all(
      `SELECT coalesce(handle, did) AS author, value ->> 'status' AS status, value ->> 'createdAt' AS "createdAt"
       FROM visible_status ORDER BY 3 DESC LIMIT 50`,
    )
  }

  /** The backfill under way; else one of everything if no relay can be followed, else one of what is due. */
  nextBackfill(): Backfill | undefined {
    const [begun] = this.#all('SELECT id, token, repos, positions FROM backfill')
    if (begun) {
      const parse = (text: unknown) => (typeof text === 'string' ? JSON.parse(text) : null)
      return { ...begun, repos: parse(begun.repos), positions: parse(begun.positions) } as unknown as Backfill
    }
    const positions = this.positions()
    if (positions.length === 0) {
      this.#run('INSERT INTO backfill (token) VALUES (?)', randomUUID())
      return this.nextBackfill()
    }
    return this.#transaction(() => {
      // Those that this one does not get are for another one, an hour later.
      const due = this.#all(
        `UPDATE repo SET due = unixepoch() + 3600
         WHERE did IN (SELECT did FROM repo WHERE due <= unixepoch() LIMIT ?) RETURNING did`,
        REPOS_MAX,
      )
      if (due.length === 0) return undefined
      const wanted = [due.map(({ did }) => did), positions].map((list) => JSON.stringify(list))
      this.#run('INSERT INTO backfill (token, repos, positions) VALUES (?, ?, ?)', randomUUID(), ...wanted)
      return this.nextBackfill()
    })
  }

  /** Says which job it is. @returns the cursor from which its records are wanted */
  beginBackfill({ id }: Backfill, job: string): number {
    this.#run('UPDATE backfill SET job = ?, cursor = 0 WHERE id = ? AND job IS NOT ?', job, id, job)
    return Number(this.#all('SELECT cursor FROM backfill WHERE id = ?', id)[0]?.cursor)
  }

  /** Closes a repo, the next one of a backfill's job. */
  closeRepo({ id }: Backfill, seq: number, did: string, change: () => void): void {
    this.#transaction(() => {
      this.#run('INSERT INTO repo (did) VALUES (?) ON CONFLICT DO NOTHING', did)
      this.#run('UPDATE repo SET backfill = ? WHERE did = ?', id, did)
      change()
      this.#run('UPDATE backfill SET cursor = ? WHERE id = ?', seq, id)
    })
  }

  /**
   * The cutover: relays are followed from positions that are older than anything the backfill has read. Nobody may be
   * following them at this moment.
   */
  endBackfill({ id, repos, positions }: Backfill): void {
    this.#transaction(() => {
      // Events were missing meanwhile: everything will be read again.
      if (this.#run('DELETE FROM backfill WHERE id = ?', id) === 0) return
      this.#run('UPDATE repo SET due = NULL WHERE backfill = ?', id)
      if (repos === null) {
        // A repo that is not among all has no statuses any more.
        const gone = `SELECT did FROM repo WHERE backfill IS NOT ${id} AND due IS NULL AND NOT hidden`
        this.#run(`DELETE FROM status WHERE did IN (${gone})`)
        this.#run(`DELETE FROM repo WHERE did IN (${gone})`)
      }
      for (const { relay, seq } of positions ?? []) {
        this.#run('INSERT OR REPLACE INTO position (relay, seq) VALUES (?, ?)', relay, seq)
      }
    })
  }

  positions(): StartCursor[] {
    return this.#all('SELECT relay, seq FROM position') as unknown as StartCursor[]
  }

  /** Takes an event in, together with its position. @returns false if the relay is not followed any more */
  advance(relay: string, seq: number, change: () => void): boolean {
    return this.#transaction(() => {
      const isFollowed = this.#run('UPDATE position SET seq = ? WHERE relay = ?', seq, relay) > 0
      if (isFollowed) change()
      return isFollowed
    })
  }

  /** Events are missing: no relay can be followed before everything was read again. */
  startOver(): void {
    this.#transaction(() => {
      this.#run('DELETE FROM position')
      this.#run('DELETE FROM backfill')
    })
  }

  /** The repo is these records, as of its receipt. */
  replaceRepo({ did, rev }: Pick<ReceiptView, 'did' | 'rev'>, records: readonly RecordView[]): void {
    this.#run('DELETE FROM status WHERE did = ?', did)
    for (const { uri, cid, value } of records) this.#put(did, uri.split('/')[4]!, cid, rev ?? null, value)
    this.#run('UPDATE repo SET rev = ?, hidden = 0 WHERE did = ?', rev ?? null, did)
  }

  /** Whether an event tells something that our rows do not have yet. */
  isNews(did: string, rev: string): boolean {
    return this.#all('SELECT 1 FROM repo WHERE did = ? AND rev >= ?', did, rev).length === 0
  }

  /** Applies a commit; its rev counts as one that our rows have, unless they may be wrong otherwise. */
  applyChanges(did: string, rev: string, changes: readonly Change[]): void {
    for (const { rkey, cid, value } of changes) {
      if (cid === undefined) this.#run('DELETE FROM status WHERE did = ? AND rkey = ?', did, rkey)
      else this.#put(did, rkey, cid, rev, value)
    }
    this.#run('INSERT INTO repo (did) VALUES (?) ON CONFLICT DO NOTHING', did)
    this.#run('UPDATE repo SET rev = ? WHERE did = ? AND due IS NULL', rev, did)
  }

  #put(did: string, rkey: string, cid: string, rev: string | null, value: unknown): void {
    const json = value === undefined ? null : JSON.stringify(value)
    this.#run('INSERT OR REPLACE INTO status VALUES (?, ?, ?, ?, ?)', did, rkey, cid, rev, json)
  }

  readAgain(did: string): void {
    this.#run('INSERT INTO repo (did) VALUES (?) ON CONFLICT DO NOTHING', did)
    this.#run('UPDATE repo SET due = unixepoch() WHERE did = ?', did)
  }

  /** The repo could not be read: an hour later it may be. Our rows stay as they are. */
  postponeRepo(did: string): void {
    this.#run('UPDATE repo SET due = unixepoch() + 3600, backfill = NULL WHERE did = ?', did)
  }

  setHandle(did: string, handle: string): void {
    this.#run('UPDATE repo SET handle = ? WHERE did = ?', handle, did)
  }

  hideRepo(did: string): void {
    this.#run('UPDATE repo SET hidden = 1 WHERE did = ?', did)
  }

  /** Whoever is back may have changed something while away. */
  showRepo(did: string): void {
    this.#run('UPDATE repo SET hidden = 0, due = unixepoch() WHERE did = ? AND hidden', did)
  }

  forgetRepo(did: string): void {
    this.#run('DELETE FROM status WHERE did = ?', did)
    this.#run('DELETE FROM repo WHERE did = ?', did)
  }

  #transaction<T>(work: () => T): T {
    this.#db.exec('BEGIN IMMEDIATE')
    try {
      const result = work()
      this.#db.exec('COMMIT')
      return result
    } catch (error) {
      this.#db.exec('ROLLBACK')
      throw error
    }
  }

  #run(sql: string, ...values: SQLInputValue[]): number {
    return Number(this.#db.prepare(sql).run(...values).changes)
  }

  #all(sql: string, ...values: SQLInputValue[]) {
    return this.#db.prepare(sql).all(...values)
  }
}
