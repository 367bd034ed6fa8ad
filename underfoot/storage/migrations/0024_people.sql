-- People with accounts, their sessions and rights; what API keys may see, and until when they are good.

CREATE TABLE people (
    person_key int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL CHECK (name ~ '^[^\s[:cntrl:]]{1,64}$'),  -- what they log in with; the actor in the audit log
    display_name text NOT NULL DEFAULT '',                   -- 姓名
    role text NOT NULL CHECK (role IN ('viewer', 'operator', 'crew', 'integrator', 'administrator')),
    areas text[] CHECK (cardinality(areas) > 0),             -- subtrees; null: the whole city
    units text[] CHECK (cardinality(units) > 0),             -- 养护单位; null: every one
    password_hash text CHECK (password_hash LIKE '$argon2id$%'),  -- null: not set yet, or logs in elsewhere
    password_at timestamptz,
    issuer text,                                             -- of who logs in at an OIDC provider, with `subject`
    subject text,
    disabled_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    created_by text NOT NULL,
    UNIQUE (issuer, subject),
    CHECK ((issuer IS NULL) = (subject IS NULL)),
    CHECK (issuer IS NULL OR password_hash IS NULL),
    CHECK ((password_hash IS NULL) = (password_at IS NULL))
);
-- Names are never used twice, whatever their case.
CREATE UNIQUE INDEX people_name ON people (lower(name));

CREATE TABLE invitations (
    -- A one-time secret with which somebody sets their password.
    secret_hash bytea PRIMARY KEY CHECK (octet_length(secret_hash) = 32),
    person_key int NOT NULL REFERENCES people (person_key),
    made_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    made_by text NOT NULL,
    expires_at timestamptz NOT NULL,
    used_at timestamptz                                      -- also: withdrawn, since a newer one was made
);
CREATE INDEX invitations_person ON invitations (person_key) WHERE used_at IS NULL;

CREATE TABLE sessions (
    session_key bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    person_key int NOT NULL REFERENCES people (person_key),
    kind text NOT NULL CHECK (kind IN ('token', 'cookie')),
    began_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    renewed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at timestamptz NOT NULL,                         -- however often it is renewed
    address text NOT NULL,
    agent text NOT NULL DEFAULT '',
    ended_at timestamptz,
    ended_because text CHECK (ended_because IN (
        'log_out', 'log_out_everywhere', 'administrator', 'disabled', 'password', 'rights', 'reused'
    )),
    CHECK ((ended_at IS NULL) = (ended_because IS NULL))
);
CREATE INDEX sessions_person ON sessions (person_key, session_key);
CREATE INDEX sessions_over ON sessions (expires_at);

CREATE TABLE session_tokens (
    -- Only hashes. A refresh token is good once; shown again, it ends its session.
    token_hash bytea PRIMARY KEY CHECK (octet_length(token_hash) = 32),
    session_key bigint NOT NULL REFERENCES sessions (session_key) ON DELETE CASCADE,
    kind text NOT NULL CHECK (kind IN ('access', 'refresh')),
    issued_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at timestamptz NOT NULL,
    used_at timestamptz
);
CREATE INDEX session_tokens_session ON session_tokens (session_key);
CREATE INDEX session_tokens_over ON session_tokens (expires_at);

CREATE TABLE guesses (
    -- Failed log-ins in a row, by what was guessed at: hashes, since people type passwords where names belong.
    kind text NOT NULL CHECK (kind IN ('account', 'address', 'known')),
    subject bytea NOT NULL,
    failures int NOT NULL,
    last_at timestamptz NOT NULL,
    wait_until timestamptz NOT NULL,
    PRIMARY KEY (kind, subject)
);
CREATE INDEX guesses_old ON guesses (last_at);

CREATE TABLE oidc_logins (
    -- A log-in at a provider that is under way: good once, and only in the browser that began it.
    state_hash bytea PRIMARY KEY CHECK (octet_length(state_hash) = 32),
    browser_hash bytea NOT NULL CHECK (octet_length(browser_hash) = 32),
    nonce text NOT NULL,
    verifier text NOT NULL,                                  -- PKCE
    onward text NOT NULL,                                    -- where to go then: a path of ours
    expires_at timestamptz NOT NULL
);
CREATE INDEX oidc_logins_over ON oidc_logins (expires_at);

ALTER TABLE api_keys
    ADD COLUMN areas text[] CHECK (cardinality(areas) > 0),
    ADD COLUMN units text[] CHECK (cardinality(units) > 0),
    ADD COLUMN expires_at timestamptz,
    DROP CONSTRAINT api_keys_role_check,
    ADD CONSTRAINT api_keys_role_check
        CHECK (role IN ('viewer', 'operator', 'crew', 'integrator', 'administrator', 'broker'));

-- The incidents of a maintenance unit are those in which it has had an alarm.
CREATE INDEX incident_members_alarm ON incident_members (alarm_key);

-- An actor is a key or a person, never both.
CREATE FUNCTION refuse_actor_twice() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('underfoot actor ' || lower(NEW.name), 0));
    IF TG_TABLE_NAME = 'people' AND EXISTS (SELECT FROM api_keys WHERE lower(name) = lower(NEW.name))
        OR TG_TABLE_NAME = 'api_keys' AND EXISTS (SELECT FROM people WHERE lower(name) = lower(NEW.name)) THEN
        RAISE unique_violation USING MESSAGE = 'this name is an actor in the audit log already', CONSTRAINT = 'one_actor';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER people_one_actor BEFORE INSERT ON people FOR EACH ROW EXECUTE FUNCTION refuse_actor_twice();
CREATE TRIGGER api_keys_one_actor BEFORE INSERT ON api_keys FOR EACH ROW EXECUTE FUNCTION refuse_actor_twice();
CREATE INDEX api_keys_name_lower ON api_keys (lower(name));
