-- Every epoch that the store has had. The newest is that of il.store.
CREATE TABLE il.epoch (
	n        BIGINT PRIMARY KEY,
	epoch    TEXT COLLATE "C" NOT NULL UNIQUE CHECK (epoch <> ''),
	reason   TEXT NOT NULL,
	since_us BIGINT NOT NULL
);

CREATE TRIGGER epoch_no_change BEFORE UPDATE OR DELETE ON il.epoch FOR EACH ROW EXECUTE FUNCTION il.refuse_change();
CREATE TRIGGER epoch_no_truncate BEFORE TRUNCATE ON il.epoch FOR EACH STATEMENT EXECUTE FUNCTION il.refuse_change();

ALTER TABLE il.epoch ENABLE ALWAYS TRIGGER epoch_no_change;
ALTER TABLE il.epoch ENABLE ALWAYS TRIGGER epoch_no_truncate;

-- What running processes leave now and then, and remember outside of the database:
-- a store that lacks a mark was put back to a time before it.
CREATE TABLE il.mark (
	value    TEXT COLLATE "C" NOT NULL PRIMARY KEY,
	stamp_us BIGINT NOT NULL DEFAULT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint
);

CREATE INDEX mark_stamp ON il.mark (stamp_us);

-- Which server holds the database, where the server tells: system identifier and timeline.
ALTER TABLE il.store ADD COLUMN server TEXT NOT NULL DEFAULT '';
