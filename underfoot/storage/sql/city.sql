-- name: raise_epoch
-- purpose: by who has just taken the lock of alerts: what others still do under an earlier epoch is void
UPDATE engines SET epoch = epoch + 1 WHERE name = 'city' RETURNING epoch;

-- name: check_epoch
-- purpose: nothing where another has taken over; else the row stays as it is until this transaction ends
SELECT state FROM engines WHERE name = 'city' AND epoch = %(epoch)s FOR SHARE;

-- name: note_steps
-- purpose: how often each step ran and failed, and how long it took, for whoever exports it
UPDATE engines SET state = state || jsonb_build_object('steps', %(steps)s::jsonb) WHERE name = 'city';

-- name: rules_stamp
-- purpose: changes whenever a rule does: to parse the rules only then
SELECT count(*), max(created_at), count(*) FILTER (WHERE withdrawn) FROM rules;

-- name: load_conditions
-- purpose: what these rules remember, and whether each one's alarm is still open: it may have been closed by hand
SELECT c.subject_kind, c.subject_key, c.rule_id, c.state, EXISTS (
    SELECT 1 FROM alarms al JOIN episodes e USING (alarm_key)
    WHERE al.subject_kind = c.subject_kind AND al.subject_key = c.subject_key AND al.rule_id = c.rule_id
        AND e.cleared_at IS NULL
)
FROM conditions c WHERE c.shard = 'city' AND c.rule_id = ANY(%(rule_ids)s);

-- name: conditions_of_others
-- purpose: what is remembered of rules that are no longer in force
SELECT subject_kind, subject_key, rule_id, state FROM conditions WHERE shard = 'city' AND rule_id <> ALL(%(rule_ids)s);

-- name: put_conditions
-- purpose: what several devices have shown, as far as it is not plainly normal
INSERT INTO conditions (subject_kind, subject_key, rule_id, shard, state, due_at)
SELECT subject_kind, subject_key, rule_id, 'city', state, due_at
FROM jsonb_to_recordset(%(rows)s) AS r (subject_kind text, subject_key bigint, rule_id text, state jsonb, due_at timestamptz)
ON CONFLICT (subject_kind, subject_key, rule_id)
    DO UPDATE SET shard = EXCLUDED.shard, state = EXCLUDED.state, due_at = EXCLUDED.due_at;

-- name: drop_conditions
-- purpose: what is plainly normal again
DELETE FROM conditions c
USING jsonb_to_recordset(%(rows)s) AS r (subject_kind text, subject_key bigint, rule_id text)
WHERE c.shard = 'city' AND c.subject_kind = r.subject_kind AND c.subject_key = r.subject_key AND c.rule_id = r.rule_id;

-- name: caught_up
-- purpose: by shard, until when all that was sent is committed, whichever way it came
SELECT s.shard, least(s.caught_up_to, main.caught_up_to,
    (SELECT min(i.created_at) FROM inbox i WHERE i.consumed_at IS NULL AND i.kind = 'message'))
FROM shards s JOIN shards main ON main.shard = 'main'
WHERE s.caught_up_to IS NOT NULL AND main.caught_up_to IS NOT NULL;

-- name: devices
-- purpose: where these devices are, and who speaks for them
SELECT d.device_key, d.device_id, d.family, d.district, a.area_code, a.tags, d.asset_key, d.gateway_key, d.shard, a.lon, a.lat
FROM devices d JOIN assets a USING (asset_key) WHERE d.device_key = ANY(%(device_keys)s) AND d.status = 'in_service';

-- name: devices_of_family
-- purpose: the devices of a family that are in service, with their places
SELECT d.device_key, d.device_id, d.family, d.district, a.area_code, a.tags, d.asset_key, d.gateway_key, d.shard, a.lon, a.lat
FROM devices d JOIN assets a USING (asset_key) WHERE d.family = %(family)s AND d.status = 'in_service';

-- name: at_assets
-- purpose: the devices of a family at these assets
SELECT asset_key, device_key FROM devices
WHERE asset_key = ANY(%(keys)s) AND family = %(family)s AND status = 'in_service' ORDER BY device_key;

-- name: behind_gateways
-- purpose: the devices of a family behind these gateways
SELECT gateway_key, device_key FROM devices
WHERE gateway_key = ANY(%(keys)s) AND family = %(family)s AND status = 'in_service' ORDER BY device_key;

-- name: latest
-- purpose: the newest values of these devices
SELECT device_key, ts, received_at, {fields} FROM {latest} WHERE device_key = ANY(%(device_keys)s);

-- name: reaching
-- purpose: devices of a family whose newest values may make a rule true
SELECT device_key FROM {latest} WHERE received_at > %(since)s AND ({reaches});

