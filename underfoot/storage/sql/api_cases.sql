-- name: list_cases
-- purpose: cases, the newest opened first, each with the alarm that it is about and where
SELECT c.*, al.rule_id, al.subject_kind, al.family, e.episode_key, e.title, e.severity, e.worst_severity, e.raised_at, e.cleared_at,
    s.name AS sink, f.alarm_key || '-' || f.episode AS follows_event,
    d.device_id, a.asset_key, a.asset_code, a.kind AS asset_kind, a.name AS asset_name, a.address, a.lon, a.lat,
    a.maintenance_unit, ar.code AS area_code, ar.name AS area_name
FROM cases c
JOIN alarms al USING (alarm_key)
JOIN episodes e ON e.alarm_key = c.alarm_key AND e.episode = c.episode
LEFT JOIN sinks s ON s.sink_key = c.sink_key
LEFT JOIN cases f ON f.case_key = c.follows
LEFT JOIN devices d ON d.device_key = al.device_key
LEFT JOIN assets a ON a.asset_key = al.asset_key
LEFT JOIN areas ar ON ar.code = al.area_code
WHERE (%(case_key)s::bigint IS NULL OR c.case_key = %(case_key)s)
    AND (%(open)s::boolean IS NULL OR (c.ended_at IS NULL) = %(open)s)
    AND (NOT %(needs_person)s::boolean OR c.needs_person IS NOT NULL)
    AND (NOT %(overdue)s::boolean OR c.arrive_overdue_at IS NOT NULL OR c.repair_overdue_at IS NOT NULL)
    AND (%(states)s::text[] IS NULL OR c.state = ANY(%(states)s))
    AND (%(filing)s::text IS NULL OR c.filing_id = %(filing)s)
    AND (%(alarm_key)s::bigint IS NULL OR c.alarm_key = %(alarm_key)s)
    AND (%(episode)s::int IS NULL OR c.episode = %(episode)s)
    AND (%(unit)s::text IS NULL OR a.maintenance_unit = %(unit)s)
    AND (%(areas)s::text[] IS NULL OR al.area_code = ANY(%(areas)s))
    AND (%(units)s::text[] IS NULL OR a.maintenance_unit = ANY(%(units)s))
    AND (%(from)s::timestamptz IS NULL OR c.opened_at >= %(from)s)
    AND (%(to)s::timestamptz IS NULL OR c.opened_at < %(to)s)
    AND (%(reached)s::timestamptz IS NULL OR (c.opened_at, c.case_key) < (%(reached)s, %(reached_key)s::bigint))
ORDER BY c.opened_at DESC, c.case_key DESC
LIMIT %(limit)s;

-- name: steps_of
-- purpose: what happened to a case, newest first
SELECT step_no, from_state, to_state, event, at, received_at, actor, cause, note, detail
FROM case_steps WHERE case_key = %(case_key)s ORDER BY step_no DESC LIMIT %(limit)s;
