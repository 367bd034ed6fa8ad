-- name: calendar_days
-- purpose: the days that the city has said itself
SELECT day, kind, name, source FROM calendar_days ORDER BY day;

-- name: forget_years
-- purpose: what the city had said of these years, before it says it anew
DELETE FROM calendar_days WHERE extract(year FROM day)::int = ANY(%(years)s::int[]);

-- name: put_calendar_days
-- purpose: days that the city says itself
INSERT INTO calendar_days (day, kind, name, source)
SELECT day, kind, name, source FROM jsonb_to_recordset(%(rows)s) AS r (day date, kind text, name text, source text);

-- name: plan
-- purpose: the whole roster, as its models read it
SELECT
    (SELECT coalesce(jsonb_agg(to_jsonb(p) ORDER BY p.place), '[]') FROM duty_people p) AS people,
    (SELECT coalesce(jsonb_agg(to_jsonb(s) ORDER BY s.place), '[]') FROM duty_shifts s) AS shifts,
    (SELECT coalesce(jsonb_agg(to_jsonb(a) ORDER BY a.assignment_key), '[]') FROM duty_assignments a) AS assignments,
    (SELECT coalesce(jsonb_agg(to_jsonb(b) ORDER BY b.absence_key), '[]') FROM duty_absences b) AS absences,
    (SELECT coalesce(jsonb_agg(to_jsonb(w) ORDER BY w.day, w.swap_key), '[]') FROM duty_swaps w) AS swaps;

-- name: lock_plan
-- purpose: one writer of the roster at a time; readers go on
LOCK TABLE duty_people IN SHARE ROW EXCLUSIVE MODE;

-- name: drop_swaps
-- purpose: the roster is written anew: swaps
DELETE FROM duty_swaps;

-- name: drop_absences
-- purpose: the roster is written anew: absences
DELETE FROM duty_absences;

-- name: drop_assignments
-- purpose: the roster is written anew: assignments
DELETE FROM duty_assignments;

-- name: drop_shifts
-- purpose: the roster is written anew: shifts
DELETE FROM duty_shifts;

-- name: drop_people
-- purpose: the roster is written anew: people
DELETE FROM duty_people;

-- name: put_people
-- purpose: the people of the roster, in its order
INSERT INTO duty_people (name, place, phone, role, unit, areas, sink, feishu, quiet)
SELECT name, place, phone, role, unit, ARRAY(SELECT jsonb_array_elements_text(areas)), sink, feishu, quiet
FROM jsonb_to_recordset(%(rows)s) AS r (
    name text, place int, phone text, role text, unit text, areas jsonb, sink text, feishu text, quiet jsonb
);

-- name: put_shifts
-- purpose: the shifts of the roster, in its order
INSERT INTO duty_shifts (name, place, begins, ends, days)
SELECT name, place, begins, ends, ARRAY(SELECT jsonb_array_elements_text(days))
FROM jsonb_to_recordset(%(rows)s) AS r (name text, place int, begins time, ends time, days jsonb);

-- name: put_assignments
-- purpose: the assignments of the roster, in its order
INSERT INTO duty_assignments (shift, level, areas, turns, turn_days, first_day, last_day)
SELECT shift, level, ARRAY(SELECT jsonb_array_elements_text(areas)), turns, turn_days, first_day, last_day
FROM jsonb_to_recordset(%(rows)s) AS r (
    shift text, place int, level smallint, areas jsonb, turns jsonb, turn_days int, first_day date, last_day date
)
ORDER BY place;

-- name: put_absences
-- purpose: the absences of the roster
INSERT INTO duty_absences (person, since, until, stand_in, reason)
SELECT person, since, until, stand_in, reason
FROM jsonb_to_recordset(%(rows)s) AS r (person text, since timestamptz, until timestamptz, stand_in text, reason text);

-- name: put_swaps
-- purpose: the swaps of the roster
INSERT INTO duty_swaps (day, shift, person, stand_in)
SELECT day, shift, person, stand_in
FROM jsonb_to_recordset(%(rows)s) AS r (day date, shift text, person text, stand_in text);

-- name: area_parents
-- purpose: the area above each area, for who covers what
SELECT code, parent_code FROM areas WHERE parent_code IS NOT NULL;

-- name: area_names
-- purpose: the names of these areas
SELECT code, name FROM areas WHERE code = ANY(%(codes)s::text[]);

-- name: duty_sinks
-- purpose: sinks by which people on duty can be told
SELECT name, sink_key, min_severity FROM sinks WHERE audience = 'duty' AND enabled;