-- name: spans
-- purpose: what a value did over a span up to each device's newest report: first, last, least, most, how often said, since when
SELECT l.device_key, l.ts, l.received_at, s.first, s.last, s.least, s.most, s.said, s.first_at, s.last_at
FROM {latest} l
CROSS JOIN LATERAL (
    SELECT first(r.{field}, r.ts) AS first, last(r.{field}, r.ts) AS last, min(r.{field}) AS least, max(r.{field}) AS most,
        count(*) AS said, min(r.ts) AS first_at, max(r.ts) AS last_at
    FROM {table} r
    WHERE r.device_key = l.device_key AND r.ts > l.ts - make_interval(secs => %(span_s)s) AND r.ts <= l.ts
        AND r.ts > %(oldest)s AND r.{field} IS NOT NULL
) s
WHERE l.device_key = ANY(%(device_keys)s) AND l.received_at > %(since)s AND s.said > 0;

-- name: suppressed_by_design
-- purpose: what one cause explains now
SELECT alarm_key FROM suppressions WHERE cause = %(cause)s AND kind = 'by_design' AND ended_at IS NULL;

-- name: causes_over
-- purpose: alarms that explain others and are not open any more, however they ended
SELECT DISTINCT s.cause FROM suppressions s
WHERE s.ended_at IS NULL AND s.kind = 'by_design' AND starts_with(s.cause, 'alarm:')
    AND NOT EXISTS (
        SELECT 1 FROM episodes e WHERE e.alarm_key = substring(s.cause FROM 7)::bigint AND e.cleared_at IS NULL
    );

-- name: clocks
-- purpose: of these devices, of when their newest reports are and when they came
SELECT device_key, ts, received_at FROM {latest} WHERE device_key = ANY(%(device_keys)s);

-- name: doubted
-- purpose: gauges that were doubted at a moment: an alarm by one of these rules was open
SELECT al.subject_key FROM alarms al JOIN corrected_episodes e USING (alarm_key)
WHERE al.rule_id = ANY(%(rule_ids)s) AND al.subject_kind = 'device'
    AND e.raised_at <= %(now)s AND coalesce(e.cleared_at, 'infinity') > %(now)s;

-- name: oldest
-- purpose: how far back the reports of these devices must be read, so that no older chunk is looked into
SELECT min(ts) FROM {latest} WHERE device_key = ANY(%(device_keys)s) AND received_at > %(since)s;

-- name: rainfall
-- purpose: what fell at each gauge in the span up to its newest report, of gauges heard since then
SELECT l.device_key, r.ts, r.amount_mm, r.intensity_mm_h
FROM latest_rain l
JOIN report_rain r ON r.device_key = l.device_key AND r.ts <= l.ts AND r.ts > l.ts - make_interval(secs => %(span_s)s)
WHERE l.device_key = ANY(%(device_keys)s) AND l.received_at > %(since)s
    AND r.ts > %(oldest)s AND (r.amount_mm IS NOT NULL OR r.intensity_mm_h IS NOT NULL)
ORDER BY l.device_key, r.ts;

-- name: districts
-- purpose: the areas whose weather is told apart
SELECT code FROM areas WHERE level = 'district' UNION SELECT district FROM devices WHERE family = 'rain' ORDER BY 1;

-- name: middle
-- purpose: about where a district is: the middle of what the ledger has in it
SELECT avg(lon), avg(lat) FROM assets WHERE starts_with(area_code, %(district)s) AND lon IS NOT NULL;

-- name: weather_now
-- purpose: how each area is
SELECT area_code, state, since FROM area_weather WHERE until IS NULL;

-- name: end_weather
-- purpose: these areas are otherwise from now on
UPDATE area_weather SET until = greatest(%(now)s, since + interval '1 microsecond')
WHERE area_code = ANY(%(areas)s) AND until IS NULL;

-- name: begin_weather
-- purpose: how these areas are from now on
INSERT INTO area_weather (area_code, since, state, gauges, most_mm_1h)
SELECT r.area_code, greatest(%(now)s, (SELECT max(w.until) FROM area_weather w WHERE w.area_code = r.area_code)),
    r.state, r.gauges, r.most_mm_1h
FROM jsonb_to_recordset(%(rows)s) AS r (area_code text, state text, gauges int, most_mm_1h real);

-- name: rained
-- purpose: areas in which it rained at any time since then
SELECT DISTINCT area_code FROM area_weather
WHERE state IN ('wet', 'storm') AND (until IS NULL OR until > %(since)s);

