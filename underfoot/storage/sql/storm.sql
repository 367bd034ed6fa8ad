-- name: rule_version
-- purpose: the storm rule's newest version, whatever its scope
SELECT max(version) FROM rules WHERE rule_id = %(rule_id)s;

-- name: watch
-- purpose: raises since then by district, its flood, and whether anything of a flood is there; nothing: all is calm
WITH raised AS (
    SELECT area_code, count(*)::int AS raised FROM operator_raises WHERE committed_at > %(since)s GROUP BY area_code
),
active AS (
    SELECT area_code FROM floods WHERE ended_at IS NULL
    UNION
    SELECT area_code FROM incidents WHERE ended_at IS NULL AND kind = 'storm'
    UNION
    SELECT district_of(al.area_code) FROM suppressions s JOIN alarms al USING (alarm_key)
    WHERE s.ended_at IS NULL AND starts_with(s.cause, 'flood:')
)
SELECT ar.code, ar.name, coalesce(r.raised, 0), a.area_code IS NOT NULL, f.began_at, f.peak
FROM raised r FULL JOIN active a USING (area_code)
JOIN areas ar ON ar.code = coalesce(r.area_code, a.area_code)
LEFT JOIN floods f ON f.area_code = ar.code AND f.ended_at IS NULL
ORDER BY ar.code;

-- name: raises_since
-- purpose: how many raises have reached a district's operator since then
SELECT count(*) FROM operator_raises WHERE committed_at > %(since)s AND area_code = %(area_code)s;

-- name: begin_flood
-- purpose: a district is in alarm flood from now on
INSERT INTO floods (area_code, began_at, peak) VALUES (%(area_code)s, %(now)s, %(peak)s);

-- name: raise_peak
-- purpose: more raises in one window than any window of this flood had
UPDATE floods SET peak = %(peak)s WHERE area_code = %(area_code)s AND ended_at IS NULL;

-- name: end_flood
-- purpose: a district's alarm flood is over
UPDATE floods SET ended_at = %(now)s WHERE area_code = %(area_code)s AND ended_at IS NULL;

-- name: gate
-- purpose: of alarms that are being raised, their districts, whether these are in flood, and else how many raises reached their operators lately
WITH given AS (
    SELECT alarm_key, district_of(area_code) AS area_code FROM alarms WHERE alarm_key = ANY(%(alarm_keys)s)
),
districts AS (
    SELECT d.area_code, f.flood_key IS NOT NULL AS in_flood,
        CASE WHEN f.flood_key IS NULL THEN (
            SELECT count(*) FROM operator_raises o
            WHERE o.committed_at > our_clock() - make_interval(secs => %(window_s)s) AND o.area_code = d.area_code
        ) ELSE 0 END AS reached
    FROM (SELECT DISTINCT area_code FROM given) d
    LEFT JOIN floods f ON f.area_code = d.area_code AND f.ended_at IS NULL
)
SELECT g.alarm_key, g.area_code, d.in_flood, d.reached, our_clock()
FROM given g JOIN districts d USING (area_code)
WHERE g.area_code IS NOT NULL;

-- name: open_alarms
-- purpose: the open alarms of these rules in these districts, each with its place and the incident it is in
SELECT al.alarm_key, e.episode, al.rule_id, e.severity, e.withheld, al.suppressed, al.asset_key, al.area_code,
    district_of(al.area_code) AS district, a.lon, a.lat, m.incident_key, m.alone
FROM episodes e
JOIN alarms al USING (alarm_key)
LEFT JOIN assets a ON a.asset_key = al.asset_key
LEFT JOIN incident_members m ON m.alarm_key = e.alarm_key AND m.episode = e.episode AND m.left_at IS NULL
WHERE e.cleared_at IS NULL AND al.rule_id = ANY(%(rule_ids)s) AND district_of(al.area_code) = ANY(%(districts)s)
ORDER BY e.raised_at, e.episode_key;

-- name: held
-- purpose: alarms in these districts that are held until an incident has them
SELECT s.alarm_key, s.cause FROM suppressions s JOIN alarms al USING (alarm_key)
WHERE s.ended_at IS NULL AND s.cause = ANY(%(causes)s)
ORDER BY s.alarm_key;

-- name: open_incidents
-- purpose: the storm incidents of these districts that are not over
SELECT incident_key, area_code, catchment, catchment_name, title, began_at, told_at, told
FROM incidents WHERE ended_at IS NULL AND kind = 'storm' AND area_code = ANY(%(districts)s)
ORDER BY incident_key;

-- name: begin_incident
-- purpose: a catchment's alarms are told as one from now on
INSERT INTO incidents (kind, area_code, catchment, catchment_name, title, began_at)
VALUES ('storm', %(area_code)s, %(catchment)s, %(name)s, %(title)s, %(now)s)
RETURNING incident_key, area_code, catchment, catchment_name, title, began_at, told_at, told;

