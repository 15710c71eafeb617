-- Keys of services, without their secrets.
CREATE TABLE il.api_key (
	id         TEXT COLLATE "C" NOT NULL PRIMARY KEY,
	tenant     TEXT COLLATE "C" NOT NULL,
	name       TEXT COLLATE "C" NOT NULL,
	hash       BYTEA NOT NULL CHECK (length(hash) = 32),
	created_by TEXT COLLATE "C" NOT NULL,
	created_us BIGINT NOT NULL,
	expires_us BIGINT NOT NULL, -- 0: never
	revoked_by TEXT COLLATE "C" NOT NULL DEFAULT '',
	revoked_us BIGINT NOT NULL DEFAULT 0 -- 0: not
);

CREATE INDEX api_key_tenant ON il.api_key (tenant, id);
