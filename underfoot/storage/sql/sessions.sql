-- name: begin
-- purpose: a new session of a person
INSERT INTO sessions (person_key, kind, expires_at, address, agent)
VALUES (%(person_key)s, %(kind)s, clock_timestamp() + %(longest)s, %(address)s, %(agent)s)
RETURNING session_key, began_at, expires_at;

-- name: add_token
-- purpose: a token of a session; none outlives it
INSERT INTO session_tokens (token_hash, session_key, kind, expires_at)
SELECT %(token_hash)s, session_key, %(kind)s, least(clock_timestamp() + %(good_for)s, expires_at) FROM sessions
WHERE session_key = %(session_key)s
RETURNING expires_at;

-- name: find_access
-- purpose: whose session an access token is of, while that, the token and the account are good
SELECT p.name, p.display_name, p.role, p.areas, p.units, s.kind, s.session_key
FROM session_tokens t JOIN sessions s USING (session_key) JOIN people p USING (person_key)
WHERE t.token_hash = %(token_hash)s AND t.kind = 'access' AND t.expires_at > clock_timestamp()
    AND s.ended_at IS NULL AND s.expires_at > clock_timestamp() AND p.disabled_at IS NULL;

-- name: lock_refresh
-- purpose: the session that a refresh token is of, held until the end of the transaction, with what the token is worth
SELECT s.session_key, s.kind, p.person_key, p.name, p.role, p.disabled_at, t.used_at,
    t.expires_at > clock_timestamp() AND s.ended_at IS NULL AND s.expires_at > clock_timestamp() AND p.disabled_at IS NULL AS good,
    s.ended_at IS NOT NULL AS ended
FROM session_tokens t JOIN sessions s USING (session_key) JOIN people p USING (person_key)
WHERE t.token_hash = %(token_hash)s AND t.kind = 'refresh'
FOR UPDATE OF s, t;

-- name: use_refresh
-- purpose: a refresh token has been used, and with it the access token before
UPDATE session_tokens SET used_at = clock_timestamp() WHERE token_hash = %(token_hash)s;

-- name: forget_access
-- purpose: the access tokens of a session open nothing any more
DELETE FROM session_tokens WHERE session_key = %(session_key)s AND kind = 'access';

-- name: renewed
-- purpose: a session was renewed now
UPDATE sessions SET renewed_at = clock_timestamp() WHERE session_key = %(session_key)s;

-- name: end
-- purpose: one session is over
UPDATE sessions SET ended_at = clock_timestamp(), ended_because = %(because)s
WHERE session_key = %(session_key)s AND ended_at IS NULL
RETURNING session_key;

-- name: end_of_person
-- purpose: a person's sessions are over, but for one where it is said
UPDATE sessions SET ended_at = clock_timestamp(), ended_because = %(because)s
WHERE person_key = %(person_key)s AND ended_at IS NULL AND expires_at > clock_timestamp()
    AND (%(but)s::bigint IS NULL OR session_key <> %(but)s)
RETURNING session_key;

-- name: of_person
-- purpose: a person's sessions that are not over, the last renewed first
SELECT session_key, kind, began_at, renewed_at, expires_at, address, agent FROM sessions
WHERE person_key = %(person_key)s AND ended_at IS NULL AND expires_at > clock_timestamp()
ORDER BY renewed_at DESC, session_key DESC
LIMIT 1000;

-- name: one_of_person
-- purpose: one session of a person's that is not over
SELECT session_key FROM sessions
WHERE person_key = %(person_key)s AND session_key = %(session_key)s AND ended_at IS NULL AND expires_at > clock_timestamp();

-- name: known_here
-- purpose: whether a person has logged in from this address lately
SELECT EXISTS (
    SELECT FROM sessions WHERE person_key = %(person_key)s AND address = %(address)s AND began_at > clock_timestamp() - %(lately)s
) AS known;

-- name: purge_tokens
-- purpose: what nobody can use any more, some at a time
DELETE FROM session_tokens WHERE token_hash IN (
    SELECT token_hash FROM session_tokens WHERE expires_at < clock_timestamp() - interval '1 day' LIMIT 1000
);

-- name: purge_sessions
-- purpose: sessions that were over long ago, some at a time; the audit log keeps that they were
DELETE FROM sessions WHERE session_key IN (
    SELECT session_key FROM sessions WHERE expires_at < clock_timestamp() - interval '90 days' LIMIT 1000
);

-- name: guess
-- purpose: one more try, counted before it is judged; no row where one must still wait
INSERT INTO guesses AS g (kind, subject, failures, last_at, wait_until)
VALUES (%(kind)s, %(subject)s, 1, clock_timestamp(), clock_timestamp())
ON CONFLICT (kind, subject) DO UPDATE SET
    failures = CASE WHEN g.last_at < clock_timestamp() - %(forgotten)s::interval THEN 1 ELSE g.failures + 1 END,
    last_at = clock_timestamp(),
    wait_until = clock_timestamp() + CASE
        WHEN g.last_at < clock_timestamp() - %(forgotten)s::interval OR g.failures + 1 < %(free)s THEN interval '0'
        ELSE least(interval '1 second' * power(2, least(g.failures + 1 - %(free)s, 20)), %(longest)s::interval)
    END
WHERE g.wait_until <= clock_timestamp()
RETURNING failures;

-- name: waiting
-- purpose: how long one must still wait before the next try (seconds)
SELECT greatest(extract(epoch FROM wait_until - clock_timestamp()), 0)::float8 AS wait_s FROM guesses
WHERE kind = %(kind)s AND subject = %(subject)s;

-- name: guessed_right
-- purpose: it was no guess: what was counted against an account is forgotten
DELETE FROM guesses WHERE kind = %(kind)s AND subject = %(subject)s;

-- name: uncount
-- purpose: the last try from an address was no guess; the ones before stay counted
UPDATE guesses SET failures = failures - 1, wait_until = clock_timestamp()
WHERE kind = 'address' AND subject = %(subject)s AND failures > 0;

-- name: purge_guesses
-- purpose: what was guessed long ago, some at a time
DELETE FROM guesses WHERE (kind, subject) IN (
    SELECT kind, subject FROM guesses WHERE last_at < clock_timestamp() - interval '7 days' LIMIT 1000
);

-- name: begin_oidc
-- purpose: a log-in at a provider begins
INSERT INTO oidc_logins (state_hash, browser_hash, nonce, verifier, onward, expires_at)
VALUES (%(state_hash)s, %(browser_hash)s, %(nonce)s, %(verifier)s, %(onward)s, clock_timestamp() + %(good_for)s);

-- name: take_oidc
-- purpose: the log-in that a state belongs to, used up by asking; no row where there is none
DELETE FROM oidc_logins WHERE state_hash = %(state_hash)s
RETURNING browser_hash, nonce, verifier, onward, expires_at > clock_timestamp() AS good;

-- name: purge_oidc
-- purpose: log-ins at a provider that nobody finished
DELETE FROM oidc_logins WHERE expires_at < clock_timestamp() - interval '1 hour';
