-- name: sinks_at_work
-- purpose: every sink that may be sent to, its breaker, whether something is due for it, and else when something will be
SELECT
    s.sink_key, s.name, s.channel, s.audience, s.config, s.failures,
    coalesce(extract(epoch FROM s.open_until - now()), 0)::float8 AS closed_for_s,
    due.found AS due,
    CASE WHEN NOT due.found THEN (
        SELECT extract(epoch FROM min(o.next_attempt_at) - now())::float8
        FROM outbox o WHERE o.sink_key = s.sink_key AND o.state = 'owed' AND o.next_attempt_at > now()
    ) END AS next_in_s,
    array_remove(ARRAY[s.maintenance_unit, s.owner_unit], NULL) AS units, s.quiet
FROM sinks s
CROSS JOIN LATERAL (
    -- LIMIT 1 and not EXISTS: the planner would answer that by reading everything that is due for anybody. And in an
    -- index's order: where much is owed, it would look for the first that is by reading all that was ever delivered.
    SELECT (
        SELECT true FROM outbox o
        WHERE o.sink_key = s.sink_key AND o.state = 'owed' AND o.next_attempt_at <= now()
            AND (o.lease_until IS NULL OR o.lease_until <= now())
        ORDER BY o.severity DESC, o.next_attempt_at, o.delivery_key LIMIT 1
    ) IS NOT NULL AS found
    OFFSET 0
) AS due
WHERE s.enabled
ORDER BY s.sink_key;

-- name: claim
-- purpose: lease up to `counts` due deliveries for each of `sinks`, at least so severe as `least`: the first owed one of each alarm, red first
WITH wanted AS (
    SELECT * FROM unnest(%(sinks)s::int[], %(counts)s::int[], %(least)s::smallint[]) AS w (sink_key, count, least)
),
due AS (
    SELECT picked.delivery_key
    FROM wanted w
    CROSS JOIN LATERAL (
        SELECT o.delivery_key FROM outbox o
        WHERE o.sink_key = w.sink_key AND o.state = 'owed' AND o.next_attempt_at <= now()
            AND (o.lease_until IS NULL OR o.lease_until <= now())
            -- Looked for by the alarm (`+ 0`: not by the sink). Where the planner's figures are older than a surge, it would
            -- else read all that the sink is owed for each of them.
            AND o.severity >= w.least
            AND (
                SELECT true FROM outbox earlier
                WHERE earlier.alarm_key = o.alarm_key AND earlier.sink_key + 0 = o.sink_key AND earlier.state = 'owed'
                    AND earlier.transition_no < o.transition_no
                    -- Red goes ahead of what only waits: for company, for the end of quiet hours.
                    AND (o.severity < 4 OR earlier.severity = 4 OR earlier.attempts > 0 OR earlier.next_attempt_at <= now())
                LIMIT 1
            ) IS NULL
        ORDER BY o.severity DESC, o.next_attempt_at, o.delivery_key
        LIMIT w.count
        FOR UPDATE OF o SKIP LOCKED
    ) AS picked
)
UPDATE outbox o SET
    lease_until = now() + make_interval(secs => %(lease_s)s),
    -- A lease that ran out was held by somebody who died at work: what became of the request is not known.
    maybe_told = o.maybe_told OR o.lease_until IS NOT NULL
FROM due
WHERE o.delivery_key = due.delivery_key AND o.state = 'owed' AND (o.lease_until IS NULL OR o.lease_until <= now())
RETURNING o.delivery_key;

-- name: claim_company
-- purpose: lease what is told in one message with what has been claimed: of the same company, also what only waits for it; and what waited for the end of quiet hours
WITH found AS (
    SELECT o.delivery_key, o.alarm_key, o.sink_key, o.transition_no
    FROM unnest(%(sinks)s::int[], %(companies)s::text[]) AS w (sink_key, company)
    JOIN outbox o ON o.sink_key = w.sink_key AND o.company = w.company AND o.state = 'owed'
        AND (o.next_attempt_at <= now() OR (o.attempts = 0 AND o.verdict IS NULL))
    UNION
    SELECT o.delivery_key, o.alarm_key, o.sink_key, o.transition_no
    FROM outbox o
    WHERE o.sink_key = ANY(%(quieted)s::int[]) AND o.state = 'owed' AND o.next_attempt_at <= now() AND o.verdict = 'wait_for_quiet'
),
picked AS (
    SELECT o.delivery_key FROM outbox o
    WHERE o.delivery_key IN (
            SELECT f.delivery_key FROM found f
            WHERE (
                SELECT true FROM outbox earlier
                WHERE earlier.alarm_key = f.alarm_key AND earlier.sink_key + 0 = f.sink_key AND earlier.state = 'owed'
                    AND earlier.transition_no < f.transition_no
                LIMIT 1
            ) IS NULL
        )
        AND o.state = 'owed' AND (o.lease_until IS NULL OR o.lease_until <= now())
    ORDER BY o.delivery_key
    LIMIT %(most)s
    FOR UPDATE OF o SKIP LOCKED
)
UPDATE outbox o SET
    lease_until = now() + make_interval(secs => %(lease_s)s),
    maybe_told = o.maybe_told OR o.lease_until IS NOT NULL
