-- The application's own tables. `status` is an ordinary column: queries,
-- reports and indexes use it as ever. Only the gate writes it.
CREATE TABLE IF NOT EXISTS users (
	id                text PRIMARY KEY,
	email             text UNIQUE,                -- lower case; NULL once deleted
	name              text NOT NULL,
	role              text NOT NULL DEFAULT 'user' CHECK (role IN ('user', 'admin')),
	status            text NOT NULL,
	password_hash     text NOT NULL DEFAULT '',
	password_disabled boolean NOT NULL DEFAULT true,
	failed_logins     bigint NOT NULL DEFAULT 0,  -- wrong passwords in a row
	invitation_hash   text NOT NULL DEFAULT ''
);

CREATE INDEX IF NOT EXISTS users_status ON users (status);

CREATE TABLE IF NOT EXISTS sessions (
	token_hash text PRIMARY KEY,
	user_id    text NOT NULL REFERENCES users (id)
);

-- What is to be said: invitations to people, notices to administrators. Written
-- with the transition, sent after it.
CREATE TABLE IF NOT EXISTS messages (
	transition text PRIMARY KEY, -- the row of history that it is about
	recipient  text NOT NULL,
	message    text NOT NULL,
	sent       boolean NOT NULL DEFAULT false
);
