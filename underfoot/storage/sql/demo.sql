-- What `underfoot demo` shows while it plays, and what it judges itself by at the end. Read only.

-- name: books
-- purpose: the books of all shards and minutes together
SELECT coalesce(sum(received), 0), coalesce(sum(redelivered), 0), coalesce(sum(unpacked), 0), coalesce(sum(stored), 0),
    coalesce(sum(duplicate), 0), coalesce(sum(quarantined), 0), coalesce(sum(late), 0)
FROM books;

-- name: distinct_quarantined
-- purpose: reports in quarantine, however often they came
SELECT count(DISTINCT digest) FROM quarantine;

-- name: shards
-- purpose: whether every shard is at work, and how long a probe took from publish to commit
SELECT bool_and(caught_up_to IS NOT NULL), max(extract(epoch FROM our_now() - caught_up_to))::float8, max(probe_delay_ms)
FROM shards;

-- name: open_alarms
-- purpose: open alarms, the worst and the oldest first, each with what its device says now of what proved it
SELECT e.severity, e.title, e.place, e.asset_name, ep.proof ->> 'label' AS label, ep.proof ->> 'unit' AS unit,
    -- A sum is not what the newest report says: it stays as it was when it proved the alarm.
    coalesce(CASE WHEN coalesce(r.body ->> 'sum_over_s', r.body ->> 'mean_over_s') IS NULL THEN l."values" -> (ep.proof ->> 'field') END, ep.proof -> 'value') AS value,
    extract(epoch FROM our_now() - e.raised_received_at)::float8 AS age_s
FROM dashboard.episodes e
JOIN episodes ep USING (episode_key)
LEFT JOIN LATERAL (
    SELECT body FROM rules
    WHERE rule_id = e.rule_id AND scope = 'city' AND version <= ep.rule_version ORDER BY version DESC LIMIT 1
) r ON true
LEFT JOIN device_latest l ON l.device_key = e.device_key
WHERE e.open
ORDER BY e.severity DESC, e.raised_at, e.episode_key
LIMIT %(limit)s;

-- name: count_alarms
-- purpose: open episodes by severity, and how many there have been in all
SELECT severity, count(*) FILTER (WHERE cleared_at IS NULL), count(*) FROM episodes GROUP BY severity;

-- name: happened_since
-- purpose: what was raised and what ended since the last look, for a terminal that only takes lines
SELECT t.transition_key, t.to_state = 'normal' AS over, t.severity, e.title, e.place, e.proof
FROM transitions t
JOIN dashboard.episodes e USING (alarm_key, episode)
WHERE t.region = 'condition' AND t.transition_key > %(after)s
    AND (t.to_state = 'normal' OR (t.to_state = 'active' AND t.from_state IN ('normal', 'pending')))
    AND t.from_state <> t.to_state
ORDER BY t.transition_key;

-- name: deliveries
-- purpose: what each audience was told, is owed, and will never get
SELECT s.audience, count(*) FILTER (WHERE o.state = 'delivered'), count(*) FILTER (WHERE o.state = 'owed'),
    count(*) FILTER (WHERE o.state = 'dead'), count(*) FILTER (WHERE o.state = 'dropped')
FROM sinks s LEFT JOIN outbox o USING (sink_key)
GROUP BY s.audience;

-- name: episodes
-- purpose: every episode there was, with what proved it and when that was decided
SELECT al.alarm_key, e.episode, al.rule_id, coalesce(d.device_id, al.subject_kind) AS subject, e.title, e.worst_severity,
    e.cleared_at IS NOT NULL AS cleared, t.reason, (e.proof ->> 'ts')::timestamptz AS proof_ts, t.committed_at,
    e.withheld OR al.suppressed <> '{}' AS kept_back
FROM episodes e
JOIN alarms al USING (alarm_key)
LEFT JOIN devices d ON d.device_key = al.device_key
CROSS JOIN LATERAL (
    SELECT reason, committed_at FROM transitions
    WHERE alarm_key = e.alarm_key AND episode = e.episode AND region = 'condition' AND to_state = 'active'
    ORDER BY transition_no LIMIT 1
) AS t
ORDER BY e.raised_at, e.episode_key;

-- name: last_crew_delivery
-- purpose: the newest message that a crew was sent
SELECT s.maintenance_unit, o.snapshot, e.episode_key, o.settled_at
FROM outbox o
JOIN sinks s USING (sink_key)
LEFT JOIN episodes e USING (alarm_key, episode)
WHERE s.audience = 'crew' AND o.state = 'delivered'
ORDER BY o.settled_at DESC, o.delivery_key DESC
LIMIT 1;

-- name: maintenance_units
-- purpose: the crews that there are
SELECT DISTINCT maintenance_unit FROM assets JOIN devices USING (asset_key) WHERE maintenance_unit <> '' ORDER BY 1;

-- name: owed_to_platform
-- purpose: every delivery to a platform, with its key
SELECT o.idempotency_key, o.alarm_key, o.episode, o.notice, o.state
FROM outbox o JOIN sinks s USING (sink_key)
WHERE s.audience = 'platform' ORDER BY o.delivery_key;

-- name: crew_states
-- purpose: what became of the deliveries to crews
SELECT o.state, count(*) FROM outbox o JOIN sinks s USING (sink_key) WHERE s.audience = 'crew' GROUP BY o.state;

-- name: case_rules
-- purpose: the rules whose alarms are cases on the platform at once, however severe
WITH newest AS (SELECT DISTINCT ON (rule_id) rule_id, body FROM rules WHERE scope = 'city' ORDER BY rule_id, version DESC)
SELECT r.rule_id FROM newest r
LEFT JOIN newest f ON f.rule_id = coalesce(r.body #>> '{case,filing}', 'filing.other')
WHERE jsonb_typeof(r.body -> 'case') = 'object' AND f.body ->> 'verify' = 'none' AND f.body ->> 'from_severity' = 'blue'
    AND f.body -> 'members' = '[]';

-- name: at_rest
-- purpose: whether all that the broker had by then is committed, no command waits, and nothing is owed
SELECT bool_and(coalesce(caught_up_to > %(since)s, false))
    AND NOT EXISTS (SELECT FROM outbox WHERE state = 'owed')
    AND NOT EXISTS (SELECT FROM inbox WHERE consumed_at IS NULL)
FROM shards;
