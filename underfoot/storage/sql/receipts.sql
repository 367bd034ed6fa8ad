-- name: received
-- purpose: what platforms have taken of cases by these receipts; returned are the cases that are theirs, or numbered, only since now
WITH taken AS (
    SELECT DISTINCT ON (c.case_key, o.sink_key)
        c.case_key, o.sink_key, r.platform_no, o.settled_at AS at, c.sink_key AS case_sink, c.platform_no AS case_no
    FROM unnest(%(delivery_keys)s::bigint[], %(numbers)s::text[]) AS r (delivery_key, platform_no)
    JOIN outbox o USING (delivery_key)
    JOIN sinks s ON s.sink_key = o.sink_key AND s.audience = 'platform'
    JOIN LATERAL (
        SELECT * FROM cases c WHERE c.alarm_key = o.alarm_key AND c.episode = o.episode
        ORDER BY c.case_key = (o.snapshot #>> '{case,case_key}')::bigint DESC NULLS LAST, c.again DESC LIMIT 1
    ) AS c ON true
    ORDER BY c.case_key, o.sink_key, r.platform_no IS NULL, o.transition_no DESC
),
kept AS (
    INSERT INTO case_reported AS known (case_key, sink_key, platform_no, reported_at, told_at)
    SELECT case_key, sink_key, platform_no, at, at FROM taken ORDER BY case_key, sink_key
    ON CONFLICT (case_key, sink_key) DO UPDATE SET
        platform_no = coalesce(excluded.platform_no, known.platform_no), told_at = greatest(known.told_at, excluded.told_at)
)
SELECT case_key, sink_key, coalesce(platform_no, case_no) AS platform_no, at
FROM taken
WHERE case_sink IS NULL OR (case_sink = sink_key AND platform_no IS DISTINCT FROM case_no AND platform_no IS NOT NULL)
ORDER BY case_key;

-- name: waiting
-- purpose: cases that wait for a platform beyond patience, or for a person, in some areas and units, the worst and oldest first
WITH patience AS (
    SELECT * FROM jsonb_to_recordset(%(patience)s) AS p (kind text, severity smallint, wait interval)
),
found AS (
    SELECT 'no_receipt' AS why, c.case_key, s.name AS sink, o.owed_since AS since, o.last_error AS detail
    FROM sinks s
    JOIN outbox o ON o.sink_key = s.sink_key AND o.state IN ('owed', 'dead') AND o.notice IN ('raise', 'change')
        AND o.alternate_of IS NULL
    JOIN patience p ON p.kind = 'receipt' AND p.severity = o.severity AND o.owed_since <= %(now)s::timestamptz - p.wait
    JOIN cases c ON c.alarm_key = o.alarm_key AND c.episode = o.episode AND c.ended_at IS NULL
    WHERE s.audience = 'platform' AND s.enabled
    UNION ALL
    SELECT 'no_callback', c.case_key, s.name, r.reported_at, NULL
    FROM sinks s
    JOIN case_reported r ON r.sink_key = s.sink_key AND r.unheard
    JOIN cases c ON c.case_key = r.case_key AND c.ended_at IS NULL
    JOIN episodes e ON e.alarm_key = c.alarm_key AND e.episode = c.episode
    JOIN patience p ON p.kind = 'callback' AND p.severity = e.worst_severity AND r.reported_at <= %(now)s::timestamptz - p.wait
    WHERE s.audience = 'platform' AND s.enabled AND s.config #> '{callbacks,signer}' IS NOT NULL
    UNION ALL
    SELECT c.needs_person, c.case_key, s.name, coalesce(last.at, c.opened_at), NULL
    FROM cases c
    LEFT JOIN sinks s ON s.sink_key = c.sink_key
    LEFT JOIN LATERAL (
        SELECT st.at FROM case_steps st WHERE st.case_key = c.case_key ORDER BY st.step_no DESC LIMIT 1
    ) AS last ON true
    WHERE c.needs_person IS NOT NULL
)
SELECT
    f.why, f.case_key, f.sink, f.since, f.detail, c.platform_no, c.state, c.condition_name, e.episode_key, e.title,
    e.worst_severity AS severity, coalesce(a.name, '') AS asset, coalesce(a.address, '') AS address,
    coalesce(a.maintenance_unit, '') AS unit, told.told, told.told_at
FROM found f
JOIN cases c USING (case_key)
JOIN alarms al ON al.alarm_key = c.alarm_key
JOIN episodes e ON e.alarm_key = c.alarm_key AND e.episode = c.episode
LEFT JOIN assets a ON a.asset_key = al.asset_key
LEFT JOIN LATERAL (
    -- Who was told to telephone: that sink's last complaint is one call for all that wait for it. Or to look at this case.
    SELECT x.told, x.told_at FROM escalations x
    WHERE x.cause = CASE f.why WHEN 'no_callback' THEN f.sink || '/callback' WHEN 'no_receipt' THEN f.sink
        ELSE '/case/' || f.case_key END
    ORDER BY x.told_at DESC LIMIT 1
) AS told ON true
WHERE (%(areas)s::text[] IS NULL OR EXISTS (
        SELECT FROM unnest(%(areas)s::text[]) AS area WHERE starts_with(coalesce(a.area_code, al.area_code, ''), area)))
    AND (%(units)s::text[] IS NULL OR a.maintenance_unit = ANY(%(units)s::text[]))
ORDER BY e.worst_severity DESC, f.since, f.case_key, f.why
LIMIT %(limit)s;

-- name: without_callback
-- purpose: for each platform that calls back and has not been complained of lately, the worst and oldest case of which it has said nothing since its receipt
WITH patience AS (
    SELECT * FROM jsonb_to_recordset(%(patience)s) AS p (severity smallint, wait interval)
)
SELECT s.name AS sink, o.alarm_key, o.episode, o.severity, o.reported_at AS owed_since, o.waiting, o.area_code
FROM sinks s
CROSS JOIN LATERAL (
    SELECT c.alarm_key, c.episode, e.severity, r.reported_at, al.area_code, count(*) OVER () AS waiting
    FROM case_reported r
    JOIN cases c ON c.case_key = r.case_key AND c.ended_at IS NULL
    JOIN episodes e ON e.alarm_key = c.alarm_key AND e.episode = c.episode AND e.cleared_at IS NULL
    JOIN alarms al ON al.alarm_key = c.alarm_key AND al.suppressed = '{}'
    JOIN patience p ON p.severity = e.severity AND r.reported_at <= %(now)s::timestamptz - p.wait
    WHERE r.sink_key = s.sink_key AND r.unheard AND NOT EXISTS (
        SELECT FROM escalations x
        WHERE x.alarm_key = c.alarm_key AND x.episode = c.episode AND x.cause = s.name || '/callback'
            AND x.waiting_since = r.reported_at
    )
    ORDER BY e.severity DESC, r.reported_at, c.case_key
    LIMIT 1
) AS o
WHERE s.enabled AND s.audience = 'platform' AND s.config #> '{callbacks,signer}' IS NOT NULL AND NOT EXISTS (
    SELECT FROM escalations x JOIN patience p ON p.severity = o.severity
    WHERE x.cause = s.name || '/callback' AND x.severity >= o.severity
        AND x.told_at BETWEEN %(now)s::timestamptz - p.wait AND %(now)s
)
ORDER BY s.name;
