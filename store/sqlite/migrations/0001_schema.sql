-- The identity of this database's history.
CREATE TABLE il.store (
	one   INTEGER PRIMARY KEY CHECK (one = 1),
	epoch TEXT NOT NULL CHECK (epoch <> '')
) STRICT;

-- Sets of rules under which decisions may be committed.
CREATE TABLE il.revision (
	machine  TEXT NOT NULL,
	id       TEXT NOT NULL,
	states   TEXT NOT NULL,
	status   TEXT NOT NULL CHECK (status IN ('active', 'accepting', 'retired')),
	since_us INTEGER NOT NULL,
	until_us INTEGER NOT NULL, -- of an accepting one
	PRIMARY KEY (machine, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE il.actor (
	tenant         TEXT NOT NULL,
	id             TEXT NOT NULL,
	person         TEXT NOT NULL,
	active         INTEGER NOT NULL CHECK (active IN (0, 1)),
	attrs          TEXT NOT NULL,
	grants         TEXT NOT NULL,
	version        INTEGER NOT NULL CHECK (version >= 1),
	head           BLOB NOT NULL,
	content_digest BLOB NOT NULL,
	admin          INTEGER NOT NULL CHECK (admin IN (0, 1)), -- derived of grants
	PRIMARY KEY (tenant, id)
) STRICT, WITHOUT ROWID;

CREATE INDEX il.actor_admin ON il.actor (tenant) WHERE admin;

CREATE TABLE il.instance (
	tenant         TEXT NOT NULL,
	machine        TEXT NOT NULL,
	id             TEXT NOT NULL,
	state          TEXT NOT NULL,
	version        INTEGER NOT NULL CHECK (version >= 1),
	facts          TEXT NOT NULL,
	entered        TEXT NOT NULL,
	did            TEXT NOT NULL,
	actors         TEXT NOT NULL,
	last           TEXT NOT NULL,
	created_by     TEXT NOT NULL,
	created_at     INTEGER NOT NULL,
	since          INTEGER NOT NULL,
	updated_at     INTEGER NOT NULL,
	head           BLOB NOT NULL,
	content_digest BLOB NOT NULL,
	PRIMARY KEY (tenant, machine, id)
) STRICT, WITHOUT ROWID;

-- Append-only; bytes are what hash is the SHA-256 of.
CREATE TABLE il.history (
	tenant              TEXT NOT NULL,
	machine             TEXT NOT NULL,
	instance            TEXT NOT NULL,
	seq                 INTEGER NOT NULL CHECK (seq >= 1),
	id                  TEXT NOT NULL,
	event               TEXT NOT NULL,
	from_state          TEXT NOT NULL,
	to_state            TEXT NOT NULL,
	override            INTEGER NOT NULL CHECK (override IN (0, 1)),
	actor               TEXT NOT NULL,
	person              TEXT NOT NULL,
	on_behalf_of        TEXT NOT NULL,
	on_behalf_of_person TEXT NOT NULL,
	time_us             INTEGER NOT NULL,
	revision            TEXT NOT NULL,
	hash                BLOB NOT NULL,
	prev                BLOB NOT NULL,
	bytes               BLOB NOT NULL,
	has_texts           INTEGER NOT NULL CHECK (has_texts IN (0, 1)),
	stamp_us            INTEGER NOT NULL DEFAULT (CAST(unixepoch('subsec') * 1000000 AS INTEGER)),
	PRIMARY KEY (tenant, machine, instance, seq)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER il.history_no_update BEFORE UPDATE ON il.history
BEGIN SELECT RAISE(ABORT, 'history is append-only'); END;

CREATE TRIGGER il.history_no_delete BEFORE DELETE ON il.history
BEGIN SELECT RAISE(ABORT, 'history is append-only'); END;

-- INSERT OR REPLACE fires delete triggers only where recursive_triggers is on.
CREATE TRIGGER il.history_no_replace BEFORE INSERT ON il.history
WHEN EXISTS (SELECT 1 FROM il.history h WHERE h.tenant = NEW.tenant AND h.machine = NEW.machine AND h.instance = NEW.instance AND h.seq = NEW.seq)
BEGIN SELECT RAISE(ABORT, 'history is append-only'); END;

-- What may be erased of a row of history; the row stays.
CREATE TABLE il.texts (
	tenant   TEXT NOT NULL,
	machine  TEXT NOT NULL,
	instance TEXT NOT NULL,
	seq      INTEGER NOT NULL,
	note     TEXT NOT NULL,
	input    TEXT NOT NULL,
	facts    TEXT NOT NULL,
	salt     BLOB NOT NULL,
	PRIMARY KEY (tenant, machine, instance, seq)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER il.texts_no_update BEFORE UPDATE ON il.texts
BEGIN SELECT RAISE(ABORT, 'texts of history can only be erased'); END;

CREATE TABLE il.idempotency (
	tenant      TEXT NOT NULL,
	actor       TEXT NOT NULL,
	key         TEXT NOT NULL,
	fingerprint BLOB NOT NULL,
	machine     TEXT NOT NULL,
	instance    TEXT NOT NULL,
	seq         INTEGER NOT NULL,
	expires     INTEGER NOT NULL,
	PRIMARY KEY (tenant, actor, key)
) STRICT, WITHOUT ROWID;

CREATE TABLE il.outbox (
	id       TEXT NOT NULL PRIMARY KEY,
	tenant   TEXT NOT NULL,
	machine  TEXT NOT NULL,
	instance TEXT NOT NULL,
	seq      INTEGER NOT NULL,
	message  BLOB NOT NULL,
	stamp_us INTEGER NOT NULL DEFAULT (CAST(unixepoch('subsec') * 1000000 AS INTEGER))
) STRICT;

CREATE TABLE il.attempt (
	n        INTEGER PRIMARY KEY AUTOINCREMENT,
	tenant   TEXT NOT NULL,
	machine  TEXT NOT NULL,
	instance TEXT NOT NULL,
	body     TEXT NOT NULL,
	stamp_us INTEGER NOT NULL DEFAULT (CAST(unixepoch('subsec') * 1000000 AS INTEGER))
) STRICT;

CREATE INDEX il.attempt_instance ON il.attempt (tenant, machine, instance, n);

CREATE TABLE il.attempt_count (
	tenant  TEXT NOT NULL,
	machine TEXT NOT NULL,
	event   TEXT NOT NULL,
	stage   TEXT NOT NULL,
	code    TEXT NOT NULL,
	count   INTEGER NOT NULL,
	PRIMARY KEY (tenant, machine, event, stage, code)
) STRICT, WITHOUT ROWID;