-- name: has_roster
-- purpose: whether the city has a roster at all
SELECT EXISTS (SELECT 1 FROM duty_assignments);

-- name: add_note
-- purpose: what one shift writes down for the next
INSERT INTO duty_notes (at, actor, area_code, text) VALUES (%(at)s, %(actor)s, %(area)s, %(text)s)
RETURNING note_key, at, actor, area_code, text;

-- name: clock
-- purpose: the clock that stamps the record: by it people are waited for
SELECT our_clock();

-- name: changed
-- purpose: alarms that nobody has acknowledged and that have changed, or the ladder has, or the clock was set back, since escalation last looked at them
SELECT al.alarm_key FROM episodes e
JOIN alarms al USING (alarm_key)
LEFT JOIN escalation_clocks c USING (alarm_key)
WHERE e.cleared_at IS NULL AND e.human = 'unacknowledged' AND al.suppressed = '{}'
    AND (c.alarm_key IS NULL OR c.transition_no <> al.transition_no OR c.ladder <> %(ladder)s OR c.reckoned_at > %(latest)s)
ORDER BY al.alarm_key
LIMIT %(limit)s;

-- name: waiting
-- purpose: of these alarms, those that nobody has acknowledged: since when, how severe they have been since, who was told, and whose sink has not taken it yet
SELECT al.alarm_key, al.transition_no, e.episode, e.severity, since.at AS since,
    CASE WHEN coalesce(since.transition_no, 0) <= clock.transition_no THEN clock.since END AS reckoned_since,
    changes.listed AS changes, told.listed AS told, owed.listed AS owed,
    al.area_code, coalesce(d.device_id, '') AS device_id, coalesce(a.tags, '{}') AS tags
FROM alarms al
JOIN episodes e ON e.alarm_key = al.alarm_key AND e.cleared_at IS NULL AND e.human = 'unacknowledged'
LEFT JOIN devices d ON d.device_key = al.device_key
LEFT JOIN assets a ON a.asset_key = al.asset_key
LEFT JOIN escalation_clocks clock ON clock.alarm_key = al.alarm_key
CROSS JOIN LATERAL (
    -- From its raising, from when it was to be acknowledged again, or from the end of its last suppression.
    SELECT greatest(e.committed_at, max(t.committed_at)) AS at, max(t.transition_no) AS transition_no FROM transitions t
    WHERE t.alarm_key = e.alarm_key AND t.episode = e.episode AND (
        (t.region = 'human' AND t.from_state = 'acknowledged' AND t.to_state = 'unacknowledged')
        OR (t.region = 'suppression' AND t.to_state = 'none'))
) AS since
CROSS JOIN LATERAL (
    SELECT coalesce(jsonb_agg(jsonb_build_array(c.committed_at, c.severity) ORDER BY c.transition_no), '[]') AS listed FROM (
        SELECT t.transition_no, t.committed_at, t.severity, lag(t.severity) OVER (ORDER BY t.transition_no) AS before
        FROM transitions t
        WHERE t.alarm_key = e.alarm_key AND t.episode = e.episode AND t.region = 'condition' AND t.severity > 0
    ) c WHERE c.severity IS DISTINCT FROM c.before
) AS changes
CROSS JOIN LATERAL (
    SELECT coalesce(jsonb_agg(
        jsonb_build_object('level', x.level, 'told', x.told, 'at', x.told_at, 'again', x.cause <> '')
        ORDER BY x.escalation_key), '[]') AS listed
    FROM escalations x
    WHERE x.alarm_key = e.alarm_key AND x.episode = e.episode AND (
        (x.cause = '' AND x.waiting_since = since.at)
        OR (x.cause = %(again)s AND x.escalation_key > (
            SELECT min(first.escalation_key) FROM escalations first
            WHERE first.alarm_key = e.alarm_key AND first.episode = e.episode AND first.cause = '' AND first.waiting_since = since.at))
    )
) AS told
CROSS JOIN LATERAL (
    SELECT coalesce(array_agg(o.sink_key), '{}') AS listed FROM outbox o
    WHERE o.alarm_key = e.alarm_key AND o.episode = e.episode AND o.notice = 'escalate' AND o.state = 'owed'
) AS owed
WHERE al.alarm_key = ANY(%(alarm_keys)s) AND al.suppressed = '{}';

