-- name: list_alarms
-- purpose: episodes, the newest raised first, each with what it is about
SELECT
    e.episode_key, e.alarm_key, e.episode, al.subject_kind, al.subject_key, al.rule_id, e.rule_version, e.title, al.family,
    e.condition, e.human, e.severity, e.worst_severity, e.raised_at, e.raised_received_at, e.cleared_at, e.clear_reason,
    e.acknowledged_by, e.acknowledged_at, e.proof,
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
    AND (%(family)s::text IS NULL OR al.family = %(family)s)
    AND (%(rule_id)s::text IS NULL OR al.rule_id = %(rule_id)s)
    AND (%(device_key)s::int IS NULL OR al.device_key = %(device_key)s)
    AND (%(asset_key)s::int IS NULL OR al.asset_key = %(asset_key)s)
    AND (%(areas)s::text[] IS NULL OR al.area_code = ANY(%(areas)s))
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
    o.verdict, o.last_error, o.receipt
FROM outbox o JOIN sinks s USING (sink_key)
WHERE o.alarm_key = %(alarm_key)s AND o.episode = %(episode)s
ORDER BY o.transition_no DESC, o.sink_key DESC
LIMIT %(limit)s;

-- name: rule_version
-- purpose: a rule as it was when it raised an alarm
SELECT body, created_by, created_at FROM rules WHERE rule_id = %(rule_id)s AND version = %(version)s;

-- name: alarm_of_episode
-- purpose: which alarm an episode belongs to
SELECT alarm_key FROM episodes WHERE episode_key = %(episode_key)s;

-- name: lock_alarm
-- purpose: hold an alarm; only after this statement may its episode be read, since another may have written it meanwhile
SELECT alarm_key FROM alarms WHERE alarm_key = %(alarm_key)s FOR UPDATE;

-- name: next_transition
-- purpose: take the next transition number of a locked alarm
UPDATE alarms SET transition_no = transition_no + 1 WHERE alarm_key = %(alarm_key)s RETURNING transition_no;

-- name: acknowledge
-- purpose: the human region of an episode of a locked alarm
UPDATE episodes SET human = 'acknowledged', acknowledged_by = %(actor)s, acknowledged_at = %(at)s
WHERE episode_key = %(episode_key)s;

-- name: record_human_transition
-- purpose: the immutable record of what a person did
INSERT INTO transitions (
    alarm_key, transition_no, episode, region, from_state, to_state, severity, reason, actor, event_at, received_at
) VALUES (
    %(alarm_key)s, %(transition_no)s, %(episode)s, 'human', %(from_state)s, %(to_state)s, %(severity)s, %(reason)s,
    %(actor)s, %(at)s, %(at)s
);

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
