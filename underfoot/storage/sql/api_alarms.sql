-- name: list_alarms
-- purpose: episodes, the newest raised first, each with what it is about
SELECT
    e.episode_key, e.alarm_key, e.episode, al.subject_kind, al.subject_key, al.rule_id, e.rule_version, e.title, al.family,
    e.condition, e.human, e.severity, e.worst_severity, e.raised_at, e.raised_received_at, e.cleared_at, e.clear_reason,
    e.acknowledged_by, e.acknowledged_at, e.assigned_to, e.assigned_at, e.confirmed, e.confirmed_by,
    e.confirmed_at, e.withheld, e.proof,
    CASE WHEN al.suppressed <> '{}' THEN (
        SELECT jsonb_agg(to_jsonb(s) ORDER BY s.suppression_key) FROM suppressions s
        WHERE s.alarm_key = al.alarm_key AND s.ended_at IS NULL
    ) END AS suppression,
    e.cleared_at IS NULL AND EXISTS (
        SELECT 1 FROM alarms silent JOIN episodes since USING (alarm_key)
        WHERE silent.subject_kind = 'device' AND silent.subject_key = al.device_key AND since.cleared_at IS NULL
            AND silent.rule_id = ANY(ARRAY(SELECT DISTINCT rule_id FROM rules WHERE body ->> 'kind' = 'no_data'))
            AND silent.alarm_key <> al.alarm_key
    ) AS stale,
    (
        SELECT to_jsonb(c) || coalesce((
            SELECT jsonb_build_object('raised_at', v.raised_at, 'cleared_at', v.cleared_at, 'worst_severity', v.worst_severity)
            FROM corrected_episodes v WHERE v.episode_key = e.episode_key
        ), '{}')
        FROM corrections c
        WHERE c.alarm_key = e.alarm_key AND c.episode = e.episode ORDER BY c.correction_key DESC LIMIT 1
    ) AS correction,
    (SELECT count(*) FROM comments c WHERE c.episode_key = e.episode_key) AS comments,
    d.device_id, a.asset_key, a.asset_code, a.kind AS asset_kind, a.name AS asset_name, a.address, a.lon, a.lat,
    a.maintenance_unit, ar.code AS area_code, ar.name AS area_name
FROM episodes e
JOIN alarms al USING (alarm_key)
LEFT JOIN devices d ON d.device_key = al.device_key
LEFT JOIN assets a ON a.asset_key = al.asset_key
LEFT JOIN areas ar ON ar.code = al.area_code
WHERE (%(episode_key)s::bigint IS NULL OR e.episode_key = %(episode_key)s)
    AND CASE %(state)s::text
        WHEN 'all' THEN true
        WHEN 'open' THEN e.cleared_at IS NULL
        WHEN 'unacknowledged' THEN e.human = 'unacknowledged'
        WHEN 'cleared' THEN e.cleared_at IS NOT NULL
    END
    AND (%(severity)s::smallint[] IS NULL OR e.severity = ANY(%(severity)s))
    AND (%(alarm_key)s::bigint IS NULL OR e.alarm_key = %(alarm_key)s)
    AND (%(assigned_to)s::text IS NULL OR e.assigned_to = %(assigned_to)s)
    AND CASE %(suppressed)s::text
        WHEN 'any' THEN true
        WHEN 'hide' THEN al.suppressed = '{}'
        WHEN 'only' THEN al.suppressed <> '{}'
    END
    AND (%(family)s::text IS NULL OR al.family = %(family)s)
    AND (%(rule_id)s::text IS NULL OR al.rule_id = %(rule_id)s)
    AND (%(device_key)s::int IS NULL OR al.device_key = %(device_key)s)
    AND (%(asset_key)s::int IS NULL OR al.asset_key = %(asset_key)s)
    AND (%(areas)s::text[] IS NULL OR al.area_code = ANY(%(areas)s))
    AND (%(units)s::text[] IS NULL OR a.maintenance_unit = ANY(%(units)s))
    AND (%(from)s::timestamptz IS NULL OR e.raised_at >= %(from)s)
    AND (%(to)s::timestamptz IS NULL OR e.raised_at < %(to)s)
    AND (%(reached)s::timestamptz IS NULL OR (e.raised_at, e.episode_key) < (%(reached)s, %(reached_key)s::bigint))
ORDER BY e.raised_at DESC, e.episode_key DESC
LIMIT %(limit)s;

-- name: transitions_of
-- purpose: what happened in an episode, newest first
SELECT transition_no, region, from_state, to_state, severity, reason, actor, event_at, received_at, committed_at, proof
FROM transitions
WHERE alarm_key = %(alarm_key)s AND episode = %(episode)s
ORDER BY transition_no DESC
LIMIT %(limit)s;

-- name: deliveries_of
-- purpose: who was told of an episode, or is still to be told, newest first
SELECT
    o.delivery_key, s.name AS sink, s.channel, s.audience, o.transition_no, o.notice, o.severity, o.state, o.attempts,
    o.created_at, o.settled_at, CASE WHEN o.state = 'owed' THEN o.next_attempt_at END AS next_attempt_at,
    o.verdict, o.last_error, o.receipt, o.told_with
FROM outbox o JOIN sinks s USING (sink_key)
WHERE o.alarm_key = %(alarm_key)s AND o.episode = %(episode)s
ORDER BY o.transition_no DESC, o.sink_key DESC
LIMIT %(limit)s;