-- name: end_incident
-- purpose: an incident is over
UPDATE incidents SET ended_at = %(now)s WHERE incident_key = %(incident_key)s;

-- name: note_told
-- purpose: what was told of an incident, and when
UPDATE incidents SET told_at = %(now)s, told = %(told)s WHERE incident_key = %(incident_key)s;

-- name: open_now
-- purpose: the open episodes of locked alarms, and how severe they are
SELECT alarm_key, episode, severity FROM episodes WHERE alarm_key = ANY(%(alarm_keys)s) AND cleared_at IS NULL;

-- name: join
-- purpose: episodes that an incident has from now on
INSERT INTO incident_members (incident_key, alarm_key, episode, joined_at, alone)
SELECT incident_key, alarm_key, episode, %(now)s, alone
FROM jsonb_to_recordset(%(rows)s) AS r (incident_key bigint, alarm_key bigint, episode int, alone boolean);

-- name: stand_alone
-- purpose: members that have become red are told by themselves from now on
UPDATE incident_members SET alone = true WHERE alarm_key = ANY(%(alarm_keys)s) AND left_at IS NULL;

-- name: cleared_members
-- purpose: members whose episode is over
SELECT m.incident_key, m.alarm_key FROM incident_members m
JOIN episodes e ON e.alarm_key = m.alarm_key AND e.episode = m.episode
WHERE m.left_at IS NULL AND e.cleared_at IS NOT NULL
ORDER BY m.incident_key, m.alarm_key;

-- name: leave
-- purpose: members that leave
UPDATE incident_members SET left_at = %(now)s, left_because = r.because
FROM jsonb_to_recordset(%(rows)s) AS r (alarm_key bigint, because text)
WHERE incident_members.alarm_key = r.alarm_key AND incident_members.left_at IS NULL;

-- name: told_since
-- purpose: how many members of a district's incidents have been told as they left, since then
SELECT count(*) FROM incident_members m JOIN incidents i USING (incident_key)
WHERE m.left_because = 'told' AND m.left_at > %(since)s AND i.area_code = %(area_code)s;

-- name: area_names
-- purpose: the names of these areas
SELECT code, name FROM areas WHERE code = ANY(%(codes)s);

-- name: members
-- purpose: an incident's episodes that are open: those that it has now, or (`ever`) all that it has ever had
SELECT DISTINCT ON (m.alarm_key, m.episode)
    m.alarm_key, m.episode, al.rule_id, e.title, e.severity, e.human = 'acknowledged', e.raised_at, al.family, al.device_key,
    coalesce(t.proof, e.proof), coalesce(a.address, ''), coalesce(a.name, ''), coalesce(a.asset_code, ''),
    coalesce(d.device_id, ''), coalesce(ar.name, ''), a.lon, a.lat
FROM incident_members m
JOIN episodes e ON e.alarm_key = m.alarm_key AND e.episode = m.episode AND e.cleared_at IS NULL
JOIN alarms al ON al.alarm_key = m.alarm_key
LEFT JOIN devices d ON d.device_key = al.device_key
LEFT JOIN assets a ON a.asset_key = al.asset_key
LEFT JOIN areas ar ON ar.code = district_of(al.area_code)
LEFT JOIN LATERAL (
    -- What last proved its severity.
    SELECT proof FROM transitions t
    WHERE t.alarm_key = m.alarm_key AND t.episode = m.episode AND t.region = 'condition' AND t.to_state = 'active'
    ORDER BY t.transition_no DESC LIMIT 1
) t ON true
WHERE m.incident_key = %(incident_key)s AND (m.left_at IS NULL OR %(ever)s)
ORDER BY m.alarm_key, m.episode;

-- name: timeline
-- purpose: how many episodes of an incident (of these alarms only, where it is said) began in each five minutes
SELECT date_bin('5 minutes', e.raised_at, '2000-01-01'::timestamptz) AS at, count(*)::int AS raised
FROM (SELECT DISTINCT alarm_key, episode FROM incident_members WHERE incident_key = %(incident_key)s
    AND (%(only)s::bigint[] IS NULL OR alarm_key = ANY(%(only)s))) m
JOIN episodes e USING (alarm_key, episode)
GROUP BY 1 ORDER BY 1;

-- name: latest_values
-- purpose: the newest values of these devices
SELECT device_key, ts, "values" FROM device_latest WHERE device_key = ANY(%(device_keys)s);

-- name: value_before
-- purpose: the first value of one device in the quarter of an hour before its newest report
SELECT {field} FROM {reports}
WHERE device_key = %(device_key)s AND ts >= %(ts)s - interval '15 minutes' AND ts < %(ts)s AND {field} IS NOT NULL
ORDER BY ts LIMIT 1;

