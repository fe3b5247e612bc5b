-- The queue's tables. Times are wall-clock milliseconds unless the name ends in _age: that is the time the
-- queue itself has seen pass (meta.age), which no leap of the clock can move.

CREATE TABLE meta(key TEXT PRIMARY KEY, value ANY NOT NULL) STRICT, WITHOUT ROWID;

-- An accepted payload. The row outlives its body: while it is there it answers duplicates.
CREATE TABLE event(
  seq INTEGER PRIMARY KEY AUTOINCREMENT,          -- order of acceptance, never reused
  id BLOB NOT NULL UNIQUE CHECK(length(id) = 16), -- minted by the sender
  digest BLOB NOT NULL CHECK(length(digest) = 32),
  repo TEXT NOT NULL CHECK(length(repo) BETWEEN 1 AND 512),
  kind TEXT NOT NULL,
  origin TEXT NOT NULL,
  peer_uid INTEGER NOT NULL,
  accepted_ms INTEGER NOT NULL,
  decisions TEXT NOT NULL,                        -- JSON: [service, matched, reason] of every configured service
  live INTEGER NOT NULL CHECK(live >= 0),         -- deliveries not ended
  ended_age INTEGER,                              -- when the last one ended
  stub INTEGER NOT NULL DEFAULT 0 CHECK(stub IN (0, 1)),
  CHECK((live = 0) = (ended_age IS NOT NULL))
) STRICT;
CREATE INDEX event_ended ON event(ended_age) WHERE ended_age IS NOT NULL AND stub = 0;
CREATE INDEX event_stub ON event(ended_age) WHERE stub = 1;

-- Apart from its event, so that counting `live` down does not rewrite megabytes.
CREATE TABLE body(
  seq INTEGER PRIMARY KEY REFERENCES event(seq) ON DELETE CASCADE,
  bytes BLOB NOT NULL
) STRICT;

-- The commit ids an event speaks of, each after a space. No index: one of random ids would cost every accept a
-- page for each of them, and who asks for a commit is a person who waits gladly while all of this is read.
CREATE TABLE event_commit(
  seq INTEGER PRIMARY KEY REFERENCES event(seq) ON DELETE CASCADE,
  oids TEXT NOT NULL
) STRICT;

-- What is known of a service beside its lanes. A missing row means all defaults.
CREATE TABLE service(
  name TEXT PRIMARY KEY,
  paused INTEGER NOT NULL DEFAULT 0 CHECK(paused IN (0, 1)),
  failures INTEGER NOT NULL DEFAULT 0,            -- transient ones in a row
  streak_lane INTEGER,                            -- the lane of the first of them
  spread INTEGER NOT NULL DEFAULT 0 CHECK(spread IN (0, 1)), -- another lane failed too
  turns INTEGER NOT NULL DEFAULT 0,               -- how often the breaker opened or closed: odd = open
  probe INTEGER,                                  -- the delivery that tries whether it may close
  probe_due_ms INTEGER,
  probe_wait_ms INTEGER,
  last_error TEXT NOT NULL DEFAULT '',            -- of the last attempt that ended, if it failed
  last_error_ms INTEGER,
  unclaimed_age INTEGER,                          -- since when nobody is configured to serve it
  next_ms INTEGER                                 -- its rate lets no other delivery start before
) STRICT, WITHOUT ROWID;

-- The deliveries of one (service, repository), one at a time. Without order every delivery has its own lane.
CREATE TABLE lane(
  id INTEGER PRIMARY KEY,
  service TEXT NOT NULL,
  repo TEXT NOT NULL,
  ordinal INTEGER NOT NULL DEFAULT 0,             -- 0; without order the event's seq
  hold_ms INTEGER,                                -- NULL: strict
  paused INTEGER NOT NULL DEFAULT 0 CHECK(paused IN (0, 1)),
  running INTEGER,                                -- the delivery that is leased
  wake_ms INTEGER,                                -- when its head or a parked one is due
  oldest INTEGER,                                 -- seq of its first delivery that has not ended
  UNIQUE(service, repo, ordinal)
) STRICT;
CREATE INDEX lane_runnable ON lane(service, wake_ms)
  WHERE running IS NULL AND paused = 0 AND wake_ms IS NOT NULL;
CREATE INDEX lane_paused ON lane(service, repo) WHERE paused = 1;
CREATE INDEX lane_oldest ON lane(service, oldest) WHERE oldest IS NOT NULL;

