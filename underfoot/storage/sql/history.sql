-- name: reports
-- purpose: stored reports of some devices in a span of event time, with nothing null, as binary arrays take them
SELECT device_key, ts, received_at, digest, quality, coalesce(seq, {no_seq}){fields}
FROM {table} WHERE ts >= %(since)s AND ts < %(until)s AND device_key = ANY(%(device_keys)s::int[]);

-- name: note_late
-- purpose: devices of which late reports have come, each since when its past is to be judged again
INSERT INTO late_windows AS w (device_key, shard, since)
SELECT device_key, %(shard)s, 'epoch'::timestamptz + since_us * interval '1 microsecond'
FROM unnest(%(device_keys)s::int[], %(since_us)s::bigint[]) AS r (device_key, since_us)
ORDER BY device_key
ON CONFLICT (device_key) DO UPDATE SET
    shard = EXCLUDED.shard, since = least(w.since, EXCLUDED.since), last_at = EXCLUDED.last_at;

-- name: adopt_late
-- purpose: late windows of devices that have moved to this shard
UPDATE late_windows w SET shard = d.shard FROM devices d
WHERE d.device_key = w.device_key AND d.shard = %(shard)s AND w.shard <> d.shard;

-- name: to_replay
-- purpose: devices whose past is to be judged again now: nothing late comes any more, or has come for long enough
SELECT w.device_key, w.since FROM late_windows w JOIN devices d ON d.device_key = w.device_key AND d.shard = w.shard
WHERE w.shard = %(shard)s
    AND (w.last_at <= clock_timestamp() - make_interval(secs => %(settle_s)s)
        OR w.first_at <= clock_timestamp() - make_interval(secs => %(at_most_s)s))
ORDER BY w.first_at LIMIT %(most)s;

-- name: replayed
-- purpose: devices whose past has been judged again by itself; the city looks at it together with that of others
WITH done AS (DELETE FROM late_windows WHERE device_key = ANY(%(device_keys)s) RETURNING device_key, since)
INSERT INTO late_past AS p (device_key, since) SELECT device_key, since FROM done ORDER BY device_key
ON CONFLICT (device_key) DO UPDATE SET since = least(p.since, EXCLUDED.since), noted_at = EXCLUDED.noted_at;

-- name: note_behind
-- purpose: devices whose reports have come in their order, but long after they were true: the city judged without them
INSERT INTO late_past AS p (device_key, since)
SELECT device_key, 'epoch'::timestamptz + since_us * interval '1 microsecond'
FROM unnest(%(device_keys)s::int[], %(since_us)s::bigint[]) AS r (device_key, since_us)
ORDER BY device_key
ON CONFLICT (device_key) DO UPDATE SET since = least(p.since, EXCLUDED.since), noted_at = EXCLUDED.noted_at;

-- name: judged_since
-- purpose: since when each rule has been judged as it is now; one that is as it was first shipped, always
SELECT rule_id, max(created_at) FILTER (WHERE NOT (version = 1 AND created_by = 'shipped'))
FROM rules WHERE rule_id = ANY(%(rule_ids)s) GROUP BY rule_id;

-- name: baseline_since
-- purpose: since when a device has had the baseline that it has now; null: always
SELECT max(a.at) FROM audit a JOIN devices d ON d.device_id = a.subject
WHERE d.device_key = %(device_key)s AND a.action = 'device.baseline';

-- name: record_of
-- purpose: episodes of some subjects that were open at a time or later, by their rows or as corrected, with their severities over time
SELECT al.subject_key, al.rule_id, e.episode, e.raised_at, e.cleared_at, e.clear_reason, e.cleared_received_at, e.proof,
    c.verdict, ce.raised_at, ce.cleared_at, ce.worst_severity, c.proof -> 'levels',
    array(
        SELECT jsonb_build_array(t.event_at, t.severity) FROM transitions t
        WHERE t.alarm_key = e.alarm_key AND t.episode = e.episode AND t.region = 'condition' AND t.severity > 0
            AND t.to_state <> 'normal' AND t.transition_no > coalesce(CASE WHEN c.verdict <> 'missed' THEN c.transition_no END, 0)
        ORDER BY t.transition_no
    )