-- name: put_clocks
-- purpose: when the next level's turn comes
INSERT INTO escalation_clocks (alarm_key, transition_no, ladder, due_at, since, reckoned_at)
SELECT alarm_key, transition_no, %(ladder)s, due_at, since, %(now)s
FROM jsonb_to_recordset(%(rows)s) AS r (alarm_key bigint, transition_no int, due_at timestamptz, since timestamptz)
ON CONFLICT (alarm_key) DO UPDATE SET
    transition_no = EXCLUDED.transition_no, ladder = EXCLUDED.ladder, due_at = EXCLUDED.due_at, since = EXCLUDED.since,
    reckoned_at = EXCLUDED.reckoned_at;

-- name: drop_clocks
-- purpose: what is over, acknowledged or suppressed waits for nobody any more
DELETE FROM escalation_clocks c
WHERE NOT EXISTS (
    SELECT FROM episodes e JOIN alarms al USING (alarm_key)
    WHERE e.alarm_key = c.alarm_key AND e.cleared_at IS NULL AND e.human = 'unacknowledged' AND al.suppressed = '{}'
);

-- name: drop_all_clocks
-- purpose: without a roster, or without the rule, nobody is waited for
DELETE FROM escalation_clocks;

-- name: due
-- purpose: alarms for which a level's turn has come, the longest due first
SELECT alarm_key FROM escalation_clocks WHERE due_at <= %(now)s ORDER BY due_at, alarm_key LIMIT %(limit)s;

-- name: add_escalations
-- purpose: whose turn it was, and who was told; a turn that has been stays as it was
INSERT INTO escalations (alarm_key, episode, cause, waiting_since, level, severity, told_at, told, transition_no)
SELECT alarm_key, episode, cause, waiting_since, level, severity, told_at, told, transition_no
FROM jsonb_to_recordset(%(rows)s) AS r (
    alarm_key bigint, episode int, cause text, waiting_since timestamptz, level smallint, severity smallint,
    told_at timestamptz, told jsonb, transition_no int
);

-- name: uncovered
-- purpose: areas in which a level was found without anybody to tell, by the alarm's open episode
SELECT al.subject_key, coalesce((e.proof ->> 'level')::int, 1) AS level
FROM alarms al JOIN episodes e ON e.alarm_key = al.alarm_key AND e.cleared_at IS NULL
WHERE al.rule_id = 'duty.uncovered';

-- name: top_area
-- purpose: the area of what has none: the highest there is
SELECT code FROM areas ORDER BY (parent_code IS NOT NULL), length(code), code LIMIT 1;

-- name: look_for_receipts
-- purpose: take the turn to look for deliveries without a receipt; no row: it was done a moment ago
UPDATE engines SET state = jsonb_build_object('looked_at', %(now)s::timestamptz)
WHERE name = 'duty'
    AND NOT coalesce((state ->> 'looked_at')::timestamptz BETWEEN %(now)s::timestamptz - %(every)s::interval AND %(now)s, false)
RETURNING name;

-- name: without_receipt
-- purpose: for each platform and crew sink that has not been complained of lately, the worst and oldest delivery of an open alarm that it has not taken in time
WITH patience AS (
    SELECT * FROM jsonb_to_recordset(%(patience)s) AS p (severity smallint, wait interval)
)
SELECT s.name AS sink, o.delivery_key, o.alarm_key, o.episode, o.severity, o.owed_since, o.waiting, o.area_code
FROM sinks s
CROSS JOIN LATERAL (
    SELECT d.delivery_key, d.alarm_key, d.episode, d.severity, d.owed_since, al.area_code, count(*) OVER () AS waiting
    FROM episodes e
    JOIN alarms al ON al.alarm_key = e.alarm_key AND al.suppressed = '{}'
    JOIN outbox d ON d.alarm_key = e.alarm_key AND d.episode = e.episode AND d.sink_key = s.sink_key
        AND d.state IN ('owed', 'dead') AND d.notice IN ('raise', 'change') AND d.alternate_of IS NULL
        AND d.verdict IS DISTINCT FROM 'wait_for_quiet'
    JOIN patience p ON p.severity = d.severity AND d.owed_since <= %(now)s::timestamptz - p.wait
    WHERE e.cleared_at IS NULL AND NOT EXISTS (
        SELECT FROM escalations x
        WHERE x.alarm_key = d.alarm_key AND x.episode = d.episode AND x.cause = s.name AND x.waiting_since = d.owed_since
    )
    ORDER BY d.severity DESC, d.owed_since, d.delivery_key
    LIMIT 1
) AS o
WHERE s.enabled AND s.audience <> 'duty' AND NOT EXISTS (
    SELECT FROM escalations x JOIN patience p ON p.severity = o.severity
    WHERE x.cause = s.name AND x.severity >= o.severity
        AND x.told_at BETWEEN %(now)s::timestamptz - p.wait AND %(now)s
)
ORDER BY s.name;
