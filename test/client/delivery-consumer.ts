import { existsSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { DatabaseSync } from 'node:sqlite'
import { setTimeout as sleep } from 'node:timers/promises'
import { BackfillClient, parsePrivateKey } from '../../src/client/index.js'

/**
 * A consumer as a process of its own, which may be killed at any moment: it keeps records as they come, and where to go
 * on once their repo is closed. Before the last of so many repos it waits until a file says that it may end.
 */

const [path = '', service = '', did = '', job = '', pauseMs = '0', repos = '', mayEnd = ''] =
  process.argv.slice(2)
const [key = ''] = await Array.fromAsync(createInterface({ input: process.stdin }))

const db = new DatabaseSync(path)
db.exec(`
  pragma journal_mode = wal;
  create table if not exists record (uri text primary key, cid text, value text, did text, copies integer);
  create index if not exists record_did on record (did);
  create table if not exists repo (did text primary key, seq integer, records integer);
  create table if not exists late (did text);
`)
const add = db.prepare(`
  insert into record values (?, ?, ?, ?, 1)
  on conflict do update set cid = excluded.cid, value = excluded.value, copies = copies + 1`)
const isClosed = db.prepare('select 1 from repo where did = ?')
const close = db.prepare('insert into repo values (?, ?, ?)')
const late = db.prepare('insert into late values (?)')
const closed = db.prepare('select count(*) as repos from repo')
const isAtLast = () => (closed.get() as { repos: number }).repos === Number(repos) - 1
const last = db.prepare('select coalesce(max(seq), 0) as seq from repo').get() as { seq: number }

const client = new BackfillClient({
  ...{ service, did, key: await parsePrivateKey(key) },
  // The service may be away when it starts, too.
  retry: { firstDelayMs: 50, maxDelayMs: 300, attempts: 1_000 },
})
await client.consumeRecords(
  job,
  async (message) => {
    while (message.type === 'repoComplete' && isAtLast() && !existsSync(mayEnd)) await sleep(50)
    db.exec('begin')
    if (message.type === 'records') {
      // What was acknowledged must never come again.
      if (isClosed.get(message.did)) late.run(message.did)
      for (const { uri, cid, value } of message.records) add.run(uri, cid, JSON.stringify(value), message.did)
    }
    if (message.type === 'repoComplete') {
      const { did, totalRecords } = message.receipt
      close.run(did, message.seq, totalRecords)
    }
    db.exec('commit')
    await sleep(Number(pauseMs))
  },
  { cursor: last.seq },
)
db.close()
