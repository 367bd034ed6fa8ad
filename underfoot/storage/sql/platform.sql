-- name: latest_notice
-- purpose: an episode as the platform would be told of it now: as it was told last, or made up from the record where it was told to nobody
SELECT e.alarm_key, e.episode, coalesce(
    (
        SELECT o.snapshot FROM outbox o JOIN sinks s USING (sink_key)
        WHERE o.alarm_key = e.alarm_key AND o.episode = e.episode
        ORDER BY s.audience = 'platform' DESC, o.transition_no DESC, o.delivery_key DESC LIMIT 1
    ),
    jsonb_build_object(
        'installation_id', i.installation_id, 'alarm_key', e.alarm_key, 'episode', e.episode,
        'transition_no', coalesce(last.transition_no, 1), 'notice', CASE WHEN e.cleared_at IS NULL THEN 'raise' ELSE 'clear' END,
        'reason', coalesce(last.reason, 'limit_reached'), 'rule_id', al.rule_id, 'rule_version', e.rule_version, 'title', e.title,
        'severity', e.severity, 'worst_severity', e.worst_severity, 'event_at', coalesce(e.cleared_at, e.raised_at),
        'raised_at', e.raised_at, 'raised_received_at', e.raised_received_at, 'cleared_at', e.cleared_at
    ) || jsonb_build_object(
        'proof', nullif(e.proof, '{}'), 'crew', r.crew,
        'case', (
            SELECT to_jsonb(c) || jsonb_build_object('type', c.case_type) FROM cases c
            WHERE c.alarm_key = e.alarm_key AND c.episode = e.episode ORDER BY c.again DESC LIMIT 1
        ),
        'device', CASE WHEN d.device_id IS NOT NULL
            THEN jsonb_build_object('device_id', d.device_id, 'family', d.family, 'vendor', d.vendor) END,
        'asset', CASE WHEN a.asset_code IS NOT NULL THEN jsonb_build_object(
            'asset_code', a.asset_code, 'code_scheme', a.code_scheme, 'kind', a.kind, 'name', a.name, 'address', a.address,
            'lon', a.lon, 'lat', a.lat, 'owner_unit', a.owner_unit, 'maintenance_unit', a.maintenance_unit) END,
        'area', CASE WHEN ar.code IS NOT NULL
            THEN jsonb_build_object('code', ar.code, 'name', ar.name, 'district', d.district, 'street', street.name) END
    )
) AS snapshot, r.case_code AS rule_case, e.severity
FROM episodes e
CROSS JOIN installation i
JOIN alarms al USING (alarm_key)
LEFT JOIN devices d ON d.device_key = al.device_key
LEFT JOIN assets a ON a.asset_key = al.asset_key
LEFT JOIN areas ar ON ar.code = coalesce(a.area_code, al.area_code)
LEFT JOIN areas street ON street.code = left(ar.code, 9) AND street.level = 'street'
LEFT JOIN LATERAL (
    SELECT t.transition_no, t.reason FROM transitions t
    WHERE t.alarm_key = e.alarm_key AND t.episode = e.episode AND t.region = 'condition'
    ORDER BY t.transition_no DESC LIMIT 1
) AS last ON true
LEFT JOIN LATERAL (
    SELECT nullif(body -> 'crew', 'null') AS crew, nullif(body -> 'case', 'null') AS case_code
    FROM rules WHERE rules.rule_id = al.rule_id AND scope = 'city'
    ORDER BY version DESC LIMIT 1
) AS r ON true
WHERE e.episode_key = %(episode_key)s;
