-- name: newest_step
-- purpose: up to which step of a case there is anything to send
SELECT max(case_step_key) FROM case_steps;

-- name: writers
-- purpose: the transactions that may have written steps and are not over; each holds this lock from before a row has its number
SELECT virtualtransaction FROM pg_locks
WHERE locktype = 'relation' AND relation = 'case_steps'::regclass AND mode = 'RowExclusiveLock' AND granted
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) AND pid IS DISTINCT FROM pg_backend_pid();

-- name: sinks
-- purpose: upward links in use, with how far their streams have come, and whether they may be asked just now
SELECT s.sink_key, s.name, s.config, s.min_severity, s.failures,
    coalesce(extract(epoch FROM s.open_until - now()), 0)::float8 AS rests_s,
    u.step_key, u.next_day, u.stopped_at
FROM sinks s LEFT JOIN upward_streams u USING (sink_key)
WHERE s.enabled AND s.audience = 'upward' AND s.channel = 'platform'
ORDER BY s.sink_key;

-- name: begin
-- purpose: a stream begins with what happens from now on
INSERT INTO upward_streams (sink_key, began_at, step_key, next_day)
SELECT %(sink_key)s, %(now)s, coalesce(max(case_step_key), 0), %(today)s FROM case_steps
ON CONFLICT DO NOTHING;

-- name: next_step
-- purpose: the next step of a case that is told upward: where it began, moved, became overdue or was put under supervision; of alarms that are bad enough
SELECT st.case_step_key, st.case_key, st.step_no, st.from_state, st.to_state, st.event, st.at, st.received_at, st.actor, st.cause,
    st.note, e.episode_key, i.installation_id,
    jsonb_build_object(
        'case_key', c.case_key, 'again', c.again, 'type', c.case_type, 'code', c.code, 'code_scheme', c.code_scheme,
        'code_name', c.code_name, 'condition_name', c.condition_name, 'level', c.level, 'state', st.to_state,
        'ended_how', CASE WHEN c.ended_at <= st.at THEN c.ended_how END, 'arrive_by', c.arrive_by, 'repair_by', c.repair_by,
        'arrive_kind', c.arrive_kind, 'arrive_amount', c.arrive_amount, 'repair_kind', c.repair_kind, 'repair_amount', c.repair_amount,
        'supervised', c.supervised, 'rework', c.rework,
        'platform_no', c.platform_no
    ) AS case
FROM case_steps st
JOIN cases c USING (case_key)
JOIN episodes e ON e.alarm_key = c.alarm_key AND e.episode = c.episode
CROSS JOIN installation i
WHERE st.case_step_key > %(after)s AND st.case_step_key <= %(upto)s AND c.filed_at IS NOT NULL
    AND (st.from_state IS DISTINCT FROM st.to_state
        OR (st.event IN ('overdue_arrive', 'overdue_repair', 'supervised') AND NOT st.detail ? 'unmoved'))
    AND e.worst_severity >= %(min_severity)s
ORDER BY st.case_step_key LIMIT 1;

-- name: installation
-- purpose: whose stream it is
SELECT installation_id::text FROM installation;

-- name: advance
-- purpose: the stream goes on, if nobody has moved it meanwhile
UPDATE upward_streams SET step_key = %(step_key)s, next_day = %(next_day)s, sent = sent + %(sent)s,
    sent_at = CASE WHEN %(sent)s > 0 THEN %(now)s ELSE sent_at END, error = NULL, stopped_at = NULL
WHERE sink_key = %(sink_key)s AND step_key = %(was_step)s AND next_day = %(was_day)s;

-- name: stop
-- purpose: an item was refused for good: nothing more is sent until somebody decides
UPDATE upward_streams SET stopped_at = %(now)s, error = %(error)s
WHERE sink_key = %(sink_key)s AND step_key = %(was_step)s AND next_day = %(was_day)s;

-- name: note_error
-- purpose: why the stream waits
UPDATE upward_streams SET error = %(error)s WHERE sink_key = %(sink_key)s;

-- name: resume
-- purpose: try the item again that was refused
UPDATE upward_streams u SET stopped_at = NULL FROM sinks s
WHERE s.sink_key = u.sink_key AND s.sink_key = %(sink_key)s AND u.stopped_at IS NOT NULL
RETURNING u.sink_key;

-- name: set_aside
-- purpose: keep what somebody decided not to send
INSERT INTO upward_set_aside (sink_key, item, push_id, body, error, reason, actor, at)
VALUES (%(sink_key)s, %(item)s, %(push_id)s, %(body)s, %(error)s, %(reason)s, %(actor)s, %(now)s);

-- name: rewind
-- purpose: a stream begins again at a day: what happened from then on is sent anew, under the same keys
UPDATE upward_streams SET
    step_key = coalesce((SELECT max(case_step_key) FROM case_steps WHERE received_at < %(begin)s), 0),
    next_day = %(day)s, stopped_at = NULL, error = NULL
WHERE sink_key = %(sink_key)s
RETURNING step_key;

-- name: status
-- purpose: upward links for the eye: how far, how much is left, what is wrong, what was set aside
SELECT s.sink_key, s.name, s.enabled, s.config, s.min_severity, s.failures, s.last_error, s.open_until, u.began_at, u.step_key, u.next_day, u.sent, u.sent_at,
    u.stopped_at, u.error, waiting.steps, waiting.oldest_at,
    (SELECT count(*) FROM upward_set_aside a WHERE a.sink_key = s.sink_key) AS set_aside
FROM sinks s
LEFT JOIN upward_streams u USING (sink_key)
LEFT JOIN LATERAL (
    SELECT count(*) AS steps, min(st.received_at) AS oldest_at
    FROM case_steps st JOIN cases c USING (case_key) JOIN episodes e ON e.alarm_key = c.alarm_key AND e.episode = c.episode
    WHERE st.case_step_key > u.step_key AND c.filed_at IS NOT NULL AND e.worst_severity >= s.min_severity
        AND (st.from_state IS DISTINCT FROM st.to_state
            OR (st.event IN ('overdue_arrive', 'overdue_repair', 'supervised') AND NOT st.detail ? 'unmoved'))
) AS waiting ON true
WHERE s.audience = 'upward' AND (%(name)s::text IS NULL OR s.name = %(name)s)
ORDER BY s.name;
