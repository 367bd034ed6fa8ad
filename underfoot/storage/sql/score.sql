-- A run of the simulators is scored: its alarms are read once, after it.

-- name: alarms
-- purpose: the episodes raised in a time, what each is about, how its severity changed, and what kept it from being told
SELECT al.alarm_key, e.episode, al.rule_id, al.subject_kind, al.subject_key::text AS subject,
    coalesce(d.device_id, '') AS device_id, coalesce(a.asset_code, '') AS asset_code, coalesce(p.pipe_id, '') AS pipe_id,
    coalesce(g.gateway_id, '') AS gateway_id, e.title,
    (extract(epoch FROM e.raised_at) * 1000)::bigint AS raised_ms,
    (extract(epoch FROM e.committed_at) * 1000)::bigint AS recorded_ms,
    (extract(epoch FROM e.cleared_at) * 1000)::bigint AS cleared_ms,
    e.worst_severity AS severity,
    coalesce((
        SELECT jsonb_agg(
            jsonb_build_object('at_ms', (extract(epoch FROM t.event_at) * 1000)::bigint, 'severity', t.severity)
            ORDER BY t.transition_no)
        FROM transitions t
        WHERE t.alarm_key = e.alarm_key AND t.episode = e.episode AND t.region = 'condition' AND t.severity > 0
    ), '[]') AS changes,
    e.withheld,
    ARRAY(
        SELECT DISTINCT s.kind FROM suppressions s
        WHERE s.alarm_key = e.alarm_key AND s.since <= coalesce(e.cleared_received_at, 'infinity')
            AND coalesce(s.ended_at, 'infinity') >= e.committed_at
        ORDER BY s.kind
    ) AS suppressed,
    ARRAY(
        SELECT DISTINCT cause.rule_id FROM suppressions s JOIN alarms cause ON s.cause = 'alarm:' || cause.alarm_key
        WHERE s.alarm_key = e.alarm_key AND s.kind = 'by_design' AND s.since <= e.committed_at
            AND coalesce(s.ended_at, 'infinity') >= e.committed_at
        ORDER BY cause.rule_id
    ) AS explained_by,
    e.proof
FROM episodes e
JOIN alarms al USING (alarm_key)
LEFT JOIN devices d ON d.device_key = al.device_key
LEFT JOIN assets a ON a.asset_key = al.asset_key
LEFT JOIN pipes p ON al.subject_kind = 'pipe' AND p.pipe_key = al.subject_key
LEFT JOIN gateways g ON al.subject_kind = 'gateway' AND g.gateway_key = al.subject_key
WHERE e.raised_at BETWEEN %(begins_at)s AND %(ends_at)s
ORDER BY e.raised_at, al.alarm_key, e.episode;
