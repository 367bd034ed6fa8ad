-- name: lock
-- purpose: be the one that compares this platform; false: somebody else does
SELECT pg_try_advisory_lock(hashtext('underfoot.reconcile'), %(sink_key)s);

-- name: unlock
-- purpose: the comparison is over
SELECT pg_advisory_unlock(hashtext('underfoot.reconcile'), %(sink_key)s);

-- name: begin
-- purpose: a comparison begins
INSERT INTO reconciliations (sink_key, scope, actor, began_at) VALUES (%(sink_key)s, %(scope)s, %(actor)s, %(now)s)
RETURNING reconciliation_key;

-- name: end
-- purpose: … and what came of it
UPDATE reconciliations SET ended_at = %(now)s, found = %(found)s, error = %(error)s
WHERE reconciliation_key = %(reconciliation_key)s;

-- name: make_theirs
-- purpose: what the platform lists, on the database's disk and not in our memory; without a state where a line cannot be read
CREATE TEMP TABLE theirs (
    line bigint GENERATED ALWAYS AS IDENTITY, platform_no text COLLATE "C", push_id text, alarm_key bigint, episode int, again int,
    state text, heard jsonb, asked_at timestamptz NOT NULL
);

-- name: make_asked
-- purpose: the cases that the platform was asked for, where it was asked for certain ones
CREATE TEMP TABLE asked (case_key bigint PRIMARY KEY);

-- name: copy_theirs
-- purpose: a page of its list
COPY theirs (platform_no, push_id, alarm_key, episode, again, state, heard, asked_at) FROM STDIN;

-- name: to_ask
-- purpose: the next open cases that a platform has taken, by number
SELECT r.case_key, r.platform_no, c.alarm_key || '-' || c.episode || CASE WHEN c.again > 0 THEN '-' || c.again ELSE '' END
FROM case_reported r JOIN cases c USING (case_key)
WHERE r.sink_key = %(sink_key)s AND c.ended_at IS NULL AND r.case_key > %(after)s
    AND (%(by)s::text = 'event_id' OR r.platform_no IS NOT NULL)
ORDER BY r.case_key LIMIT %(limit)s;

-- name: note_asked
-- purpose: these were asked for
INSERT INTO asked SELECT unnest(%(case_keys)s::bigint[]) ON CONFLICT DO NOTHING;

-- name: match
-- purpose: which line is about which case: by the event that we named it by, by its number, by the key it was pushed under
CREATE TEMP TABLE matched AS
SELECT t.line, c.case_key
FROM theirs t
JOIN cases c ON c.alarm_key = t.alarm_key AND c.episode = t.episode AND c.again = t.again
UNION
SELECT t.line, r.case_key
FROM theirs t JOIN case_reported r ON r.platform_no = t.platform_no AND r.sink_key = %(sink_key)s
UNION
SELECT t.line, c.case_key
FROM theirs t
JOIN outbox o ON o.idempotency_key = t.push_id AND o.sink_key = %(sink_key)s
JOIN cases c ON c.alarm_key = o.alarm_key AND c.episode = o.episode
WHERE t.alarm_key IS NULL AND t.platform_no IS NULL;

-- name: index_matched
-- purpose: for both joins of what follows
CREATE INDEX ON matched (case_key);

-- name: differences
-- purpose: where the two sides differ, one line each; what agrees is only counted
WITH lines AS (
    SELECT t.line, t.platform_no, t.state, t.heard, t.asked_at, m.case_key,
        c.ended_at, c.ended_how, c.end_confirmed, c.known_state, r.platform_no AS our_no, r.case_key IS NULL AS untaken, c.state AS our_state,
        t.state = ANY(%(final)s::text[]) AS over
    FROM theirs t
    LEFT JOIN matched m USING (line)
    LEFT JOIN cases c ON c.case_key = m.case_key
    LEFT JOIN case_reported r ON r.case_key = m.case_key AND r.sink_key = %(sink_key)s
    WHERE t.state IS NOT NULL
)
SELECT what, case_key, platform_no, state, our_state, heard, asked_at
FROM (
    SELECT CASE
            WHEN case_key IS NULL THEN 'unknown'
            WHEN ended_at IS NULL AND over THEN 'ended_there'
            WHEN ended_at IS NOT NULL AND NOT over AND end_confirmed THEN 'goes_on_there'
            WHEN ended_at IS NOT NULL AND NOT over THEN 'ended_here'
            WHEN ended_at IS NOT NULL AND NOT end_confirmed THEN 'confirmed'
            WHEN ended_at IS NULL AND state IS DISTINCT FROM coalesce(known_state, 'reported') THEN 'differs'
            WHEN platform_no IS NOT NULL AND platform_no IS DISTINCT FROM our_no OR untaken THEN 'number'
        END AS what, *
    FROM lines
) AS judged
WHERE what IS NOT NULL
UNION ALL
SELECT CASE WHEN c.ended_at IS NULL THEN 'missing' ELSE 'gone' END, r.case_key, r.platform_no, NULL, c.state, NULL, NULL
FROM case_reported r JOIN cases c USING (case_key)
WHERE r.sink_key = %(sink_key)s AND r.reported_at < %(began)s
    AND NOT EXISTS (SELECT FROM matched m WHERE m.case_key = r.case_key)
    AND (NOT %(certain)s OR EXISTS (SELECT FROM asked a WHERE a.case_key = r.case_key));