FROM picked
WHERE o.delivery_key = picked.delivery_key
RETURNING o.delivery_key;

-- name: sent_lately
-- purpose: how many seconds ago messages of these sinks were sent, for a budget to go on where an earlier process has left it
SELECT extract(epoch FROM now() - min(o.settled_at))::float8
FROM outbox o
WHERE o.sink_key = ANY(%(sinks)s::int[]) AND o.created_at > now() - interval '1 hour'
    AND o.settled_at > now() - make_interval(secs => %(within_s)s) AND o.state IN ('delivered', 'dead')
GROUP BY coalesce(o.told_with, o.delivery_key);

-- name: claim_probe
-- purpose: lease one delivery to try a failing sink with, due or not; the least tried first, so that one message which the sink always fails on cannot keep it shut
WITH probe AS (
    SELECT o.delivery_key FROM outbox o
    WHERE o.sink_key = %(sink_key)s AND o.state = 'owed' AND (o.lease_until IS NULL OR o.lease_until <= now())
        AND (
            SELECT true FROM outbox earlier
            WHERE earlier.alarm_key = o.alarm_key AND earlier.sink_key + 0 = o.sink_key AND earlier.state = 'owed'
                AND earlier.transition_no < o.transition_no
            LIMIT 1
        ) IS NULL
    ORDER BY o.attempts, o.severity DESC, o.delivery_key
    LIMIT 1
    FOR UPDATE OF o SKIP LOCKED
)
UPDATE outbox o SET
    lease_until = now() + make_interval(secs => %(lease_s)s),
    maybe_told = o.maybe_told OR o.lease_until IS NOT NULL
FROM probe
WHERE o.delivery_key = probe.delivery_key
RETURNING o.delivery_key;

