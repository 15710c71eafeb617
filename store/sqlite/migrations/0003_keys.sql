-- A key is reserved (seq 0) under a token and for a lease, then completed.
ALTER TABLE il.idempotency ADD COLUMN token TEXT NOT NULL DEFAULT '';
ALTER TABLE il.idempotency ADD COLUMN lease_us INTEGER NOT NULL DEFAULT 0; -- by this database's clock
ALTER TABLE il.idempotency ADD COLUMN image TEXT NOT NULL DEFAULT '';
ALTER TABLE il.idempotency ADD COLUMN answer TEXT; -- erased with the texts of its row of history

CREATE INDEX il.idempotency_expires ON il.idempotency (expires);