-- name: missing
-- purpose: how many open cases a platform should have, and how many of them it has not
SELECT count(*), count(*) FILTER (WHERE NOT EXISTS (SELECT FROM matched m WHERE m.case_key = r.case_key))
FROM case_reported r JOIN cases c USING (case_key)
WHERE r.sink_key = %(sink_key)s AND r.reported_at < %(began)s AND c.ended_at IS NULL
    AND (NOT %(certain)s OR EXISTS (SELECT FROM asked a WHERE a.case_key = r.case_key));

-- name: sizes
-- purpose: how much was compared
SELECT (SELECT count(*) FROM theirs), (SELECT count(DISTINCT case_key) FROM matched),
    (SELECT count(*) FROM case_reported r WHERE r.sink_key = %(sink_key)s);

-- name: touch
-- purpose: the platform has these cases; held, before the cases are, as callbacks and receipts do; when it last said anything of each
INSERT INTO case_reported AS known (case_key, sink_key, reported_at, told_at)
SELECT case_key, %(sink_key)s, %(at)s, %(at)s FROM unnest(%(case_keys)s::bigint[]) AS t (case_key) ORDER BY case_key
ON CONFLICT (case_key, sink_key) DO UPDATE SET resent = known.resent
RETURNING case_key, heard_at;

-- name: hold
-- purpose: cases that differ, held; of when the newest word of the platform was
SELECT case_key, known_at FROM cases WHERE case_key = ANY(%(case_keys)s) ORDER BY case_key FOR NO KEY UPDATE;

-- name: heard
-- purpose: what the platform has said of these cases, and their numbers
UPDATE case_reported k SET
    platform_no = coalesce(r.platform_no, k.platform_no), heard_at = greatest(k.heard_at, %(at)s), resent = 0
FROM jsonb_to_recordset(%(rows)s) AS r (case_key bigint, platform_no text)
WHERE k.case_key = r.case_key AND k.sink_key = %(sink_key)s;

-- name: found
-- purpose: cases as a platform speaks of them
SELECT c.case_key, c.sink_key, e.episode_key,
    CASE WHEN e.human = 'acknowledged' THEN e.acknowledged_by END, c.ended_at IS NULL AND e.cleared_at IS NULL
FROM cases c JOIN episodes e ON e.alarm_key = c.alarm_key AND e.episode = c.episode
WHERE c.case_key = ANY(%(case_keys)s);

-- name: owe_again
-- purpose: owe a platform once more what it had been told of a case, under the same keys: all of it, or its newest notice; nothing while anything is under way
UPDATE outbox o SET
    state = 'owed', attempts = 0, owed_since = clock_timestamp(), next_attempt_at = clock_timestamp(),
    lease_until = NULL, settled_at = NULL, verdict = NULL, receipt = NULL
FROM (
    SELECT d.delivery_key FROM outbox d JOIN cases c ON c.alarm_key = d.alarm_key AND c.episode = d.episode
    WHERE c.case_key = %(case_key)s AND d.sink_key = %(sink_key)s AND d.state = 'delivered'
        -- Of an episode that had an earlier case, only what was told of this one.
        AND coalesce((d.snapshot #>> '{case,case_key}')::bigint, c.case_key) = c.case_key
        AND NOT EXISTS (
            SELECT FROM outbox w WHERE w.alarm_key = d.alarm_key AND w.sink_key = d.sink_key AND w.state = 'owed')
    ORDER BY d.transition_no DESC LIMIT CASE WHEN %(newest)s THEN 1 END
) AS again
WHERE o.delivery_key = again.delivery_key AND o.state = 'delivered'
RETURNING o.delivery_key;

-- name: under_way
-- purpose: whether this platform is still owed anything about a case
SELECT EXISTS (
    SELECT FROM outbox o JOIN cases c ON c.alarm_key = o.alarm_key AND c.episode = o.episode
    WHERE c.case_key = %(case_key)s AND o.sink_key = %(sink_key)s AND o.state = 'owed'
);

-- name: count_resent
-- purpose: it was sent again
UPDATE case_reported SET resent = resent + 1 WHERE case_key = %(case_key)s AND sink_key = %(sink_key)s;

-- name: resent
-- purpose: how often a case was sent again since the platform last had it
SELECT resent FROM case_reported WHERE case_key = %(case_key)s AND sink_key = %(sink_key)s;

-- name: wake
-- purpose: the dispatcher, with the commit
SELECT pg_notify('underfoot_outbox', '');

-- name: last_runs
-- purpose: platforms in use, and when each was last compared, well or not
SELECT s.name, s.config,
    (SELECT max(began_at) FROM reconciliations r WHERE r.sink_key = s.sink_key AND r.scope = 'all' AND r.ended_at IS NOT NULL AND r.error IS NULL) AS all_at,
    (SELECT max(began_at) FROM reconciliations r WHERE r.sink_key = s.sink_key AND r.ended_at IS NOT NULL AND r.error IS NULL) AS any_at,
    (SELECT max(began_at) FROM reconciliations r WHERE r.sink_key = s.sink_key) AS tried_at,
    s.created_at
FROM sinks s
WHERE s.enabled AND s.channel = 'platform' AND s.audience = 'platform' AND s.config ? 'query'
ORDER BY s.sink_key;
