-- name: delivery
-- purpose: by which delivery a link came: to whom, of which episode
SELECT o.delivery_key, e.episode_key, s.name AS sink, s.channel, s.audience, s.maintenance_unit
FROM outbox o
JOIN sinks s USING (sink_key)
JOIN episodes e ON e.alarm_key = o.alarm_key AND e.episode = o.episode
WHERE o.delivery_key = %(delivery_key)s AND o.alarm_key = %(alarm_key)s AND o.episode = %(episode)s;

-- name: episode
-- purpose: one episode within a scope, with all about its subject
SELECT
    e.episode_key, e.alarm_key, e.episode, al.subject_kind, al.subject_key, al.rule_id, e.rule_version, e.title,
    e.condition, e.human, e.severity, e.worst_severity, e.raised_at, e.raised_received_at, e.cleared_at,
    e.acknowledged_by, e.acknowledged_at, e.assigned_to, e.confirmed, e.confirmed_by, e.proof,
    CASE WHEN al.suppressed <> '{}' THEN (
        SELECT jsonb_agg(to_jsonb(s) ORDER BY s.suppression_key) FROM suppressions s
        WHERE s.alarm_key = al.alarm_key AND s.ended_at IS NULL
    ) END AS suppression,
    e.cleared_at IS NULL AND EXISTS (
        SELECT 1 FROM alarms silent JOIN episodes since USING (alarm_key)
        WHERE silent.subject_kind = 'device' AND silent.subject_key = al.device_key AND since.cleared_at IS NULL
            AND silent.alarm_key <> al.alarm_key
            AND EXISTS (SELECT 1 FROM rules r WHERE r.rule_id = silent.rule_id AND r.body ->> 'kind' = 'no_data')
    ) AS stale,
    (
        SELECT to_jsonb(c) || coalesce((
            SELECT jsonb_build_object('raised_at', v.raised_at, 'cleared_at', v.cleared_at, 'worst_severity', v.worst_severity)
            FROM corrected_episodes v WHERE v.episode_key = e.episode_key
        ), '{}')
        FROM corrections c
        WHERE c.alarm_key = e.alarm_key AND c.episode = e.episode ORDER BY c.correction_key DESC LIMIT 1
    ) AS correction,
    d.device_key, d.device_id, d.family, d.expected_interval_s, d.baseline,
    a.asset_key, a.asset_code, a.kind, a.name, a.address, a.owner_unit, a.maintenance_unit, a.lon, a.lat,
    p.pipe_key, p.pipe_id, p.kind AS pipe_kind, p.diameter_mm, p.length_m,
    f.name AS from_name, f.lon AS from_lon, f.lat AS from_lat, t.name AS to_name, t.lon AS to_lon, t.lat AS to_lat,
    ar.name AS area_name, (SELECT district.name FROM areas district WHERE district.code = district_of(al.area_code)) AS district
FROM episodes e
JOIN alarms al USING (alarm_key)
LEFT JOIN devices d ON d.device_key = al.device_key
LEFT JOIN assets a ON a.asset_key = al.asset_key
LEFT JOIN areas ar ON ar.code = al.area_code
LEFT JOIN pipes p ON al.subject_kind = 'pipe' AND p.pipe_key = al.subject_key
LEFT JOIN assets f ON f.asset_key = p.from_asset
LEFT JOIN assets t ON t.asset_key = p.to_asset
WHERE e.episode_key = %(episode_key)s
    AND (%(areas)s::text[] IS NULL OR al.area_code = ANY(%(areas)s))
    AND (%(units)s::text[] IS NULL OR a.maintenance_unit = ANY(%(units)s));

-- name: series
-- purpose: what a device measured in a span of time, the newest first
SELECT ts, {field} AS value FROM {reports}
WHERE device_key = %(device_key)s AND ts >= %(begin)s AND ts <= %(end)s AND {field} IS NOT NULL
ORDER BY ts DESC, received_at DESC
LIMIT %(limit)s;