-- name: incident
-- purpose: one incident of any kind
SELECT i.incident_key, i.kind, i.area_code, ar.name, i.catchment, i.catchment_name, i.title, i.began_at, i.ended_at
FROM incidents i JOIN areas ar ON ar.code = i.area_code
WHERE i.incident_key = %(incident_key)s;

-- name: listed
-- purpose: incidents for the eye, newest first
SELECT i.incident_key, i.kind, i.area_code, ar.name AS area, i.title, i.began_at, i.ended_at, n.total, n.open, n.red
FROM incidents i JOIN areas ar ON ar.code = i.area_code
CROSS JOIN LATERAL (
    SELECT count(*) AS total, count(*) FILTER (WHERE e.cleared_at IS NULL) AS open,
        count(*) FILTER (WHERE e.worst_severity = 4) AS red
    FROM (SELECT DISTINCT alarm_key, episode FROM incident_members m WHERE m.incident_key = i.incident_key) m
    JOIN episodes e USING (alarm_key, episode)
) n
WHERE %(all)s OR i.ended_at IS NULL
ORDER BY i.began_at DESC, i.incident_key DESC
LIMIT %(limit)s;

-- name: reported_members
-- purpose: every episode that an incident has had: when it came, who answered when, and when anybody was told
SELECT m.alarm_key, m.episode, e.episode_key, al.rule_id, e.title, e.worst_severity, al.family, al.device_key,
    coalesce(d.device_id, '') AS device_id, coalesce(a.address, '') AS address, coalesce(a.name, '') AS name,
    coalesce(a.asset_code, '') AS asset_code, coalesce(a.maintenance_unit, '') AS unit, ar.name AS area_name, a.lon, a.lat,
    m.joined_at, m.alone, e.raised_at, e.cleared_at, h.acknowledged_at, t.delivered_at, p.proof, p.worst
FROM (
    SELECT alarm_key, episode, min(joined_at) AS joined_at, bool_or(alone) AS alone
    FROM incident_members WHERE incident_key = %(incident_key)s GROUP BY 1, 2
) m
JOIN episodes e USING (alarm_key, episode)
JOIN alarms al USING (alarm_key)
LEFT JOIN devices d ON d.device_key = al.device_key
LEFT JOIN assets a ON a.asset_key = al.asset_key
LEFT JOIN areas ar ON ar.code = district_of(al.area_code)
LEFT JOIN LATERAL (
    SELECT min(t.event_at) AS acknowledged_at FROM transitions t
    WHERE t.alarm_key = m.alarm_key AND t.episode = m.episode AND t.region = 'human' AND t.to_state = 'acknowledged'
) h ON true
LEFT JOIN LATERAL (
    SELECT min(o.settled_at) AS delivered_at FROM outbox o
    WHERE o.alarm_key = m.alarm_key AND o.episode = m.episode AND o.state = 'delivered'
) t ON true
CROSS JOIN LATERAL (
    -- The worst that is on record of it: retention deletes reports, not this.
    SELECT coalesce(first.proof, e.proof) AS proof, CASE
        WHEN (e.proof ->> 'value')::float8 < (e.proof ->> 'limit')::float8 THEN first.low ELSE first.high END AS worst
    FROM (
        SELECT (array_agg(t.proof ORDER BY t.transition_no))[1] AS proof,
            min((t.proof ->> 'value')::float8) AS low, max((t.proof ->> 'value')::float8) AS high
        FROM transitions t
        WHERE t.alarm_key = m.alarm_key AND t.episode = m.episode AND t.region = 'condition' AND t.proof ? 'value'
    ) first
) p
ORDER BY e.worst_severity DESC, e.raised_at, e.episode_key;

-- name: peaks
-- purpose: the worst reading of each of these devices in its time
SELECT g.alarm_key, g.episode, CASE WHEN g.sign < 0 THEN min(r.{field}) ELSE max(r.{field}) END AS worst
FROM unnest(%(alarm_keys)s::bigint[], %(episodes)s::int[], %(device_keys)s::int[], %(signs)s::int[],
    %(since)s::timestamptz[], %(until)s::timestamptz[]) AS g (alarm_key, episode, device_key, sign, since, until)
JOIN {reports} r ON r.device_key = g.device_key AND r.ts BETWEEN g.since AND g.until
GROUP BY g.alarm_key, g.episode, g.sign;

-- name: flood_peak
-- purpose: most raises in one window of the floods that a district was in meanwhile
SELECT max(peak) FROM floods
WHERE area_code = %(area_code)s AND began_at <= %(until)s AND coalesce(ended_at, 'infinity') >= %(since)s;
