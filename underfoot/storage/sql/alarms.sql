-- name: rules_in_force
-- purpose: the newest version of every rule that is not withdrawn
SELECT rule_id, version, body FROM (
    SELECT DISTINCT ON (rule_id) rule_id, version, body, withdrawn FROM rules ORDER BY rule_id, version DESC
) newest WHERE NOT withdrawn;

-- name: newest_rules
-- purpose: the newest version of every rule with its author, to see which shipped rules are new
SELECT DISTINCT ON (rule_id) rule_id, version, body, created_by FROM rules ORDER BY rule_id, version DESC;

-- name: newest_version
-- purpose: a rule's newest version, withdrawn or not
SELECT version, body FROM rules WHERE rule_id = %(rule_id)s ORDER BY version DESC LIMIT 1;

-- name: add_rule_version
-- purpose: a rule's next version
INSERT INTO rules (rule_id, version, body, created_by) VALUES (%(rule_id)s, %(version)s, %(body)s, %(created_by)s)
ON CONFLICT DO NOTHING;

-- name: lock_alarms
-- purpose: the alarm rows of these subjects and rules, created where new, locked for this transaction
INSERT INTO alarms (subject_kind, subject_key, rule_id, device_key, asset_key, area_code, family)
SELECT r.subject_kind, r.subject_key, r.rule_id, d.device_key, d.asset_key, a.area_code, d.family
FROM (
    SELECT DISTINCT subject_kind, subject_key, rule_id
    FROM jsonb_to_recordset(%(subjects)s) AS s (subject_kind text, subject_key bigint, rule_id text)
) r
LEFT JOIN devices d ON r.subject_kind = 'device' AND d.device_key = r.subject_key
LEFT JOIN assets a ON a.asset_key = d.asset_key
ORDER BY r.subject_kind, r.subject_key, r.rule_id
ON CONFLICT (subject_kind, subject_key, rule_id)
    DO UPDATE SET asset_key = EXCLUDED.asset_key, area_code = EXCLUDED.area_code
RETURNING alarm_key, subject_kind, subject_key, rule_id, episode, transition_no;

-- name: open_episodes
-- purpose: the open episodes of locked alarms
SELECT alarm_key, episode, severity, worst_severity, human, raised_at, raised_received_at
FROM episodes WHERE alarm_key = ANY(%(alarm_keys)s) AND cleared_at IS NULL;

-- name: put_alarms
-- purpose: the counters of locked alarms
UPDATE alarms SET episode = r.episode, transition_no = r.transition_no
FROM jsonb_to_recordset(%(rows)s) AS r (alarm_key bigint, episode int, transition_no int)
WHERE alarms.alarm_key = r.alarm_key;

-- name: put_episodes
-- purpose: new episodes, and what changed in open ones
INSERT INTO episodes (
    alarm_key, episode, rule_version, title, condition, severity, worst_severity, human,
    raised_at, raised_received_at, cleared_at, cleared_received_at, clear_reason, proof
)
SELECT
    alarm_key, episode, rule_version, title, condition, severity, worst_severity, human,
    raised_at, raised_received_at, cleared_at, cleared_received_at, clear_reason, proof
FROM jsonb_to_recordset(%(rows)s) AS r (
    alarm_key bigint, episode int, rule_version int, title text, condition text, severity smallint,
    worst_severity smallint, human text, raised_at timestamptz, raised_received_at timestamptz,
    cleared_at timestamptz, cleared_received_at timestamptz, clear_reason text, proof jsonb
)
ON CONFLICT (alarm_key, episode) DO UPDATE SET
    condition = EXCLUDED.condition, severity = EXCLUDED.severity, worst_severity = EXCLUDED.worst_severity,
    human = EXCLUDED.human, cleared_at = EXCLUDED.cleared_at, cleared_received_at = EXCLUDED.cleared_received_at,
    clear_reason = EXCLUDED.clear_reason;

-- name: add_transitions
-- purpose: the immutable record of what changed and why
INSERT INTO transitions (
    alarm_key, transition_no, episode, region, from_state, to_state, severity, reason, actor, event_at, received_at, proof
)
SELECT alarm_key, transition_no, episode, region, from_state, to_state, severity, reason, actor, event_at, received_at, proof
FROM jsonb_to_recordset(%(rows)s) AS r (
    alarm_key bigint, transition_no int, episode int, region text, from_state text, to_state text, severity smallint,
    reason text, actor text, event_at timestamptz, received_at timestamptz, proof jsonb
);

