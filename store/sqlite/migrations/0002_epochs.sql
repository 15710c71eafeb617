-- Every epoch that the store has had. The newest is that of il.store.
CREATE TABLE il.epoch (
	n        INTEGER PRIMARY KEY,
	epoch    TEXT NOT NULL UNIQUE CHECK (epoch <> ''),
	reason   TEXT NOT NULL,
	since_us INTEGER NOT NULL
) STRICT;

CREATE TRIGGER il.epoch_no_update BEFORE UPDATE ON il.epoch
BEGIN SELECT RAISE(ABORT, 'epochs are append-only'); END;

CREATE TRIGGER il.epoch_no_delete BEFORE DELETE ON il.epoch
BEGIN SELECT RAISE(ABORT, 'epochs are append-only'); END;

-- REPLACE deletes without firing a trigger where a connection has recursive triggers off.
CREATE TRIGGER il.epoch_no_replace BEFORE INSERT ON il.epoch
WHEN EXISTS (SELECT 1 FROM il.epoch e WHERE e.n = NEW.n OR e.epoch = NEW.epoch)
BEGIN SELECT RAISE(ABORT, 'epochs are append-only'); END;

-- What running processes leave now and then, and remember outside of the database:
-- a store that lacks a mark was put back to a time before it.
CREATE TABLE il.mark (
	value    TEXT NOT NULL PRIMARY KEY,
	stamp_us INTEGER NOT NULL DEFAULT (CAST(unixepoch('subsec') * 1000000 AS INTEGER))
) STRICT, WITHOUT ROWID;

CREATE INDEX il.mark_stamp ON il.mark (stamp_us);

-- Which server holds the database, where the server tells.
ALTER TABLE il.store ADD COLUMN server TEXT NOT NULL DEFAULT '';
