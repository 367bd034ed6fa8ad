-- name: list_incidents
-- purpose: incidents, the newest first, each with its alarm and with what was last told of it
SELECT i.incident_key, i.kind, i.area_code, ar.name AS area_name, i.catchment_name AS catchment, i.title, i.began_at, i.ended_at,
    i.told_at, i.told, e.episode_key, e.severity, e.human, e.acknowledged_by, e.acknowledged_at
FROM incidents i
JOIN areas ar ON ar.code = i.area_code
LEFT JOIN LATERAL (
    SELECT e.* FROM alarms al JOIN episodes e USING (alarm_key)
    WHERE al.subject_kind = 'incident' AND al.subject_key = i.incident_key
    ORDER BY e.episode DESC LIMIT 1
) e ON true
WHERE (%(incident_key)s::bigint IS NULL OR i.incident_key = %(incident_key)s)
    AND CASE %(state)s::text
        WHEN 'all' THEN true
        WHEN 'open' THEN i.ended_at IS NULL
        WHEN 'ended' THEN i.ended_at IS NOT NULL
    END
    AND (%(kind)s::text IS NULL OR i.kind = %(kind)s)
    AND (%(areas)s::text[] IS NULL OR i.area_code = ANY(%(areas)s))
    AND (%(units)s::text[] IS NULL OR i.incident_key = ANY(ARRAY(
        SELECT m.incident_key FROM assets a
        JOIN alarms mine ON mine.asset_key = a.asset_key
        JOIN incident_members m ON m.alarm_key = mine.alarm_key
        WHERE a.maintenance_unit = ANY(%(units)s)
    )))
    AND (%(from)s::timestamptz IS NULL OR i.began_at >= %(from)s)
    AND (%(to)s::timestamptz IS NULL OR i.began_at < %(to)s)
    AND (%(reached)s::timestamptz IS NULL OR (i.began_at, i.incident_key) < (%(reached)s, %(reached_key)s::bigint))
ORDER BY i.began_at DESC, i.incident_key DESC
LIMIT %(limit)s;

-- name: list_members
-- purpose: an incident's members, those it has now and those that have left, in the order of their alarms
WITH page AS MATERIALIZED (
    -- First the page, then all about it: joined the other way round, the last page would read what lies before it.
    SELECT * FROM incident_members m
    WHERE m.incident_key = %(incident_key)s
        AND (%(areas)s::text[] IS NULL AND %(units)s::text[] IS NULL OR EXISTS (
            SELECT 1 FROM alarms mine LEFT JOIN assets place ON place.asset_key = mine.asset_key
            WHERE mine.alarm_key = m.alarm_key
                AND (%(areas)s::text[] IS NULL OR mine.area_code = ANY(%(areas)s))
                AND (%(units)s::text[] IS NULL OR place.maintenance_unit = ANY(%(units)s))
        ))
        AND (%(now)s::boolean IS NULL OR (m.left_at IS NULL) = %(now)s)
        AND (%(alarm_key)s::bigint IS NULL
            OR (m.alarm_key, m.episode, m.joined_at) > (%(alarm_key)s, %(episode)s::int, %(joined_at)s::timestamptz))
    ORDER BY m.alarm_key, m.episode, m.joined_at
    LIMIT %(limit)s
)
SELECT m.alarm_key, m.episode, m.joined_at, m.left_at, m.left_because, m.alone, e.episode_key, al.rule_id, e.title, al.family,
    e.severity, e.worst_severity, e.human, e.raised_at, e.cleared_at, e.proof, al.suppressed, d.device_id,
    a.asset_key, a.asset_code, a.kind AS asset_kind, a.name AS asset_name, a.address, a.lon, a.lat, a.maintenance_unit,
    ar.code AS area_code, ar.name AS area_name
FROM page m
JOIN episodes e ON e.alarm_key = m.alarm_key AND e.episode = m.episode
JOIN alarms al ON al.alarm_key = m.alarm_key
LEFT JOIN devices d ON d.device_key = al.device_key
LEFT JOIN assets a ON a.asset_key = al.asset_key
LEFT JOIN areas ar ON ar.code = al.area_code
ORDER BY m.alarm_key, m.episode, m.joined_at;
