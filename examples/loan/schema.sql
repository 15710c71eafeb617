-- The application's own tables. `status` is an ordinary column: queries,
-- reports and indexes use it as ever. Only the gate writes it.
CREATE TABLE IF NOT EXISTS employees (
	id           text PRIMARY KEY,
	person       text NOT NULL,   -- the human behind the account
	role         text NOT NULL CHECK (role IN ('employee', 'manager')),
	credit_limit bigint NOT NULL CHECK (credit_limit >= 0),
	token_hash   text NOT NULL
);

CREATE TABLE IF NOT EXISTS loans (
	id        text PRIMARY KEY,
	applicant text NOT NULL,
	amount    bigint NOT NULL CHECK (amount >= 0),
	status    text NOT NULL
);

-- Who changed the amount: it is our column, so it is our record.
CREATE TABLE IF NOT EXISTS amount_changes (
	loan       text NOT NULL REFERENCES loans (id),
	amount     bigint NOT NULL,
	changed_by text NOT NULL,
	changed_at text NOT NULL
);

CREATE INDEX IF NOT EXISTS loans_status ON loans (status);

CREATE TABLE IF NOT EXISTS bookings (
	loan       text PRIMARY KEY REFERENCES loans (id), -- a loan is paid out once
	amount     bigint NOT NULL,
	booked_by  text NOT NULL,
	transition text NOT NULL  -- the row of history that it belongs to
);