-- name: value_before
-- purpose: what a device measured last before a time: where a line begins
SELECT ts, {field} AS value FROM {reports}
WHERE device_key = %(device_key)s AND ts < %(begin)s AND ts >= %(oldest)s AND {field} IS NOT NULL
ORDER BY ts DESC
LIMIT 1;

-- name: gauges_of_pipe
-- purpose: the level gauges next above and next below a pipe, each with how many pipes away it is
WITH RECURSIVE reached (asset_key, above, steps) AS (
    SELECT from_asset, true, 0 FROM pipes WHERE pipe_key = %(pipe_key)s
    UNION
    SELECT to_asset, false, 0 FROM pipes WHERE pipe_key = %(pipe_key)s
    UNION
    SELECT CASE WHEN reached.above THEN p.from_asset ELSE p.to_asset END, reached.above, reached.steps + 1
    FROM reached
    JOIN pipes p ON CASE WHEN reached.above THEN p.to_asset ELSE p.from_asset END = reached.asset_key
    WHERE reached.steps < 4
)
SELECT DISTINCT ON (r.above) r.above, r.steps, d.device_key, d.expected_interval_s, a.name
FROM reached r
JOIN assets a USING (asset_key)
JOIN devices d ON d.asset_key = a.asset_key AND d.family = 'pipe' AND d.status <> 'retired'
ORDER BY r.above, r.steps, d.device_key;

-- name: assets_in_box
-- purpose: assets in a rectangle of degrees, those with an open alarm first, each with the worst
SELECT a.asset_key, a.kind, a.name, a.lon, a.lat, worst.severity, worst.title
FROM assets a
LEFT JOIN LATERAL (
    SELECT e.severity, e.title FROM alarms al JOIN episodes e ON e.alarm_key = al.alarm_key AND e.cleared_at IS NULL
    WHERE al.asset_key = a.asset_key AND al.subject_kind IN ('device', 'asset')
    ORDER BY e.severity DESC, e.episode_key DESC LIMIT 1
) worst ON true
WHERE a.lon IS NOT NULL AND a.object_state <> '废弃'
    AND point(a.lon, a.lat) <@ box(point(%(west)s, %(south)s), point(%(east)s, %(north)s))
    AND (%(areas)s::text[] IS NULL OR a.area_code = ANY(%(areas)s))
    AND (%(units)s::text[] IS NULL OR a.maintenance_unit = ANY(%(units)s))
ORDER BY worst.severity DESC NULLS LAST, a.asset_key
LIMIT %(limit)s;

-- name: pipes_in_box
-- purpose: the pipes of which an end lies in a rectangle of degrees, each with the worst open alarm about it
SELECT p.pipe_key, p.pipe_id, p.kind, f.lon AS from_lon, f.lat AS from_lat, t.lon AS to_lon, t.lat AS to_lat, (
    SELECT max(e.severity) FROM alarms al JOIN episodes e ON e.alarm_key = al.alarm_key AND e.cleared_at IS NULL
    WHERE al.subject_kind = 'pipe' AND al.subject_key = p.pipe_key
) AS severity
FROM (
    SELECT p.pipe_key FROM assets a JOIN pipes p ON p.from_asset = a.asset_key
    WHERE a.lon IS NOT NULL AND point(a.lon, a.lat) <@ box(point(%(west)s, %(south)s), point(%(east)s, %(north)s))
    UNION
    SELECT p.pipe_key FROM assets a JOIN pipes p ON p.to_asset = a.asset_key
    WHERE a.lon IS NOT NULL AND point(a.lon, a.lat) <@ box(point(%(west)s, %(south)s), point(%(east)s, %(north)s))
    LIMIT %(limit)s
) inside
JOIN pipes p USING (pipe_key)
JOIN assets f ON f.asset_key = p.from_asset AND f.lon IS NOT NULL
JOIN assets t ON t.asset_key = p.to_asset AND t.lon IS NOT NULL
WHERE (%(areas)s::text[] IS NULL OR f.area_code = ANY(%(areas)s))
    AND (%(units)s::text[] IS NULL OR f.maintenance_unit = ANY(%(units)s));

