-- name: lock_alarms
-- purpose: the alarm rows of these subjects and rules, created where new, locked for this transaction
INSERT INTO alarms (subject_kind, subject_key, rule_id, device_key, asset_key, area_code, family)
SELECT r.subject_kind, r.subject_key, r.rule_id, d.device_key, a.asset_key,
    coalesce(a.area_code, (SELECT code FROM areas WHERE code = g.district), i.area_code, ar.code), d.family
FROM (
    SELECT DISTINCT subject_kind, subject_key, rule_id
    FROM jsonb_to_recordset(%(subjects)s) AS s (subject_kind text, subject_key bigint, rule_id text)
) r
-- One by one, by their keys: a plan that reads whole registries for a single alarm stays with its connection.
LEFT JOIN LATERAL (
    SELECT device_key, asset_key, family FROM devices
    WHERE r.subject_kind = 'device' AND device_key = r.subject_key LIMIT 1
) d ON true
LEFT JOIN pipes p ON r.subject_kind = 'pipe' AND p.pipe_key = r.subject_key
LEFT JOIN gateways g ON r.subject_kind = 'gateway' AND g.gateway_key = r.subject_key
LEFT JOIN incidents i ON r.subject_kind = 'incident' AND i.incident_key = r.subject_key
LEFT JOIN areas ar ON r.subject_kind = 'area' AND ar.code = r.subject_key::text
LEFT JOIN LATERAL (
    SELECT asset_key, area_code FROM assets
    WHERE asset_key = CASE r.subject_kind
        WHEN 'asset' THEN r.subject_key::int WHEN 'pipe' THEN p.to_asset ELSE d.asset_key END LIMIT 1
) a ON true
ORDER BY r.subject_kind, r.subject_key, r.rule_id
ON CONFLICT (subject_kind, subject_key, rule_id)
    DO UPDATE SET asset_key = EXCLUDED.asset_key, area_code = EXCLUDED.area_code
RETURNING alarm_key, subject_kind, subject_key, rule_id, episode, transition_no, suppressed;

-- name: lock_alarms_by_key
-- purpose: alarm rows that there are, locked for this transaction in the order in which lock_alarms takes them
SELECT alarm_key, subject_kind, subject_key, rule_id, episode, transition_no, suppressed
FROM alarms WHERE alarm_key = ANY(%(alarm_keys)s)
ORDER BY subject_kind, subject_key, rule_id
FOR UPDATE;

-- name: open_episodes
-- purpose: the open episodes of locked alarms
SELECT alarm_key, episode, severity, worst_severity, human, acknowledged_by, acknowledged_at, raised_at, raised_received_at,
    rule_version, title, condition, withheld, cleared_at, cleared_received_at, clear_reason
FROM episodes WHERE alarm_key = ANY(%(alarm_keys)s) AND cleared_at IS NULL;

-- name: open_episodes_of
-- purpose: the open episodes of these subjects and rules, whose alarms are locked
-- Each looked for by itself (LIMIT): a plan that begins at what is open, of which the statistics of a quiet day say that it
-- is next to nothing, would read all that a storm has opened since, at every commit.
SELECT e.alarm_key, e.episode, e.severity, e.worst_severity, e.human, e.acknowledged_by, e.acknowledged_at, e.raised_at,
    e.raised_received_at, e.rule_version, e.title, e.condition, e.withheld, e.cleared_at, e.cleared_received_at, e.clear_reason
FROM jsonb_to_recordset(%(subjects)s) AS s (subject_kind text, subject_key bigint, rule_id text)
CROSS JOIN LATERAL (
    SELECT al.alarm_key FROM alarms al
    WHERE al.subject_kind = s.subject_kind AND al.subject_key = s.subject_key AND al.rule_id = s.rule_id LIMIT 1
) AS al
CROSS JOIN LATERAL (
    SELECT * FROM episodes e WHERE e.alarm_key = al.alarm_key AND e.cleared_at IS NULL LIMIT 1
) AS e;

-- name: episodes_of
-- purpose: certain episodes of locked alarms
SELECT e.alarm_key, e.episode, severity, worst_severity, human, acknowledged_by, acknowledged_at, raised_at, raised_received_at,
    rule_version, title, condition, withheld, cleared_at, cleared_received_at, clear_reason