-- name: enqueue
-- purpose: one outbox row a notice and sink it is owed to, with the snapshot a message is made from
WITH notices AS (
    SELECT r.*, i.installation_id, al.subject_kind, al.subject_key, al.rule_id,
        d.device_id, d.family, d.vendor, d.district, a.asset_code, a.code_scheme, a.kind, a.name, a.address, a.lon, a.lat,
        a.owner_unit, a.maintenance_unit, ar.code AS area_code, ar.name AS area_name
    FROM jsonb_to_recordset(%(rows)s) AS r (
        alarm_key bigint, episode int, transition_no int, notice text, reason text, severity smallint, worst_severity smallint,
        raised_at timestamptz, facts jsonb, has_case boolean, has_crew boolean
    )
    CROSS JOIN installation i
    JOIN alarms al ON al.alarm_key = r.alarm_key
    LEFT JOIN devices d ON d.device_key = al.device_key
    LEFT JOIN assets a ON a.asset_key = al.asset_key
    LEFT JOIN areas ar ON ar.code = a.area_code
)
INSERT INTO outbox (idempotency_key, sink_key, alarm_key, episode, transition_no, notice, severity, snapshot)
SELECT
    encode(sha256(convert_to(concat_ws('|', n.installation_id, n.subject_kind, n.subject_key, n.rule_id,
        extract(epoch FROM n.raised_at), n.episode, n.transition_no, s.name), 'UTF8')), 'hex'),
    s.sink_key, n.alarm_key, n.episode, n.transition_no, n.notice, n.severity,
    n.facts || jsonb_build_object(
        'installation_id', n.installation_id,
        'case', CASE WHEN n.facts -> 'case' ->> 'code' = 'asset'
            THEN (n.facts -> 'case') || jsonb_build_object('code', coalesce(nullif(n.kind, ''), '0114'))
            ELSE n.facts -> 'case' END,
        'device', CASE WHEN n.device_id IS NOT NULL
            THEN jsonb_build_object('device_id', n.device_id, 'family', n.family, 'vendor', n.vendor) END,
        'asset', CASE WHEN n.asset_code IS NOT NULL THEN jsonb_build_object(
            'asset_code', n.asset_code, 'code_scheme', n.code_scheme, 'kind', n.kind, 'name', n.name, 'address', n.address,
            'lon', n.lon, 'lat', n.lat, 'owner_unit', n.owner_unit, 'maintenance_unit', n.maintenance_unit) END,
        'area', CASE WHEN n.area_code IS NOT NULL
            THEN jsonb_build_object('code', n.area_code, 'name', n.area_name, 'district', n.district) END
    )
FROM notices n
JOIN sinks s ON s.enabled AND n.worst_severity >= s.min_severity AND CASE s.audience
    WHEN 'platform' THEN n.has_case
    ELSE n.has_crew
        AND (n.notice <> 'change' OR n.reason = 'severity_rose')
        AND (s.maintenance_unit = n.maintenance_unit OR (s.maintenance_unit IS NULL AND NOT EXISTS (
            SELECT 1 FROM sinks own WHERE own.enabled AND own.audience = 'crew' AND own.maintenance_unit = n.maintenance_unit)))
    END
ORDER BY n.alarm_key, n.transition_no, s.sink_key
ON CONFLICT (idempotency_key) DO NOTHING;

-- name: put_conditions
-- purpose: the engine's memory of what is not plainly normal, as changed by this batch
INSERT INTO conditions (subject_kind, subject_key, rule_id, shard, state, due_at)
SELECT 'device', subject_key, rule_id, %(shard)s, state, due_at
FROM jsonb_to_recordset(%(rows)s) AS r (subject_key bigint, rule_id text, state jsonb, due_at timestamptz)
ON CONFLICT (subject_kind, subject_key, rule_id)
    DO UPDATE SET shard = EXCLUDED.shard, state = EXCLUDED.state, due_at = EXCLUDED.due_at;

-- name: drop_conditions
-- purpose: what is plainly normal again
DELETE FROM conditions c
USING jsonb_to_recordset(%(rows)s) AS r (subject_key bigint, rule_id text)
WHERE c.subject_kind = 'device' AND c.subject_key = r.subject_key AND c.rule_id = r.rule_id;

-- name: adopt_conditions
-- purpose: the engine's memory of devices that have moved to this shard
UPDATE conditions c SET shard = d.shard FROM devices d
WHERE c.subject_kind = 'device' AND d.device_key = c.subject_key AND d.shard = %(shard)s AND c.shard <> d.shard;