-- name: claimed
-- purpose: claimed deliveries with all that decides whether their receiver is told, and what
SELECT
    o.delivery_key, o.sink_key, o.idempotency_key, o.notice, o.snapshot, o.attempts, o.lease_until, e.episode_key,
    extract(epoch FROM now() - o.owed_since)::float8 AS owed_for_s,
    e.cleared_at IS NOT NULL AS over,
    EXISTS (
        SELECT 1 FROM outbox earlier
        WHERE earlier.alarm_key = o.alarm_key AND earlier.sink_key = o.sink_key AND earlier.episode = o.episode
            AND earlier.transition_no < o.transition_no AND (earlier.state = 'delivered' OR earlier.maybe_told)
    ) AS told,
    o.notice = 'escalate' AND CASE
        WHEN o.snapshot #>> '{escalation,delivery_key}' IS NULL THEN coalesce(e.human = 'acknowledged', false)
        ELSE EXISTS (
            SELECT 1 FROM outbox awaited
            WHERE awaited.delivery_key = (o.snapshot #>> '{escalation,delivery_key}')::bigint AND awaited.state = 'delivered')
    END AS answered,
    al.suppressed <> '{}' AS suppressed,
    -- A red notice of the same alarm went ahead, or is about to. Red itself is never overtaken.
    CASE WHEN o.severity < 4 AND o.notice IN ('raise', 'change') THEN EXISTS (
        SELECT 1 FROM outbox later
        WHERE later.alarm_key = o.alarm_key AND later.sink_key = o.sink_key AND later.episode = o.episode
            AND later.transition_no > o.transition_no AND later.severity = 4 AND later.notice IN ('raise', 'change')
            AND (later.state IN ('owed', 'delivered') OR later.maybe_told)
    ) ELSE false END AS overtaken,
    o.verdict IS NOT DISTINCT FROM 'wait_for_quiet' AS quieted, o.company, o.owed_since,
    o.alarm_key, o.episode, o.severity
FROM outbox o
JOIN alarms al ON al.alarm_key = o.alarm_key
LEFT JOIN episodes e ON e.alarm_key = o.alarm_key AND e.episode = o.episode
WHERE o.delivery_key = ANY(%(delivery_keys)s)
ORDER BY o.severity DESC, o.next_attempt_at, o.delivery_key;

-- name: settle
-- purpose: write what became of claimed deliveries; a delivered one whoever claimed it last, else only what we still hold
UPDATE outbox o SET
    state = settled.state,
    attempts = o.attempts + d.attempted::int,
    next_attempt_at = CASE WHEN settled.state = 'owed' THEN now() + make_interval(secs => d.delay_s) ELSE o.next_attempt_at END,
    lease_until = NULL,
    settled_at = CASE WHEN settled.state <> 'owed' THEN our_clock() END,
    last_error = CASE WHEN d.attempted THEN d.error ELSE o.last_error END,
    receipt = d.receipt,
    verdict = d.verdict,
    maybe_told = o.maybe_told OR d.maybe_told,
    told_with = coalesce(d.told_with, o.told_with)
FROM unnest(
    %(delivery_keys)s::bigint[], %(leases)s::timestamptz[], %(states)s::text[], %(attempted)s::boolean[], %(delays_s)s::float8[],
    %(errors)s::text[], %(receipts)s::jsonb[], %(verdicts)s::text[], %(maybe_told)s::boolean[], %(expires)s::boolean[],
    %(told_with)s::bigint[]
) AS d (delivery_key, lease_until, state, attempted, delay_s, error, receipt, verdict, maybe_told, expires, told_with)
CROSS JOIN LATERAL (
    SELECT CASE
        WHEN d.expires AND old.owed_since <= now() - make_interval(secs => %(retry_for_s)s)
            AND greatest(old.severity, (old.snapshot ->> 'worst_severity')::int) < 4 THEN 'dead'
        ELSE d.state END
    FROM outbox old WHERE old.delivery_key = d.delivery_key
) AS settled (state)
WHERE o.delivery_key = d.delivery_key AND o.state = 'owed'
    AND (d.state = 'delivered' OR o.lease_until = d.lease_until)
RETURNING o.delivery_key, o.state;

-- name: release
-- purpose: give back claimed deliveries that were never begun
UPDATE outbox o SET lease_until = NULL
FROM unnest(%(delivery_keys)s::bigint[], %(leases)s::timestamptz[]) AS d (delivery_key, lease_until)
WHERE o.delivery_key = d.delivery_key AND o.state = 'owed' AND o.lease_until = d.lease_until;

-- name: lock_breakers
-- purpose: the breakers of sinks that something happened to, locked until the settlement commits
SELECT sink_key, failures, coalesce(extract(epoch FROM open_until - now()), 0)::float8
FROM sinks WHERE sink_key = ANY(%(sinks)s) ORDER BY sink_key FOR NO KEY UPDATE;

-- name: put_breaker
-- purpose: a sink's breaker after what happened to it
UPDATE sinks SET
    failures = %(failures)s,
    open_until = CASE WHEN %(closed_for_s)s > 0 THEN now() + make_interval(secs => %(closed_for_s)s) END,
    last_error = %(last_error)s
WHERE sink_key = %(sink_key)s;

-- name: reserve_probe
-- purpose: this process alone probes a failing sink until then
UPDATE sinks SET open_until = now() + make_interval(secs => %(probe_every_s)s)
WHERE sink_key = %(sink_key)s AND coalesce(open_until, '-infinity') <= now();

-- name: bring_forward
-- purpose: a sink works again: what waited for its turn to retry is due now
UPDATE outbox SET next_attempt_at = now()
WHERE sink_key = %(sink_key)s AND state = 'owed' AND next_attempt_at > now() AND attempts > 0;

-- name: post_sink_command
-- purpose: tell the holder of the first shard, which has what is no device's, that a sink began or ceased to fail: it raises or clears the alarm
INSERT INTO inbox (shard, kind, payload, key)
SELECT shard, %(kind)s, jsonb_build_object('sink', %(sink)s::text, 'error', %(error)s::text, 'sink_key', %(sink_key)s::int),
    concat_ws(':', %(kind)s::text, %(sink)s::text, extract(epoch FROM now()))
FROM shards ORDER BY shard_key LIMIT 1
ON CONFLICT (key) DO NOTHING
RETURNING pg_notify('underfoot_inbox', shard);

-- name: owe_alternates
-- purpose: red that its sink has not taken for a minute is owed to the sink's alternate too, once; and what the alternate was told is followed there
INSERT INTO outbox (
    idempotency_key, sink_key, alarm_key, episode, transition_no, notice, severity, snapshot, alternate_of
)
SELECT
    encode(sha256(convert_to(o.idempotency_key || '|' || alternate.name, 'UTF8')), 'hex'),
    alternate.sink_key, o.alarm_key, o.episode, o.transition_no, o.notice, o.severity, o.snapshot, o.delivery_key
FROM sinks s
JOIN sinks alternate ON alternate.name = s.config ->> 'alternate' AND alternate.enabled AND alternate.sink_key <> s.sink_key
JOIN outbox o ON o.sink_key = s.sink_key AND o.state = 'owed' AND o.alternate_of IS NULL
WHERE (
    (o.severity = 4 AND o.notice <> 'clear' AND o.owed_since <= now() - make_interval(secs => %(after_s)s))
    OR EXISTS (
        SELECT 1 FROM outbox told
        WHERE told.alarm_key = o.alarm_key AND told.sink_key = alternate.sink_key AND told.episode = o.episode
            AND told.transition_no < o.transition_no AND told.alternate_of IS NOT NULL
    )
)
AND NOT EXISTS (
    SELECT 1 FROM outbox known
    WHERE known.alarm_key = o.alarm_key AND known.sink_key = alternate.sink_key AND known.transition_no = o.transition_no
)
ORDER BY o.alarm_key, o.transition_no
ON CONFLICT DO NOTHING;

-- name: list_deliveries
-- purpose: deliveries for the eye, newest first, by state, sink and time
SELECT
    o.delivery_key, s.name AS sink, o.state, o.verdict, o.notice, o.severity, o.alarm_key, o.episode, o.transition_no,
    o.snapshot ->> 'title' AS title, coalesce(o.snapshot -> 'asset' ->> 'name', '') AS asset, o.attempts, o.created_at,
    CASE WHEN o.state = 'owed' THEN o.next_attempt_at END AS next_attempt_at, o.settled_at, o.last_error, o.receipt,
    o.idempotency_key, o.alternate_of
FROM outbox o JOIN sinks s USING (sink_key)
WHERE (%(state)s::text IS NULL OR o.state = %(state)s)
    AND (%(sink)s::text IS NULL OR s.name = %(sink)s)
    AND (%(since)s::timestamptz IS NULL OR o.created_at >= %(since)s)
ORDER BY o.delivery_key DESC
LIMIT %(limit)s;

-- name: replay
-- purpose: owe dead letters again under their own keys, by delivery key or by when they died
UPDATE outbox o SET
    state = 'owed', attempts = 0, owed_since = clock_timestamp(), next_attempt_at = clock_timestamp(),
    lease_until = NULL, settled_at = NULL, verdict = NULL
FROM sinks s
WHERE s.sink_key = o.sink_key AND o.state = 'dead'
    AND (%(delivery_keys)s::bigint[] IS NULL OR o.delivery_key = ANY(%(delivery_keys)s))
    AND (%(since)s::timestamptz IS NULL OR o.settled_at >= %(since)s)
    AND (%(until)s::timestamptz IS NULL OR o.settled_at < %(until)s)
    AND (%(sink)s::text IS NULL OR s.name = %(sink)s)
RETURNING o.delivery_key;

-- name: states_of
-- purpose: which of these deliveries exist, and their state
SELECT delivery_key, state FROM outbox WHERE delivery_key = ANY(%(delivery_keys)s);

-- name: clock
-- purpose: the database's clock, by which retries and leases are kept
SELECT extract(epoch FROM clock_timestamp())::float8;

-- name: bring_forward_attempts
-- purpose: the clock was set back: a retry or a lease further ahead than any can be is of the time before
UPDATE outbox SET
    next_attempt_at = least(next_attempt_at, now()),
    lease_until = least(lease_until, now() + make_interval(secs => %(lease_s)s))
WHERE state = 'owed'
    AND greatest(next_attempt_at, lease_until) > now() + make_interval(secs => %(longest_s)s);

-- name: bring_forward_probes
-- purpose: the same for sinks that are given a rest
UPDATE sinks SET open_until = now() WHERE open_until > now() + make_interval(secs => %(longest_s)s);