FROM unnest(%(alarm_keys)s::bigint[], %(episodes)s::int[]) AS w (alarm_key, episode)
JOIN episodes e USING (alarm_key, episode);

-- name: put_alarms
-- purpose: the counters of locked alarms, and what suppresses them
UPDATE alarms SET episode = r.episode, transition_no = r.transition_no,
    suppressed = ARRAY(SELECT jsonb_array_elements_text(r.suppressed))
FROM jsonb_to_recordset(%(rows)s) AS r (alarm_key bigint, episode int, transition_no int, suppressed jsonb)
WHERE alarms.alarm_key = r.alarm_key;

-- name: put_episodes
-- purpose: new episodes, and what changed in others
INSERT INTO episodes (
    alarm_key, episode, rule_version, title, condition, severity, worst_severity, human, acknowledged_by, acknowledged_at,
    raised_at, raised_received_at, cleared_at, cleared_received_at, clear_reason, proof, withheld
)
SELECT
    alarm_key, episode, rule_version, title, condition, severity, worst_severity, human, acknowledged_by, acknowledged_at,
    raised_at, raised_received_at, cleared_at, cleared_received_at, clear_reason, proof, withheld
FROM jsonb_to_recordset(%(rows)s) AS r (
    alarm_key bigint, episode int, rule_version int, title text, condition text, severity smallint,
    worst_severity smallint, human text, acknowledged_by text, acknowledged_at timestamptz, raised_at timestamptz,
    raised_received_at timestamptz, cleared_at timestamptz, cleared_received_at timestamptz, clear_reason text, proof jsonb,
    withheld boolean
)
ON CONFLICT (alarm_key, episode) DO UPDATE SET
    condition = EXCLUDED.condition, severity = EXCLUDED.severity, worst_severity = EXCLUDED.worst_severity,
    human = EXCLUDED.human, acknowledged_by = EXCLUDED.acknowledged_by, acknowledged_at = EXCLUDED.acknowledged_at,
    cleared_at = EXCLUDED.cleared_at, cleared_received_at = EXCLUDED.cleared_received_at,
    clear_reason = EXCLUDED.clear_reason, withheld = EXCLUDED.withheld;

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
-- purpose: one outbox row a notice and sink it is owed to, with the snapshot a message is made from; the dispatcher is woken
WITH notices AS (
    SELECT r.*, i.installation_id, al.subject_kind, al.subject_key, al.rule_id,
        d.device_id, d.family, d.vendor, d.district, a.asset_code, a.code_scheme, a.kind, a.name, a.address, a.lon, a.lat,
        a.owner_unit, a.maintenance_unit, ar.code AS area_code, ar.name AS area_name, street.name AS street_name,
        -- Where several alarms of one rule are one thing to whoever goes there: a cabinet, a group of assets, a gateway.
        coalesce('cabinet:' || (a.attributes ->> 'cabinet'), 'group:' || (a.attributes ->> 'group'), 'gateway:' || d.gateway_key) AS together
    FROM jsonb_to_recordset(%(rows)s) AS r (
        alarm_key bigint, episode int, transition_no int, notice text, reason text, severity smallint, worst_severity smallint,
        raised_at timestamptz, facts jsonb, platform text, platform_to text, receivers text, sinks int[], routed int[]
    )
    CROSS JOIN installation i
    JOIN alarms al ON al.alarm_key = r.alarm_key
    LEFT JOIN devices d ON d.device_key = al.device_key
    LEFT JOIN assets a ON a.asset_key = al.asset_key
    LEFT JOIN areas ar ON ar.code = coalesce(a.area_code, al.area_code)
    LEFT JOIN areas street ON street.code = left(ar.code, 9) AND street.level = 'street'
),
owed AS (
    INSERT INTO outbox (idempotency_key, sink_key, alarm_key, episode, transition_no, notice, severity, snapshot, company, next_attempt_at)
    SELECT
        encode(sha256(convert_to(concat_ws('|', n.installation_id, n.subject_kind, n.subject_key, n.rule_id,
            extract(epoch FROM n.raised_at), n.episode, n.transition_no, s.name,
            CASE WHEN said.notice IN ('correct', 'escalate', 'cancel', 'progress') THEN said.notice END), 'UTF8')), 'hex'),
        s.sink_key, n.alarm_key, n.episode, n.transition_no, said.notice, n.severity,
        n.facts || jsonb_build_object(
            'installation_id', n.installation_id,
            'notice', said.notice,
            'device', CASE WHEN n.device_id IS NOT NULL
                THEN jsonb_build_object('device_id', n.device_id, 'family', n.family, 'vendor', n.vendor) END,
            'asset', CASE WHEN n.asset_code IS NOT NULL THEN jsonb_build_object(
                'asset_code', n.asset_code, 'code_scheme', n.code_scheme, 'kind', n.kind, 'name', n.name, 'address', n.address,
                'lon', n.lon, 'lat', n.lat, 'owner_unit', n.owner_unit, 'maintenance_unit', n.maintenance_unit) END,
            'area', CASE WHEN n.area_code IS NOT NULL
                THEN jsonb_build_object('code', n.area_code, 'name', n.area_name, 'district', n.district, 'street', n.street_name) END
        ),
        company.text,
        -- Red waits for no company.
        clock_timestamp() + make_interval(secs => CASE WHEN company.text IS NOT NULL AND n.severity < 4 THEN s.bundle_s ELSE 0 END)
    FROM notices n
    LEFT JOIN LATERAL (
        -- Whoever was told of the episode, or may have been, and the severity of which they were told last. Of what has
        -- just been raised nobody was.
        SELECT jsonb_object_agg(o.sink_key, o.severity ORDER BY o.transition_no) AS severities
        FROM outbox o
        WHERE (n.notice <> 'raise' OR n.receivers <> 'all')
            AND o.alarm_key = n.alarm_key AND o.episode = n.episode AND (o.state <> 'dropped' OR o.maybe_told)
    ) AS told ON true
    JOIN sinks s ON s.enabled AND s.audience <> 'upward' AND (
        s.audience = 'platform' OR s.sink_key = ANY(n.sinks) OR s.sink_key = ANY(n.routed) OR told.severities ? s.sink_key::text
    )
    CROSS JOIN LATERAL (SELECT (told.severities ->> s.sink_key::text)::smallint AS severity) AS last
    -- What a platform is told follows its case: of a case that is opened late, a raise; and to one that knows nothing of
    -- it, as it was not severe enough for it before, a change is a raise.
    CROSS JOIN LATERAL (
        SELECT CASE
            WHEN s.audience <> 'platform' THEN n.notice
            WHEN n.platform = 'change' AND last.severity IS NULL AND NOT EXISTS (
                SELECT FROM notices before
                WHERE before.alarm_key = n.alarm_key AND before.episode = n.episode AND before.transition_no < n.transition_no
                    AND before.platform IS NOT NULL AND before.platform_to <> 'told' AND before.worst_severity >= s.min_severity
            ) THEN 'raise'
            ELSE n.platform
        END AS notice
    ) AS said
    CROSS JOIN LATERAL (
        SELECT CASE WHEN s.bundle_s > 0 AND s.audience <> 'platform' AND n.notice IN ('raise', 'change', 'clear', 'escalate')
            THEN concat_ws('|', n.notice, CASE WHEN n.notice <> 'clear' THEN n.severity END,
                n.facts #>> '{escalation,level}', n.rule_id) || '|' || n.together END AS text
    ) AS company
    WHERE CASE
        WHEN s.audience = 'platform' THEN n.platform IS NOT NULL AND CASE n.platform_to
            WHEN 'told' THEN last.severity IS NOT NULL
            WHEN 'untold' THEN last.severity IS NULL AND n.worst_severity >= s.min_severity
            ELSE n.worst_severity >= s.min_severity
        END
        WHEN n.receivers = 'named' THEN s.sink_key = ANY(n.sinks)
        -- Whoever was told is told the rest, whatever its audience and its unit are by now; a crew no other change than for the worse.
        WHEN n.receivers IN ('told', 'told_but_crews') THEN last.severity IS NOT NULL
            AND (n.receivers <> 'told_but_crews' OR s.audience <> 'crew')
            AND (n.notice <> 'change' OR n.severity > last.severity)
        WHEN n.receivers = 'untold' AND last.severity IS NOT NULL THEN false
        ELSE s.sink_key = ANY(n.routed)
            OR (last.severity IS NOT NULL AND (n.notice IN ('clear', 'correct') OR n.severity > last.severity))
    END
    ORDER BY n.alarm_key, n.transition_no, s.sink_key
    ON CONFLICT (idempotency_key) DO NOTHING
    RETURNING 1
)
SELECT pg_notify('underfoot_outbox', '') FROM owed LIMIT 1;

-- name: put_conditions
-- purpose: the engine's memory of what is not plainly normal, as changed by this batch
INSERT INTO conditions (subject_kind, subject_key, rule_id, shard, state, due_at, rule_version, rule_scope)
SELECT 'device', subject_key, rule_id, %(shard)s, state, due_at, rule_version, rule_scope
FROM jsonb_to_recordset(%(rows)s) AS r (
    subject_key bigint, rule_id text, state jsonb, due_at timestamptz, rule_version int, rule_scope text
)
ON CONFLICT (subject_kind, subject_key, rule_id) DO UPDATE SET
    shard = EXCLUDED.shard, state = EXCLUDED.state, due_at = EXCLUDED.due_at,
    rule_version = EXCLUDED.rule_version, rule_scope = EXCLUDED.rule_scope;

-- name: drop_conditions
-- purpose: what is plainly normal again
DELETE FROM conditions c
USING jsonb_to_recordset(%(rows)s) AS r (subject_key bigint, rule_id text)
WHERE c.subject_kind = 'device' AND c.subject_key = r.subject_key AND c.rule_id = r.rule_id;

-- name: adopt_conditions
-- purpose: the engine's memory of devices that have moved to this shard
UPDATE conditions c SET shard = d.shard FROM devices d
WHERE c.subject_kind = 'device' AND d.device_key = c.subject_key AND d.shard = %(shard)s
    AND c.shard <> d.shard AND c.shard <> 'city';

-- name: load_conditions
-- purpose: the engine's memory of a shard, but of devices that have moved to another
SELECT c.subject_key, c.rule_id, c.state, c.rule_version, c.rule_scope
FROM conditions c JOIN devices d ON d.device_key = c.subject_key AND d.shard = c.shard
WHERE c.subject_kind = 'device' AND c.shard = %(shard)s;

-- name: load_open_device_episodes
-- purpose: a shard's open device episodes of which no condition is kept, and the kind of rule that raised each; of a
-- late hazard, the rules that asked
SELECT al.subject_key, al.rule_id, e.condition, array(
    SELECT DISTINCT t.proof ->> 'of_rule' FROM transitions t
    WHERE t.alarm_key = e.alarm_key AND t.episode = e.episode AND t.reason = 'late_hazard' AND t.proof ? 'of_rule'
), (
    SELECT r.body ->> 'kind' FROM rules r
    WHERE r.rule_id = al.rule_id AND r.scope = 'city' AND r.version <= e.rule_version ORDER BY r.version DESC LIMIT 1
)
FROM episodes e JOIN alarms al USING (alarm_key) JOIN devices d ON d.device_key = al.device_key
WHERE e.cleared_at IS NULL AND al.subject_kind = 'device' AND d.shard = %(shard)s AND NOT EXISTS (
    SELECT 1 FROM conditions c
    WHERE c.subject_kind = 'device' AND c.subject_key = al.subject_key AND c.rule_id = al.rule_id
);

-- name: late_already_known
-- purpose: late hazards that an episode on record already covers, one that reports in order have shown
SELECT r.number FROM jsonb_to_recordset(%(rows)s) AS r (number int, device_key bigint, rule_id text, at timestamptz)
WHERE EXISTS (
    SELECT 1 FROM alarms al JOIN episodes e USING (alarm_key)
    WHERE al.subject_kind = 'device' AND al.subject_key = r.device_key AND al.rule_id = r.rule_id
        AND r.at BETWEEN e.raised_at AND coalesce(e.cleared_at, 'infinity')
        -- What late reports have shown was perhaps shown by a wrong clock: it answers nothing.
        AND NOT EXISTS (
            SELECT 1 FROM corrections c
            WHERE c.alarm_key = e.alarm_key AND c.episode = e.episode AND c.verdict = 'missed'
        )
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
