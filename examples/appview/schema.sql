PRAGMA busy_timeout = 5000;
PRAGMA journal_mode = WAL;
-- Nothing waits for the disk: a power cut may take back the last transactions, but with them their positions.
PRAGMA synchronous = NORMAL;

CREATE TABLE IF NOT EXISTS repo (
  did TEXT PRIMARY KEY,
  rev TEXT,                          -- our rows have all events up to this one; null: nobody can tell
  handle TEXT,
  hidden INTEGER NOT NULL DEFAULT 0, -- the account is deactivated, suspended or taken down
  due INTEGER,                       -- our rows may be wrong; when to read them again, in seconds
  backfill INTEGER                   -- the last one that has read it
) STRICT;
CREATE INDEX IF NOT EXISTS repo_due ON repo (due) WHERE due IS NOT NULL;

CREATE TABLE IF NOT EXISTS status (
  uri TEXT PRIMARY KEY, did TEXT NOT NULL REFERENCES repo ON DELETE CASCADE, cid TEXT NOT NULL, value TEXT
) STRICT;
CREATE INDEX IF NOT EXISTS status_did ON status (did);
CREATE INDEX IF NOT EXISTS status_newest ON status (value ->> 'createdAt');

-- One at a time; of all repos there are, or of those that were due.
CREATE TABLE IF NOT EXISTS backfill (
  id INTEGER PRIMARY KEY AUTOINCREMENT, token TEXT NOT NULL, repos TEXT, positions TEXT,
  job TEXT, cursor INTEGER NOT NULL DEFAULT 0
) STRICT;

-- Up to where each relay's events are in our rows.
CREATE TABLE IF NOT EXISTS position (relay TEXT PRIMARY KEY, seq INTEGER NOT NULL) STRICT;

CREATE VIEW IF NOT EXISTS visible_status AS
  SELECT status.*, handle FROM status JOIN repo USING (did) WHERE NOT hidden;

CREATE VIEW IF NOT EXISTS latest_status AS
  SELECT coalesce(handle, did) AS author, value ->> 'status' AS status, value ->> 'createdAt' AS createdAt
  FROM visible_status ORDER BY createdAt DESC LIMIT 50;

-- As many repos as one job may name, and where the relays are followed now; nothing if no repo is due.
CREATE VIEW IF NOT EXISTS due_backfill AS
  SELECT json_group_array(did) AS repos,
    (SELECT json_group_array(json_object('relay', relay, 'seq', seq)) FROM position) AS positions
  FROM (SELECT did FROM repo WHERE due <= unixepoch() LIMIT 1000) HAVING count(*) > 0;
