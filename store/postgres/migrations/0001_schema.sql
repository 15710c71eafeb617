-- Text is compared by its bytes, as in SQLite.

-- The identity of this database's history.
CREATE TABLE il.store (
	one   INTEGER PRIMARY KEY CHECK (one = 1),
	epoch TEXT COLLATE "C" NOT NULL CHECK (epoch <> '')
);

-- Sets of rules under which decisions may be committed.
CREATE TABLE il.revision (
	machine  TEXT COLLATE "C" NOT NULL,
	id       TEXT COLLATE "C" NOT NULL,
	states   TEXT NOT NULL,
	status   TEXT COLLATE "C" NOT NULL CHECK (status IN ('active', 'accepting', 'retired')),
	since_us BIGINT NOT NULL,
	until_us BIGINT NOT NULL, -- of an accepting one
	PRIMARY KEY (machine, id)
);

CREATE TABLE il.actor (
	tenant         TEXT COLLATE "C" NOT NULL,
	id             TEXT COLLATE "C" NOT NULL,
	person         TEXT COLLATE "C" NOT NULL,
	active         BOOLEAN NOT NULL,
	attrs          TEXT NOT NULL,
	grants         TEXT NOT NULL,
	version        BIGINT NOT NULL CHECK (version >= 1),
	head           BYTEA NOT NULL,
	content_digest BYTEA NOT NULL,
	admin          BOOLEAN NOT NULL, -- derived of grants
	PRIMARY KEY (tenant, id)
);

CREATE INDEX actor_admin ON il.actor (tenant) WHERE admin;

-- Room in each page for the next version of a row beside the former.
CREATE TABLE il.instance (
	tenant         TEXT COLLATE "C" NOT NULL,
	machine        TEXT COLLATE "C" NOT NULL,
	id             TEXT COLLATE "C" NOT NULL,
	state          TEXT COLLATE "C" NOT NULL,
	version        BIGINT NOT NULL CHECK (version >= 1),
	facts          TEXT NOT NULL,
	entered        TEXT NOT NULL,
	did            TEXT NOT NULL,
	actors         TEXT NOT NULL,
	last           TEXT NOT NULL,
	created_by     TEXT COLLATE "C" NOT NULL,
	created_at     BIGINT NOT NULL,
	since          BIGINT NOT NULL,
	updated_at     BIGINT NOT NULL,
	head           BYTEA NOT NULL,
	content_digest BYTEA NOT NULL,
	PRIMARY KEY (tenant, machine, id)
) WITH (fillfactor = 80);

-- Append-only; bytes are what hash is the SHA-256 of.
CREATE TABLE il.history (
	tenant              TEXT COLLATE "C" NOT NULL,
	machine             TEXT COLLATE "C" NOT NULL,
	instance            TEXT COLLATE "C" NOT NULL,
	seq                 BIGINT NOT NULL CHECK (seq >= 1),
	id                  TEXT COLLATE "C" NOT NULL,
	event               TEXT COLLATE "C" NOT NULL,
	from_state          TEXT COLLATE "C" NOT NULL,
	to_state            TEXT COLLATE "C" NOT NULL,
	override            BOOLEAN NOT NULL,
	actor               TEXT COLLATE "C" NOT NULL,
	person              TEXT COLLATE "C" NOT NULL,
	on_behalf_of        TEXT COLLATE "C" NOT NULL,
	on_behalf_of_person TEXT COLLATE "C" NOT NULL,
	time_us             BIGINT NOT NULL,
	revision            TEXT COLLATE "C" NOT NULL,
	hash                BYTEA NOT NULL,
	prev                BYTEA NOT NULL,
	bytes               BYTEA NOT NULL,
	has_texts           BOOLEAN NOT NULL,
	stamp_us            BIGINT NOT NULL DEFAULT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint,
	PRIMARY KEY (tenant, machine, instance, seq)
);

CREATE FUNCTION il.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
END $$;

CREATE TRIGGER history_no_change BEFORE UPDATE OR DELETE ON il.history FOR EACH ROW EXECUTE FUNCTION il.refuse_change();
CREATE TRIGGER history_no_truncate BEFORE TRUNCATE ON il.history FOR EACH STATEMENT EXECUTE FUNCTION il.refuse_change();

-- Triggers hold also where a session sets session_replication_role = replica.
ALTER TABLE il.history ENABLE ALWAYS TRIGGER history_no_change;
ALTER TABLE il.history ENABLE ALWAYS TRIGGER history_no_truncate;

REVOKE UPDATE, DELETE, TRUNCATE ON il.history FROM PUBLIC, CURRENT_USER;

-- What may be erased of a row of history; the row stays.
CREATE TABLE il.texts (
	tenant   TEXT COLLATE "C" NOT NULL,
	machine  TEXT COLLATE "C" NOT NULL,
	instance TEXT COLLATE "C" NOT NULL,
	seq      BIGINT NOT NULL,
	note     TEXT NOT NULL,
	input    TEXT NOT NULL,
	facts    TEXT NOT NULL,
	salt     BYTEA NOT NULL,
	PRIMARY KEY (tenant, machine, instance, seq)
);

CREATE TRIGGER texts_no_update BEFORE UPDATE ON il.texts FOR EACH ROW EXECUTE FUNCTION il.refuse_change();
CREATE TRIGGER texts_no_truncate BEFORE TRUNCATE ON il.texts FOR EACH STATEMENT EXECUTE FUNCTION il.refuse_change();

CREATE TABLE il.idempotency (
	tenant      TEXT COLLATE "C" NOT NULL,
	actor       TEXT COLLATE "C" NOT NULL,
	key         TEXT COLLATE "C" NOT NULL,
	fingerprint BYTEA NOT NULL,
	machine     TEXT COLLATE "C" NOT NULL,
	instance    TEXT COLLATE "C" NOT NULL,
	seq         BIGINT NOT NULL,
	expires     BIGINT NOT NULL,
	PRIMARY KEY (tenant, actor, key)
);

CREATE TABLE il.outbox (
	id       TEXT COLLATE "C" NOT NULL PRIMARY KEY,
	tenant   TEXT COLLATE "C" NOT NULL,
	machine  TEXT COLLATE "C" NOT NULL,
	instance TEXT COLLATE "C" NOT NULL,
	seq      BIGINT NOT NULL,
	message  BYTEA NOT NULL,
	stamp_us BIGINT NOT NULL DEFAULT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint
);

CREATE TABLE il.attempt (
	n        BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	tenant   TEXT COLLATE "C" NOT NULL,
	machine  TEXT COLLATE "C" NOT NULL,
	instance TEXT COLLATE "C" NOT NULL,
	body     TEXT NOT NULL,
	stamp_us BIGINT NOT NULL DEFAULT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint
);

CREATE INDEX attempt_instance ON il.attempt (tenant, machine, instance, n);

CREATE TABLE il.attempt_count (
	tenant  TEXT COLLATE "C" NOT NULL,
	machine TEXT COLLATE "C" NOT NULL,
	event   TEXT COLLATE "C" NOT NULL,
	stage   TEXT COLLATE "C" NOT NULL,
	code    TEXT COLLATE "C" NOT NULL,
	count   BIGINT NOT NULL,
	PRIMARY KEY (tenant, machine, event, stage, code)
);