-- name: load_conditions
-- purpose: the engine's memory of a shard, but of devices that have moved to another
SELECT c.subject_key, c.rule_id, c.state
FROM conditions c JOIN devices d ON d.device_key = c.subject_key AND d.shard = c.shard
WHERE c.subject_kind = 'device' AND c.shard = %(shard)s;

-- name: load_open_device_episodes
-- purpose: a shard's open device episodes but those of these rules; of a late hazard, the rules that asked
SELECT al.subject_key, al.rule_id, e.condition, array(
    SELECT DISTINCT t.proof ->> 'of_rule' FROM transitions t
    WHERE t.alarm_key = e.alarm_key AND t.episode = e.episode AND t.reason = 'late_hazard' AND t.proof ? 'of_rule'
)
FROM episodes e JOIN alarms al USING (alarm_key) JOIN devices d ON d.device_key = al.device_key
WHERE e.cleared_at IS NULL AND al.subject_kind = 'device' AND d.shard = %(shard)s AND al.rule_id <> ALL(%(rule_ids)s);

-- name: late_already_known
-- purpose: late hazards that an episode on record already covers
SELECT r.number FROM jsonb_to_recordset(%(rows)s) AS r (number int, device_key bigint, rule_id text, at timestamptz)
WHERE EXISTS (
    SELECT 1 FROM alarms al JOIN episodes e USING (alarm_key)
    WHERE al.subject_kind = 'device' AND al.subject_key = r.device_key AND al.rule_id = r.rule_id
        AND r.at BETWEEN e.raised_at AND coalesce(e.cleared_at, 'infinity')
);

-- name: lock_open_episode
-- purpose: the alarm behind an episode that is to be closed by hand
SELECT al.alarm_key, al.subject_kind, al.subject_key, al.rule_id, e.rule_version, e.severity, e.condition
FROM episodes e JOIN alarms al USING (alarm_key)
WHERE e.episode_key = %(episode_key)s AND e.cleared_at IS NULL
FOR UPDATE OF al;

-- name: due_shards
-- purpose: shards with a silence that has become proof: due, and everything received until then is committed
SELECT s.shard, s.caught_up_to FROM shards s
WHERE EXISTS (SELECT 1 FROM conditions c WHERE c.shard = s.shard AND c.due_at <= s.caught_up_to);

-- name: silent_devices
-- purpose: devices that may be offline: nothing received for longer than their rule allows, judged against caught_up_to
-- A device may also report by main (pushed, or by a mapping) or by its gateway's shard: while these are behind, or a
-- message waits in an inbox, it may be its report that waits.
SELECT d.shard, d.device_key, s.caught_up_to
FROM devices d
LEFT JOIN gateways g USING (gateway_key)
JOIN shards s ON s.shard = d.shard
JOIN shards main ON main.shard = 'main'
JOIN shards via ON via.shard = coalesce(CASE WHEN g.district <> d.district THEN shard_of(g.district) END, d.shard)
JOIN jsonb_to_recordset(%(allowances)s) AS f (family text, rule_id text, intervals double precision, grace_s double precision)
    ON f.family = d.family
LEFT JOIN device_latest l ON l.device_key = d.device_key
WHERE d.status = 'in_service'
    AND greatest(l.received_at, d.created_at, s.silence_from)
        + make_interval(secs => d.expected_interval_s * f.intervals + f.grace_s) < least(
            s.caught_up_to, coalesce(main.caught_up_to, '-infinity'), coalesce(via.caught_up_to, '-infinity'),
            (SELECT min(i.created_at) FROM inbox i WHERE i.consumed_at IS NULL AND i.kind = 'message'))
        AND s.caught_up_to IS NOT NULL
    AND NOT EXISTS (
        SELECT 1 FROM alarms al JOIN episodes e USING (alarm_key)
        WHERE al.subject_kind = 'device' AND al.subject_key = d.device_key AND al.rule_id = f.rule_id AND e.cleared_at IS NULL
    )
ORDER BY d.shard, d.device_key;

-- name: sink_named
-- purpose: a sink's key by its name
SELECT sink_key FROM sinks WHERE name = %(name)s;

-- name: is_open
-- purpose: whether a subject's alarm is open
SELECT 1 FROM alarms al JOIN episodes e USING (alarm_key)
WHERE al.subject_kind = %(subject_kind)s AND al.subject_key = %(subject_key)s AND al.rule_id = %(rule_id)s AND e.cleared_at IS NULL;

-- name: try_lock_alerts
-- purpose: the lock of the one process that runs timers and delivers
SELECT pg_try_advisory_lock(hashtextextended('underfoot.alerts', 0));