-- name: silent_behind_gateways
-- purpose: of gateways with silent devices, and of these, how many there are and are silent, judged up to when all that was sent is committed
-- As for a device by itself: what waits at the broker or in an inbox may be the report of who seems silent.
SELECT g.gateway_key, g.gateway_id, g.district, count(*), count(*) FILTER (WHERE h.heard
        + make_interval(secs => d.expected_interval_s * %(intervals)s + %(grace_s)s) < u.until), min(u.until)
FROM devices d
JOIN gateways g USING (gateway_key)
LEFT JOIN device_latest l ON l.device_key = d.device_key
JOIN shards s ON s.shard = d.shard
JOIN shards main ON main.shard = 'main'
JOIN shards via ON via.shard = coalesce(CASE WHEN g.district <> d.district THEN shard_of(g.district) END, d.shard)
CROSS JOIN LATERAL (SELECT greatest(l.received_at, d.created_at, s.silence_from) AS heard) h
CROSS JOIN LATERAL (SELECT CASE WHEN s.caught_up_to IS NOT NULL AND main.caught_up_to IS NOT NULL
    AND via.caught_up_to IS NOT NULL THEN least(s.caught_up_to, main.caught_up_to, via.caught_up_to,
        (SELECT min(i.created_at) FROM inbox i WHERE i.consumed_at IS NULL AND i.kind = 'message')) END AS until) u
WHERE d.gateway_key IS NOT NULL AND d.status = 'in_service'
GROUP BY g.gateway_key
HAVING bool_and(u.until IS NOT NULL) AND (g.gateway_key = ANY(%(remembered)s) OR bool_or(h.heard
    + make_interval(secs => d.expected_interval_s * %(intervals)s + %(grace_s)s) < u.until));

-- name: devices_behind
-- purpose: who speaks through these gateways
SELECT gateway_key, device_key, family FROM devices WHERE gateway_key = ANY(%(gateway_keys)s);

-- name: devices_at
-- purpose: which devices are fixed to these assets
SELECT device_key, family FROM devices WHERE asset_key = ANY(%(asset_keys)s) ORDER BY device_key;

-- name: late
-- purpose: some devices whose past late reports have changed, those that have waited longest first
SELECT device_key, since, noted_at FROM late_past ORDER BY noted_at LIMIT %(most)s;

-- name: looked_at
-- purpose: their past has been judged again; not if something else has come late meanwhile, or is just being noted
DELETE FROM late_past WHERE device_key IN (
    SELECT p.device_key
    FROM late_past p JOIN unnest(%(device_keys)s::int[], %(noted_at)s::timestamptz[]) AS l (device_key, noted_at) USING (device_key, noted_at)
    FOR UPDATE OF p SKIP LOCKED
);

-- name: reached
-- purpose: of these devices, those that said what a rule asks in a span of event time, or of whom it has anything on record since then
SELECT device_key FROM unnest(%(device_keys)s::int[]) AS d (device_key)
WHERE EXISTS (
    SELECT FROM {table} r
    WHERE r.device_key = d.device_key AND r.ts >= %(since)s AND r.ts <= %(until)s AND ({reaches})
) OR EXISTS (
    SELECT FROM alarms al JOIN episodes e USING (alarm_key)
    WHERE al.subject_kind = 'device' AND al.subject_key = d.device_key AND al.rule_id = %(rule_id)s
        AND coalesce(e.cleared_at, 'infinity') >= %(open_since)s
) OR EXISTS (
    SELECT FROM conditions c
    WHERE c.shard = 'city' AND c.subject_kind = 'device' AND c.subject_key = d.device_key AND c.rule_id = %(rule_id)s
);

-- name: newest_of
-- purpose: of when the newest reports of these devices are
SELECT device_key, ts FROM device_latest WHERE device_key = ANY(%(device_keys)s);

-- name: asked
-- purpose: what operators are asked since only late reports have shown it, and whom it waits for
SELECT al.subject_kind, al.subject_key, t.proof -> 'waits_for', t.proof ->> 'of_rule'
FROM episodes e
JOIN alarms al USING (alarm_key)
JOIN transitions t ON t.alarm_key = e.alarm_key AND t.episode = e.episode AND t.reason = 'late_hazard'
WHERE al.rule_id = %(rule_id)s AND e.cleared_at IS NULL AND t.proof ? 'waits_for';

-- name: open_now
-- purpose: whether a subject has something open under a rule
SELECT EXISTS (
    SELECT FROM alarms al JOIN episodes e USING (alarm_key)
    WHERE al.subject_kind = %(kind)s AND al.subject_key = %(key)s AND al.rule_id = ANY(%(rule_ids)s) AND e.cleared_at IS NULL
);
