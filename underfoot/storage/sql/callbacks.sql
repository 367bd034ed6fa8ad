-- name: platform_sink
-- purpose: a sink that a platform may call back to
SELECT sink_key, name, channel, audience, config, enabled FROM sinks WHERE name = %(name)s;

-- name: use_up
-- purpose: use what may be used once; no row: it was used a moment ago
INSERT INTO callback_nonces AS known (sink_key, digest, used_at) VALUES (%(sink_key)s, %(digest)s, now())
ON CONFLICT (sink_key, digest) DO UPDATE SET used_at = now()
    WHERE known.used_at < now() - make_interval(secs => %(kept_s)s)
RETURNING true;

-- name: forget_used
-- purpose: what may be used again needs not be remembered
DELETE FROM callback_nonces WHERE (sink_key, digest) IN (
    SELECT sink_key, digest FROM callback_nonces WHERE used_at < now() - make_interval(secs => %(kept_s)s)
    ORDER BY used_at LIMIT 200 FOR UPDATE SKIP LOCKED
);

-- name: by_push_id
-- purpose: the cases that deliveries were about, and to which sink each was owed; its receipt need not have come
SELECT DISTINCT ON (s.at) s.at, o.sink_key, c.case_key, c.sink_key, e.episode_key,
    CASE WHEN e.human = 'acknowledged' THEN e.acknowledged_by END, c.ended_at IS NULL AND e.cleared_at IS NULL
FROM jsonb_to_recordset(%(sought)s) AS s (at int, push_id text)
JOIN outbox o ON o.idempotency_key = s.push_id
JOIN cases c ON c.alarm_key = o.alarm_key AND c.episode = o.episode
JOIN episodes e ON e.alarm_key = c.alarm_key AND e.episode = c.episode
ORDER BY s.at, c.case_key = (o.snapshot #>> '{case,case_key}')::bigint DESC NULLS LAST, c.again DESC;

-- name: by_event
-- purpose: the cases of alarms' episodes, and whether this sink was ever owed anything about each
SELECT s.at, owed.sink_key, c.case_key, c.sink_key, e.episode_key,
    CASE WHEN e.human = 'acknowledged' THEN e.acknowledged_by END, c.ended_at IS NULL AND e.cleared_at IS NULL
FROM jsonb_to_recordset(%(sought)s) AS s (at int, alarm_key bigint, episode int, again int)
JOIN cases c ON c.alarm_key = s.alarm_key AND c.episode = s.episode AND c.again = s.again
JOIN episodes e ON e.alarm_key = c.alarm_key AND e.episode = c.episode
LEFT JOIN LATERAL (
    SELECT o.sink_key FROM outbox o
    WHERE o.alarm_key = c.alarm_key AND o.episode = c.episode AND o.sink_key = %(sink_key)s LIMIT 1
) AS owed ON true;

-- name: by_number
-- purpose: the cases that have these numbers on a platform; of several, one that is not over
SELECT DISTINCT ON (s.at) s.at, r.sink_key, c.case_key, c.sink_key, e.episode_key,
    CASE WHEN e.human = 'acknowledged' THEN e.acknowledged_by END, c.ended_at IS NULL AND e.cleared_at IS NULL
FROM jsonb_to_recordset(%(sought)s) AS s (at int, number text)
JOIN case_reported r ON r.sink_key = %(sink_key)s AND r.platform_no = s.number
JOIN cases c USING (case_key)
JOIN episodes e ON e.alarm_key = c.alarm_key AND e.episode = c.episode
ORDER BY s.at, (c.ended_at IS NOT NULL), c.case_key DESC;

-- name: keep
-- purpose: callbacks as they came, in one order for all who do so; no row: the same came before
INSERT INTO callbacks (sink_key, case_key, digest, received_at, body)
SELECT %(sink_key)s, case_key, decode(digest, 'hex'), %(at)s, body
FROM jsonb_to_recordset(%(rows)s) AS r (case_key bigint, digest text, body jsonb)
ORDER BY case_key, digest
ON CONFLICT DO NOTHING
RETURNING case_key, digest;

-- name: heard
-- purpose: a platform has said something of cases: it has them, and their numbers if it says any
INSERT INTO case_reported AS known (case_key, sink_key, platform_no, reported_at, told_at, heard_at)
SELECT case_key, %(sink_key)s, platform_no, %(at)s, %(at)s, %(at)s
FROM unnest(%(case_keys)s::bigint[], %(platform_nos)s::text[]) AS given (case_key, platform_no)
ORDER BY case_key
ON CONFLICT (case_key, sink_key) DO UPDATE SET
    platform_no = coalesce(excluded.platform_no, known.platform_no),
    heard_at = greatest(known.heard_at, excluded.heard_at), resent = 0;
