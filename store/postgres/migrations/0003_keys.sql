-- A key is reserved (seq 0) under a token and for a lease, then completed.
ALTER TABLE il.idempotency
	ADD COLUMN token    TEXT COLLATE "C" NOT NULL DEFAULT '',
	ADD COLUMN lease_us BIGINT NOT NULL DEFAULT 0, -- by this database's clock
	ADD COLUMN image    TEXT NOT NULL DEFAULT '',
	ADD COLUMN answer   TEXT; -- erased with the texts of its row of history

CREATE INDEX idempotency_expires ON il.idempotency (expires);
