-- name: in_force
-- purpose: what suppresses these locked alarms, in the order in which it began
SELECT alarm_key, suppression_key, kind, cause, severity, until, reason
FROM suppressions WHERE alarm_key = ANY(%(alarm_keys)s) AND ended_at IS NULL
ORDER BY suppression_key;

-- name: last_severities
-- purpose: how severe the last episode of these alarms was
SELECT DISTINCT ON (alarm_key) alarm_key, severity
FROM episodes WHERE alarm_key = ANY(%(alarm_keys)s) ORDER BY alarm_key, episode DESC;

-- name: begin
-- purpose: suppressions of locked alarms that begin
INSERT INTO suppressions (alarm_key, kind, cause, since, until, severity, reason, actor)
SELECT alarm_key, kind, cause, since, until, severity, reason, actor
FROM jsonb_to_recordset(%(rows)s) AS r (
    alarm_key bigint, kind text, cause text, since timestamptz, until timestamptz, severity smallint, reason text, actor text
);

-- name: prolong
-- purpose: suppressions of locked alarms that go on until another time
UPDATE suppressions SET until = r.until
FROM jsonb_to_recordset(%(rows)s) AS r (suppression_key bigint, until timestamptz)
WHERE suppressions.suppression_key = r.suppression_key;

-- name: end
-- purpose: suppressions of locked alarms that end
UPDATE suppressions SET ended_at = r.ended_at, ended_by = r.ended_by, end_reason = r.end_reason
FROM jsonb_to_recordset(%(rows)s) AS r (suppression_key bigint, ended_at timestamptz, ended_by text, end_reason text)
WHERE suppressions.suppression_key = r.suppression_key;

-- name: suppressed_by
-- purpose: the alarms that one cause suppresses
SELECT DISTINCT alarm_key FROM suppressions WHERE cause = %(cause)s AND kind = %(kind)s AND ended_at IS NULL;

-- name: expired
-- purpose: some of the suppressions whose time is over, the longest over first
SELECT alarm_key, kind FROM suppressions
WHERE ended_at IS NULL AND until <= %(now)s
ORDER BY until, suppression_key LIMIT %(most)s;

-- name: shown_now
-- purpose: what a notice of the present state says beside the episode: what last proved it, and whom its rule is for
SELECT al.alarm_key, t.proof, r.crew, r.case_code
FROM alarms al
LEFT JOIN LATERAL (
    SELECT t.proof FROM transitions t
    WHERE t.alarm_key = al.alarm_key AND t.episode = al.episode AND t.region = 'condition' AND t.to_state = 'active'
    ORDER BY t.transition_no DESC LIMIT 1
) t ON true
LEFT JOIN LATERAL (
    SELECT nullif(body -> 'crew', 'null') AS crew, nullif(body -> 'case', 'null') AS case_code
    FROM rules WHERE rules.rule_id = al.rule_id AND scope = 'city'
    ORDER BY version DESC LIMIT 1
) r ON true
WHERE al.alarm_key = ANY(%(alarm_keys)s);