-- name: comments_of
-- purpose: what people have said about an episode, newest first
SELECT comment_key, at, actor, text FROM comments
WHERE episode_key = %(episode_key)s ORDER BY comment_key DESC LIMIT %(limit)s;

-- name: suppressed
-- purpose: what suppresses which alarms now, what began last first, each with the alarm's last episode
SELECT
    s.suppression_key, s.kind, s.cause, s.since, s.until, s.reason, s.actor, al.alarm_key, al.subject_kind, al.rule_id,
    e.episode_key, e.title, e.severity, e.cleared_at, e.withheld,
    d.device_id, a.asset_key, a.asset_code, a.kind AS asset_kind, a.name AS asset_name, a.address, a.lon, a.lat,
    a.maintenance_unit, ar.code AS area_code, ar.name AS area_name
FROM suppressions s
JOIN alarms al USING (alarm_key)
LEFT JOIN episodes e ON e.alarm_key = al.alarm_key AND e.episode = al.episode
LEFT JOIN devices d ON d.device_key = al.device_key
LEFT JOIN assets a ON a.asset_key = al.asset_key
LEFT JOIN areas ar ON ar.code = al.area_code
WHERE s.ended_at IS NULL
    AND (%(kind)s::text IS NULL OR s.kind = %(kind)s)
    AND (%(areas)s::text[] IS NULL OR al.area_code = ANY(%(areas)s))
    AND (%(units)s::text[] IS NULL OR a.maintenance_unit = ANY(%(units)s))
    AND (%(reached_key)s::bigint IS NULL OR s.suppression_key < %(reached_key)s)
ORDER BY s.suppression_key DESC
LIMIT %(limit)s;

-- name: orders
-- purpose: work orders under way, each with the alarms that it is about, the last begun first
SELECT
    substr(s.cause, length('order:') + 1) AS "order", max(s.suppression_key) AS newest, min(s.since) AS since, min(s.reason) AS reason,
    min(s.actor) AS actor, array_agg(DISTINCT al.rule_id ORDER BY al.rule_id) AS rules,
    coalesce(array_agg(DISTINCT d.device_id ORDER BY d.device_id) FILTER (WHERE d.device_id IS NOT NULL), '{}') AS devices,
    coalesce(array_agg(DISTINCT al.asset_key ORDER BY al.asset_key) FILTER (WHERE al.asset_key IS NOT NULL), '{}') AS assets,
    count(*) AS alarms, count(*) FILTER (WHERE e.cleared_at IS NULL AND e.withheld) AS withheld
FROM suppressions s
JOIN alarms al USING (alarm_key)
LEFT JOIN devices d ON d.device_key = al.device_key
LEFT JOIN assets a ON a.asset_key = al.asset_key
LEFT JOIN episodes e ON e.alarm_key = al.alarm_key AND e.episode = al.episode
WHERE s.kind = 'out_of_service' AND s.ended_at IS NULL AND (%(cause)s::text IS NULL OR s.cause = %(cause)s)
    AND (%(areas)s::text[] IS NULL OR al.area_code = ANY(%(areas)s))
    AND (%(units)s::text[] IS NULL OR a.maintenance_unit = ANY(%(units)s))
GROUP BY s.cause
HAVING %(reached_key)s::bigint IS NULL OR max(s.suppression_key) < %(reached_key)s
ORDER BY max(s.suppression_key) DESC
LIMIT %(limit)s;

-- name: order_was
-- purpose: whether there was ever such a work order, and whether any of it lies elsewhere than in a caller's scope
SELECT count(*) > 0 AS found, count(*) FILTER (WHERE NOT coalesce(
    (%(areas)s::text[] IS NULL OR al.area_code = ANY(%(areas)s))
    AND (%(units)s::text[] IS NULL OR a.maintenance_unit = ANY(%(units)s)), false
)) > 0 AS elsewhere
FROM suppressions s JOIN alarms al USING (alarm_key) LEFT JOIN assets a ON a.asset_key = al.asset_key
WHERE s.kind = 'out_of_service' AND s.cause = %(cause)s;

-- name: shard_of_alarm
-- purpose: which shard's holder keeps the condition of an alarm; what belongs to no shard, the first one's
SELECT coalesce(d.shard, c.shard, s.shard, (SELECT shard FROM shards ORDER BY shard_key LIMIT 1)) AS shard
FROM alarms al
LEFT JOIN conditions c USING (subject_kind, subject_key, rule_id)
LEFT JOIN devices d ON d.device_key = al.device_key
LEFT JOIN shards s ON al.subject_kind = 'shard' AND s.shard_key = al.subject_key
WHERE al.alarm_key = %(alarm_key)s;

-- name: post_command
-- purpose: a command for a shard's holder, once, and its wake-up call with the commit; no row where it was posted before
WITH posted AS (
    INSERT INTO inbox (shard, kind, payload, key) VALUES (%(shard)s, %(kind)s, %(payload)s, %(key)s)
    ON CONFLICT (key) DO NOTHING
    RETURNING inbox_key, shard
)
SELECT inbox_key, pg_notify('underfoot_inbox', shard) FROM posted;

-- name: find_command
-- purpose: a command and what became of it
SELECT inbox_key, key, created_at, consumed_at, outcome FROM inbox WHERE key = %(key)s;

-- name: asset_there
-- purpose: whether there is an asset, and where
SELECT asset_key, area_code, maintenance_unit FROM assets WHERE asset_key = %(asset_key)s;

-- name: rule_ids
-- purpose: every rule that there ever was
SELECT DISTINCT rule_id FROM rules;
