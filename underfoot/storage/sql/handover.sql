-- What one shift leaves the next, of [since, until) and of what was there at `until`. `areas`: only in these; null: all.

-- name: counts
-- purpose: by district and severity, how many alarms were raised and closed, and how many were open at the end
WITH seen AS (
    SELECT e.alarm_key, e.severity, true AS raised, false AS closed, false AS open FROM episodes e
    WHERE e.committed_at >= %(since)s AND e.committed_at < %(until)s
    UNION ALL
    SELECT e.alarm_key, e.severity, false, true, false FROM episodes e
    WHERE e.cleared_at IS NOT NULL AND e.cleared_received_at >= %(since)s AND e.cleared_received_at < %(until)s
    UNION ALL
    SELECT e.alarm_key, e.severity, false, false, true FROM episodes e
    WHERE e.cleared_at IS NULL AND e.committed_at < %(until)s
    UNION ALL
    SELECT e.alarm_key, e.severity, false, false, true FROM episodes e
    WHERE e.cleared_at IS NOT NULL AND e.cleared_received_at >= %(until)s AND e.committed_at < %(until)s
)
SELECT coalesce(district_of(al.area_code), '') AS district, coalesce(ar.name, '') AS name, s.severity,
    count(*) FILTER (WHERE s.raised)::int AS raised, count(*) FILTER (WHERE s.closed)::int AS closed,
    count(*) FILTER (WHERE s.open)::int AS open
FROM seen s
JOIN alarms al USING (alarm_key)
LEFT JOIN areas ar ON ar.code = district_of(al.area_code)
WHERE %(areas)s::text[] IS NULL OR al.area_code = ANY(%(areas)s)
GROUP BY 1, 2, 3
ORDER BY 1, 3 DESC;

-- name: unacknowledged
-- purpose: alarms that nobody had acknowledged at the end, the oldest first: open ones, and those over that nobody has seen
SELECT e.episode_key, e.severity, e.title, e.raised_at, e.cleared_at IS NOT NULL AND e.cleared_received_at < %(until)s AS over,
    coalesce(nullif(concat_ws(' ', nullif(a.address, ''), nullif(a.name, '')), ''), ar.name, '') AS place,
    count(*) OVER ()::int AS altogether
FROM (
    SELECT * FROM episodes WHERE cleared_at IS NULL
    UNION ALL
    SELECT * FROM episodes WHERE cleared_at IS NOT NULL AND cleared_received_at >= %(since)s
) e
JOIN alarms al USING (alarm_key)
LEFT JOIN assets a ON a.asset_key = al.asset_key
LEFT JOIN areas ar ON ar.code = al.area_code
WHERE (e.human = 'unacknowledged' OR e.acknowledged_at >= %(until)s) AND e.committed_at < %(until)s
    AND (%(areas)s::text[] IS NULL OR al.area_code = ANY(%(areas)s))
ORDER BY over, e.raised_at, e.episode_key
LIMIT %(limit)s;

-- name: suppressed
-- purpose: what was shelved, out of service or fluttering at the end, and until when
SELECT s.kind, s.reason, s.actor, s.since, s.until, s.cause,
    coalesce(e.title, al.rule_id) AS title, coalesce(nullif(concat_ws(' ', nullif(a.address, ''), nullif(a.name, '')), ''), '') AS place
FROM (
    SELECT * FROM suppressions WHERE ended_at IS NULL
    UNION ALL
    SELECT * FROM suppressions WHERE ended_at >= %(until)s
) s
JOIN alarms al USING (alarm_key)
LEFT JOIN LATERAL (
    SELECT title FROM episodes WHERE alarm_key = s.alarm_key ORDER BY episode DESC LIMIT 1
) e ON true
LEFT JOIN assets a ON a.asset_key = al.asset_key
WHERE s.since < %(until)s AND s.kind <> 'by_design'
    AND (%(areas)s::text[] IS NULL OR al.area_code = ANY(%(areas)s))
ORDER BY s.kind, s.since
LIMIT %(limit)s;

-- name: incidents
-- purpose: incidents of the shift, and those that were going on at its end
SELECT i.incident_key, i.title, ar.name AS area, i.began_at, i.ended_at
FROM incidents i JOIN areas ar ON ar.code = i.area_code
WHERE i.began_at < %(until)s AND (i.ended_at IS NULL OR i.ended_at >= %(since)s)
    AND (%(areas)s::text[] IS NULL OR i.area_code = ANY(%(areas)s))
ORDER BY i.began_at
LIMIT %(limit)s;

-- name: sinks
-- purpose: sinks that fail now or have something undelivered: still owed, or given up in the shift
SELECT s.name, s.failures >= %(opens_after)s AS failing, coalesce(s.last_error, '') AS error,
    coalesce(o.owed, 0)::int AS owed, coalesce(d.dead, 0)::int AS dead, o.oldest
FROM sinks s
LEFT JOIN (
    SELECT sink_key, count(*) AS owed, min(created_at) AS oldest FROM outbox
    WHERE state = 'owed' AND created_at < %(until)s GROUP BY sink_key
) o USING (sink_key)
LEFT JOIN (
    SELECT sink_key, count(*) AS dead FROM outbox
    WHERE state = 'dead' AND settled_at >= %(since)s AND settled_at < %(until)s GROUP BY sink_key
) d USING (sink_key)
WHERE s.enabled AND (s.failures >= %(opens_after)s OR o.owed > 0 OR d.dead > 0)
ORDER BY s.name;

-- name: escalations
-- purpose: how many turns of each level came in the shift
SELECT x.level, count(*)::int AS turns
FROM escalations x JOIN alarms al USING (alarm_key)
WHERE x.told_at >= %(since)s AND x.told_at < %(until)s
    AND (%(areas)s::text[] IS NULL OR al.area_code = ANY(%(areas)s))
GROUP BY x.level ORDER BY x.level;

-- name: notes
-- purpose: what was written down in the shift, for the next one or about an alarm
SELECT at, actor, text, about FROM (
    SELECT n.at, n.actor, n.text, ''::text AS about, n.area_code FROM duty_notes n
    WHERE n.at >= %(since)s AND n.at < %(until)s
    UNION ALL
    SELECT c.at, c.actor, c.text, e.title, al.area_code
    FROM comments c JOIN episodes e USING (episode_key) JOIN alarms al USING (alarm_key)
    WHERE c.at >= %(since)s AND c.at < %(until)s
) written
WHERE %(areas)s::text[] IS NULL OR area_code = ANY(%(areas)s) OR area_code IS NULL
ORDER BY at
LIMIT %(limit)s;

-- name: areas_within
-- purpose: an area and all below it
WITH RECURSIVE within AS (
    SELECT code FROM areas WHERE starts_with(code, %(code)s)
    UNION
    SELECT child.code FROM areas child JOIN within ON child.parent_code = within.code
)
SELECT code FROM within;