CREATE TABLE delivery(
  id INTEGER PRIMARY KEY AUTOINCREMENT,           -- part of the fencing token, never reused
  seq INTEGER NOT NULL REFERENCES event(seq) ON DELETE CASCADE,
  lane INTEGER NOT NULL,
  -- 0 ready 1 leased 2 done 3 dead 4 cancelled 5 expired 6 collapsed
  state INTEGER NOT NULL DEFAULT 0 CHECK(state BETWEEN 0 AND 6),
  parked INTEGER NOT NULL DEFAULT 0 CHECK(parked IN (0, 1)),     -- gave up its place in the lane
  suspect INTEGER NOT NULL DEFAULT 0 CHECK(suspect IN (0, 1)),   -- runs alone
  attempt INTEGER NOT NULL DEFAULT 0,             -- the other part of the token: grows with each lease
  due_ms INTEGER NOT NULL,
  since_ms INTEGER,                               -- when the wait for `due_ms` began; NULL: never tried
  turns INTEGER NOT NULL DEFAULT 0,               -- the breaker's `turns` then
  tries INTEGER NOT NULL DEFAULT 0,
  crashes INTEGER NOT NULL DEFAULT 0,
  orphans INTEGER NOT NULL DEFAULT 0,
  waited_ms INTEGER NOT NULL DEFAULT 0,           -- charged to the age budget
  blocked_ms INTEGER NOT NULL DEFAULT 0,          -- held up its lane
  ended_ms INTEGER,
  note TEXT NOT NULL DEFAULT '',
  born_age INTEGER NOT NULL DEFAULT 0,            -- when it was accepted, or asked for again; of a digest its youngest
  joined INTEGER,                                 -- the delivery whose payload, a digest, it is a part of
  members INTEGER NOT NULL DEFAULT 0,             -- how many are joined to it
  CHECK((state > 1) = (ended_ms IS NOT NULL)),
  CHECK(state <> 1 OR attempt > 0),
  UNIQUE(seq, lane)
) STRICT;
-- One in flight per lane: promised by the database, whatever the code does.
CREATE UNIQUE INDEX delivery_one_leased ON delivery(lane) WHERE state = 1;
CREATE INDEX delivery_head ON delivery(lane, seq) WHERE state = 0 AND parked = 0 AND joined IS NULL;
CREATE INDEX delivery_parked ON delivery(lane, due_ms) WHERE state = 0 AND parked = 1 AND joined IS NULL;
CREATE INDEX delivery_passed ON delivery(lane, seq) WHERE state = 0 AND parked = 1;
CREATE INDEX delivery_dead ON delivery(lane, seq) WHERE state = 3;
CREATE INDEX delivery_suspect ON delivery(id) WHERE suspect = 1;
CREATE INDEX delivery_joined ON delivery(joined, seq) WHERE joined IS NOT NULL;

-- The refs that the push of a delivery moved, where its service collapses what waits.
CREATE TABLE moved(
  lane INTEGER NOT NULL,
  ref TEXT NOT NULL,
  delivery INTEGER NOT NULL REFERENCES delivery(id) ON DELETE CASCADE,
  PRIMARY KEY(lane, ref, delivery)
) STRICT, WITHOUT ROWID;
CREATE INDEX moved_delivery ON moved(delivery);

CREATE TABLE attempt(
  delivery INTEGER NOT NULL REFERENCES delivery(id) ON DELETE CASCADE,
  number INTEGER NOT NULL,
  generation INTEGER NOT NULL,
  worker TEXT NOT NULL,
  began_ms INTEGER NOT NULL,
  took_ms INTEGER,
  outcome TEXT,
  note TEXT NOT NULL DEFAULT '',
  output TEXT NOT NULL DEFAULT '',
  PRIMARY KEY(delivery, number)
) STRICT, WITHOUT ROWID;

-- Dead letters that nobody was told of yet.
CREATE TABLE untold(
  delivery INTEGER PRIMARY KEY REFERENCES delivery(id) ON DELETE CASCADE
) STRICT;

CREATE TABLE generation(
  number INTEGER PRIMARY KEY AUTOINCREMENT,
  digest TEXT NOT NULL,
  created_ms INTEGER NOT NULL,
  state TEXT NOT NULL CHECK(state IN ('probing', 'active', 'draining', 'retired', 'rejected')),
  report TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE UNIQUE INDEX generation_one_active ON generation(state) WHERE state = 'active';

-- Counts, written in the commit of what they count. Service '' is the queue itself.
CREATE TABLE tally(
  service TEXT NOT NULL,
  name TEXT NOT NULL,
  n INTEGER NOT NULL,
  PRIMARY KEY(service, name)
) STRICT, WITHOUT ROWID;