-- name: gas_limits
-- purpose: from which reading on nobody may go down: of each gas the first limit of any rule in force
SELECT body ->> 'field' AS field, coalesce(body ->> 'looks', 'above') AS looks,
    CASE WHEN coalesce(body ->> 'looks', 'above') = 'above' THEN min((level ->> 'limit')::float8) ELSE max((level ->> 'limit')::float8) END AS "limit"
FROM (
    SELECT DISTINCT ON (rule_id) body, withdrawn FROM rules WHERE scope = 'city' ORDER BY rule_id, version DESC
) newest
CROSS JOIN LATERAL jsonb_array_elements(body -> 'levels') AS level
WHERE NOT withdrawn AND body ->> 'kind' = 'level' AND body ->> 'family' = 'cover' AND body ->> 'field' = ANY(%(fields)s)
GROUP BY 1, 2;

-- name: gas_read
-- purpose: what the newest gas reading at an asset is
SELECT l.ts, to_jsonb(l) AS values FROM latest_cover l JOIN devices d USING (device_key)
WHERE d.asset_key = %(asset_key)s AND d.status <> 'retired'
ORDER BY l.ts DESC LIMIT 1;

-- name: people_of
-- purpose: who is meant: people on duty by the sink that reaches them, people with accounts by the name they log in with
SELECT 'sink' AS kind, sink AS known_as, name AS label FROM duty_people WHERE sink = ANY(%(names)s)
UNION ALL
SELECT 'person', name, display_name FROM people WHERE name = ANY(%(names)s) AND display_name <> '';

-- name: sinks_of
-- purpose: what kind of receivers these sinks are
SELECT name, audience, maintenance_unit FROM sinks WHERE name = ANY(%(names)s);

-- name: incident
-- purpose: which incident an alarm is about
SELECT i.area_code, ar.name AS area_name, i.catchment_name AS catchment
FROM incidents i JOIN areas ar ON ar.code = i.area_code WHERE i.incident_key = %(incident_key)s;

-- name: case
-- purpose: the newest case of an episode
SELECT case_key, code, code_name, condition_name, level, state, opened_at, arrived_at, handled_at, ended_at, ended_how,
    condition_over_at, rework, supervised, suspended_since, suspension_stops, arrive_by, arrive_kind, arrive_amount,
    arrive_overdue_at, repair_by, repair_kind, repair_amount, repair_overdue_at, platform_no, duplicate_of, merged_into,
    needs_person
FROM cases WHERE alarm_key = %(alarm_key)s AND episode = %(episode)s ORDER BY case_key DESC LIMIT 1;

-- name: case_steps
-- purpose: what happened to a case, newest first
SELECT step_no, from_state, to_state, event, at, actor, cause, note FROM case_steps
WHERE case_key = %(case_key)s ORDER BY step_no DESC LIMIT %(limit)s;

-- name: alarms_within
-- purpose: which of these alarms lie in a scope
SELECT al.alarm_key FROM alarms al LEFT JOIN assets a USING (asset_key)
WHERE al.alarm_key = ANY(%(alarm_keys)s)
    AND (%(areas)s::text[] IS NULL OR al.area_code = ANY(%(areas)s))
    AND (%(units)s::text[] IS NULL OR a.maintenance_unit = ANY(%(units)s));

-- name: companions
-- purpose: the other episodes that the message with this delivery's link told of, the worst first
SELECT DISTINCT e.episode_key, e.title, e.severity, coalesce(nullif(a.address, ''), '') AS address, coalesce(a.name, '') AS name,
    coalesce(a.asset_code, '') AS asset_code, coalesce(d.device_id, '') AS device_id, e.cleared_at
FROM outbox o
JOIN episodes e ON e.alarm_key = o.alarm_key AND e.episode = o.episode
JOIN alarms al ON al.alarm_key = o.alarm_key
LEFT JOIN assets a ON a.asset_key = al.asset_key
LEFT JOIN devices d ON d.device_key = al.device_key
WHERE o.told_with = %(delivery_key)s AND e.episode_key <> %(episode_key)s
ORDER BY e.severity DESC, e.episode_key
LIMIT 200;