FROM alarms al
JOIN episodes e USING (alarm_key)
LEFT JOIN corrected_episodes ce USING (episode_key)
LEFT JOIN LATERAL (
    SELECT * FROM corrections c WHERE c.alarm_key = e.alarm_key AND c.episode = e.episode
    ORDER BY c.correction_key DESC LIMIT 1
) c ON true
WHERE al.subject_kind = %(kind)s AND al.subject_key = ANY(%(keys)s::bigint[]) AND al.rule_id = ANY(%(rule_ids)s)
    AND (e.cleared_at IS NULL OR greatest(e.cleared_at, ce.cleared_at) >= %(since)s)
ORDER BY al.subject_key, al.rule_id, e.episode;

-- name: add_corrections
-- purpose: what late data has shown of episodes on record
INSERT INTO corrections (alarm_key, episode, transition_no, verdict, raised_at, cleared_at, worst_severity, proof)
SELECT alarm_key, episode, transition_no, verdict, raised_at, cleared_at, worst_severity, proof
FROM jsonb_to_recordset(%(rows)s) AS r (
    alarm_key bigint, episode int, transition_no int, verdict text, raised_at timestamptz, cleared_at timestamptz,
    worst_severity smallint, proof jsonb
);

-- name: devices
-- purpose: devices of a family to try a rule on, with what rules ask of the ledger
SELECT d.device_key, d.device_id, d.expected_interval_s,
    CASE WHEN f.fill IS NULL THEN d.baseline ELSE d.baseline || jsonb_build_object('fill_at_rim', f.fill) END,
    a.area_code, a.tags, a.name, a.address
FROM devices d
JOIN assets a USING (asset_key)
LEFT JOIN fill_at_rim f ON f.asset_key = d.asset_key AND d.family = 'pipe'
WHERE d.family = %(family)s
    AND (%(areas)s::text[] IS NULL OR a.area_code = ANY(%(areas)s::text[]))
    AND (%(units)s::text[] IS NULL OR a.maintenance_unit = ANY(%(units)s::text[]))
    AND (%(device_id)s::text IS NULL OR d.device_id = %(device_id)s)
ORDER BY d.device_key;

-- name: recorded_in
-- purpose: what was on record of devices in a span, and what people found of it
SELECT al.subject_key::int, al.rule_id, e.raised_at, e.cleared_at,
    coalesce(e.confirmed, CASE WHEN e.human = 'acknowledged' AND e.clear_reason IS DISTINCT FROM 'closed_by_hand' THEN true END)
FROM alarms al JOIN episodes e USING (alarm_key)
WHERE al.subject_kind = 'device' AND al.subject_key = ANY(%(device_keys)s::bigint[])
    AND e.raised_at < %(until)s AND coalesce(e.cleared_at, 'infinity') >= %(since)s
ORDER BY e.raised_at, e.episode_key;

-- name: believe_silence
-- purpose: until when a device's silence has been taken for proof
INSERT INTO silences AS s (device_key, until)
SELECT device_key, 'epoch'::timestamptz + until_us * interval '1 microsecond'
FROM unnest(%(device_keys)s::int[], %(until_us)s::bigint[]) AS r (device_key, until_us) ORDER BY device_key
ON CONFLICT (device_key) DO UPDATE SET until = greatest(s.until, EXCLUDED.until);

-- name: forget_silence
-- purpose: silences so long ago that no report is trusted to be older
DELETE FROM silences WHERE until < our_now() - interval '8 days';

-- name: silences
-- purpose: until when the silence of each of a shard's devices has been taken for proof
SELECT s.device_key, s.until FROM silences s JOIN devices d USING (device_key) WHERE d.shard = %(shard)s;
