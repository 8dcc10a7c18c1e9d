import { randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { DatabaseSync, type SQLInputValue } from 'node:sqlite'
import type { ReceiptView, RecordChange, RepoMessage, StartCursor } from 'aquifer/client'

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

/** All that the AppView knows, and how far it has come. Both change in the same transaction. */
export class Store {
  readonly #db: DatabaseSync

  constructor(path: string) {
    this.#db = new DatabaseSync(path)
    this.#db.exec(readFileSync(new URL('schema.sql', import.meta.url), 'utf8'))
  }

  latest() {
    return this.#all('SELECT author, status, createdAt FROM latest_status')
  }

  positions(): StartCursor[] {
    return this.#all('SELECT relay, seq FROM position') as unknown as StartCursor[]
  }

  /** The backfill under way; else one of everything if no relay can be followed, else one of what is due. */
  nextBackfill(): Backfill | undefined {
    return this.#transaction(() => this.#begun() ?? this.#begin())
  }

  #begun(): Backfill | undefined {
    const [row] = this.#all('SELECT id, token, repos, positions FROM backfill')
    if (row === undefined) return undefined
    const [repos, positions] = [row.repos, row.positions].map((json) => JSON.parse(String(json)))
    return { ...row, repos, positions } as unknown as Backfill
  }

  #begin(): Backfill | undefined {
    if (this.positions().length === 0) this.#run('INSERT INTO backfill (token) VALUES (?)', randomUUID())
    else {
      const due =
        'INSERT INTO backfill (token, repos, positions) SELECT ?, repos, positions FROM due_backfill'
      this.#run(due, randomUUID())
      // Those that this one does not get are for another one, an hour later.
      const taken = 'SELECT value FROM backfill, json_each(repos)'
      this.#run(`UPDATE repo SET due = unixepoch() + 3600 WHERE did IN (${taken})`)
    }
    return this.#begun()
  }

  /** Says which job it is. @returns the cursor from which its records are wanted */
  beginBackfill({ id }: Backfill, job: string): number {
    this.#run('UPDATE backfill SET job = ?, cursor = 0 WHERE id = ? AND job IS NOT ?', job, id, job)
    return Number(this.#all('SELECT cursor FROM backfill WHERE id = ?', id)[0]?.cursor)
  }

  /** Closes a repo, the next one of a backfill's job. */
  closeRepo({ id }: Backfill, message: Extract<RepoMessage, { seq: number }>): void {
    const { did, seq } = message
    this.#transaction(() => {
      const read = 'ON CONFLICT DO UPDATE SET backfill = excluded.backfill'
      this.#run(`INSERT INTO repo (did, backfill) VALUES (?, ?) ${read}`, did, id)
      if (message.type === 'repo') this.replaceRepo(message.receipt, message.records)
      else if (message.type === 'repoUnavailable') this.loseRepo(did, message.reason)
      // It could not be read: an hour later it may be. Our rows stay as they are.
      else this.#run('UPDATE repo SET due = unixepoch() + 3600, backfill = NULL WHERE did = ?', did)
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
      // A repo that is not among all has no statuses any more.
      if (repos === null)
        this.#run('DELETE FROM repo WHERE backfill IS NOT ? AND due IS NULL AND NOT hidden', id)
      for (const { relay, seq } of positions ?? [])
        this.#run('INSERT OR REPLACE INTO position (relay, seq) VALUES (?, ?)', relay, seq)
    })
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
    this.#transaction(() => this.#db.exec('DELETE FROM position; DELETE FROM backfill'))
  }

  /** Whether an event tells something that our rows do not have yet. */
  isNews(did: string, rev: string): boolean {
    return this.#all('SELECT 1 FROM repo WHERE did = ? AND rev >= ?', did, rev).length === 0
  }

  /** The repo is these records, as of its receipt. */
  replaceRepo({ did, rev }: Pick<ReceiptView, 'did' | 'rev'>, records: readonly RecordChange[]): void {
    this.#run('DELETE FROM status WHERE did = ?', did)
    this.#put(did, records)
    this.#run('UPDATE repo SET rev = ?, hidden = 0 WHERE did = ?', rev ?? null, did)
  }

  /** Applies a commit; its rev counts as one that our rows have, unless they may be wrong otherwise. */
  changeRepo(did: string, rev: string, changes: readonly RecordChange[]): void {
    this.#run('INSERT INTO repo (did) VALUES (?) ON CONFLICT DO NOTHING', did)
    this.#run('UPDATE repo SET rev = ? WHERE did = ? AND due IS NULL', rev, did)
    this.#put(did, changes)
  }

  #put(did: string, changes: readonly RecordChange[]): void {
    const put = 'INSERT OR REPLACE INTO status (uri, did, cid, value) VALUES (?, ?, ?, ?)'
    for (const { uri, cid, value } of changes) {
      if (cid === undefined) this.#run('DELETE FROM status WHERE uri = ?', uri)
      else this.#run(put, uri, did, cid, JSON.stringify(value) ?? null)
    }
  }

  readAgain(did: string): void {
    const due = 'ON CONFLICT DO UPDATE SET due = excluded.due'
    this.#run(`INSERT INTO repo (did, due) VALUES (?, unixepoch()) ${due}`, did)
  }

  /** The account is not active: it may be back some day, or is gone for good. */
  loseRepo(did: string, reason?: string): void {
    if (reason === 'deleted' || reason === 'tombstoned') this.#run('DELETE FROM repo WHERE did = ?', did)
    else this.#run('UPDATE repo SET hidden = 1 WHERE did = ?', did)
  }

  /** Whoever is back may have changed something while away. */
  showRepo(did: string): void {
    this.#run('UPDATE repo SET hidden = 0, due = unixepoch() WHERE did = ? AND hidden', did)
  }

  setHandle(did: string, handle: string): void {
    this.#run('UPDATE repo SET handle = ? WHERE did = ?', handle, did)
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
