-- Keys of services, without their secrets.
CREATE TABLE il.api_key (
	id         TEXT NOT NULL PRIMARY KEY,
	tenant     TEXT NOT NULL,
	name       TEXT NOT NULL,
	hash       BLOB NOT NULL CHECK (length(hash) = 32),
	created_by TEXT NOT NULL,
	created_us INTEGER NOT NULL,
	expires_us INTEGER NOT NULL, -- 0: never
	revoked_by TEXT NOT NULL DEFAULT '',
	revoked_us INTEGER NOT NULL DEFAULT 0 -- 0: not
) STRICT, WITHOUT ROWID;

CREATE INDEX il.api_key_tenant ON il.api_key (tenant, id);
