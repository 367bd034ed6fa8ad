-- name: lock
-- purpose: cases as far as their life goes, held for this transaction
SELECT case_key, alarm_key, episode, step_no, state, filed_at, known_state, known_at, arrived_at, handled_at, ended_at, ended_how,
    end_confirmed, condition_over_at, false_alarm_at, rework, supervised, suspended_since, suspended_s, needs_person, level,
    arrive_by, repair_by, arrive_overdue_at, repair_overdue_at, sink_key, platform_no, duplicate_of, merged_into,
    arrive_kind, arrive_amount, repair_kind, repair_amount, suspension_stops,
    EXISTS (SELECT FROM cases n WHERE n.alarm_key = cases.alarm_key AND n.episode = cases.episode AND n.again > cases.again) AS refiled
FROM cases WHERE case_key = ANY(%(case_keys)s)
ORDER BY case_key FOR NO KEY UPDATE;

-- name: put
-- purpose: cases as they are after their steps
UPDATE cases c SET
    step_no = r.step_no, state = r.state, filed_at = r.filed_at, known_state = r.known_state, known_at = r.known_at,
    arrived_at = r.arrived_at, handled_at = r.handled_at, ended_at = r.ended_at, ended_how = r.ended_how,
    end_confirmed = r.end_confirmed, condition_over_at = r.condition_over_at, false_alarm_at = r.false_alarm_at,
    rework = r.rework, supervised = r.supervised, suspended_since = r.suspended_since, suspended_s = r.suspended_s,
    needs_person = r.needs_person, level = r.level,
    arrive_by = r.arrive_by, arrive_kind = r.arrive_kind, arrive_amount = r.arrive_amount,
    repair_by = r.repair_by, repair_kind = r.repair_kind, repair_amount = r.repair_amount,
    arrive_overdue_at = r.arrive_overdue_at, repair_overdue_at = r.repair_overdue_at,
    sink_key = r.sink_key, platform_no = r.platform_no, duplicate_of = r.duplicate_of, merged_into = r.merged_into
FROM jsonb_to_recordset(%(rows)s) AS r (
    case_key bigint, step_no int, state text, filed_at timestamptz, known_state text, known_at timestamptz,
    arrived_at timestamptz, handled_at timestamptz, ended_at timestamptz, ended_how text, end_confirmed boolean,
    condition_over_at timestamptz, false_alarm_at timestamptz, rework int, supervised boolean, suspended_since timestamptz,
    suspended_s double precision, needs_person text, level smallint, arrive_by timestamptz, arrive_kind text,
    arrive_amount double precision, repair_by timestamptz, repair_kind text, repair_amount double precision,
    arrive_overdue_at timestamptz, repair_overdue_at timestamptz, sink_key int, platform_no text, duplicate_of text,
    merged_into bigint
)
WHERE c.case_key = r.case_key;

-- name: add_steps
-- purpose: lines of the cases' record, which nothing changes afterwards; a trigger enters them in the audit log
INSERT INTO case_steps (case_key, step_no, from_state, to_state, event, at, actor, cause, note, detail)
SELECT case_key, step_no, from_state, to_state, event, at, actor, cause, note, detail
FROM jsonb_to_recordset(%(rows)s) AS r (
    case_key bigint, step_no int, from_state text, to_state text, event text, at timestamptz, actor text, cause text,
    note text, detail jsonb
)
ORDER BY case_key, step_no;

-- name: stamp
-- purpose: what the book of 立案条件 was read from: no version of a rule is ever removed, and the calendar has a count of its own
SELECT count(*) || '/' || coalesce(max(created_at)::text, '') || '/' || coalesce((SELECT version FROM calendar_version), 0) FROM rules;

-- name: about
-- purpose: what it takes to file alarms: their newest cases, where they are, an earlier case that is not over, an incident's members
SELECT al.alarm_key, w.episode, al.subject_kind, coalesce(d.device_id, ''), coalesce(a.area_code, al.area_code, ''),
    coalesce(a.tags, '{}'), a.kind, a.code_scheme,
    -- With the worst severity that the platform was told of in it, or that somebody looked at.
    (SELECT to_jsonb(c) || jsonb_build_object('severity', (
            SELECT coalesce(max((s.detail ->> 'severity')::int), 0) FROM case_steps s
            WHERE s.case_key = c.case_key AND NOT s.detail ? 'unmoved'
        ))
        FROM cases c WHERE c.alarm_key = al.alarm_key AND c.episode = w.episode ORDER BY again DESC LIMIT 1),
    (SELECT c.case_key FROM cases c WHERE c.alarm_key = al.alarm_key AND c.episode < w.episode AND c.ended_at IS NULL
        ORDER BY c.episode DESC LIMIT 1),
    CASE WHEN al.subject_kind = 'incident' THEN (
        SELECT jsonb_agg(jsonb_build_array(m.rule_id, m.worst)) FROM (
            SELECT mal.rule_id, max(me.worst_severity) AS worst
            FROM incident_members im
            JOIN alarms mal ON mal.alarm_key = im.alarm_key
            JOIN episodes me ON me.alarm_key = im.alarm_key AND me.episode = im.episode
            WHERE im.incident_key = al.subject_key GROUP BY 1
        ) m
    ) END,
    (SELECT count(*) || '/' || coalesce(max(created_at)::text, '') || '/' || coalesce((SELECT version FROM calendar_version), 0) FROM rules)
FROM unnest(%(alarm_keys)s::bigint[], %(episodes)s::int[]) AS w (alarm_key, episode)
JOIN alarms al USING (alarm_key)
LEFT JOIN devices d ON d.device_key = al.device_key
LEFT JOIN assets a ON a.asset_key = al.asset_key;

-- name: open
-- purpose: new cases with the first line of their record
WITH given AS (
    SELECT * FROM jsonb_to_recordset(%(rows)s) AS r (
        alarm_key bigint, episode int, again smallint, filing_id text, filing_version int, code_scheme text, case_type text,
        code text, code_name text, condition_name text, level smallint, state text, opened_at timestamptz,
        filed_at timestamptz, needs_person text, arrive_kind text, arrive_amount double precision, arrive_by timestamptz,
        repair_kind text, repair_amount double precision, repair_by timestamptz, suspension_stops jsonb, follows bigint,
        actor text, cause text, note text, detail jsonb
    )
),
opened AS (
    INSERT INTO cases (
        alarm_key, episode, again, filing_id, filing_version, code_scheme, case_type, code, code_name, condition_name, level,
        state, step_no, opened_at, filed_at, needs_person, arrive_kind, arrive_amount, arrive_by, repair_kind, repair_amount,
        repair_by, suspension_stops, follows
    )
    SELECT alarm_key, episode, again, filing_id, filing_version, code_scheme, case_type, code, code_name, condition_name, level,
        state, 1, opened_at, filed_at, needs_person, arrive_kind, arrive_amount, arrive_by, repair_kind, repair_amount,
        repair_by, ARRAY(SELECT jsonb_array_elements_text(suspension_stops)), follows
    FROM given
    RETURNING case_key, alarm_key, episode
),
stepped AS (
    INSERT INTO case_steps (case_key, step_no, from_state, to_state, event, at, actor, cause, note, detail)
    SELECT o.case_key, 1, NULL, g.state, 'opened', g.opened_at, g.actor, g.cause, g.note, g.detail
    FROM opened o JOIN given g USING (alarm_key, episode)
)
SELECT case_key, alarm_key, episode FROM opened;

-- name: alarms_of
-- purpose: whose cases these are
SELECT case_key, alarm_key FROM cases WHERE case_key = ANY(%(case_keys)s);

-- name: newest_beside
-- purpose: of the episode that a case is about, its key, and how its newest case ended, with whether that goes on in an incident's
SELECT e.episode_key, c.episode, n.case_key, n.state, n.ended_at IS NULL AS open, n.false_alarm_at IS NOT NULL AS judged_false,
    m.case_key IS NOT NULL AND m.ended_at IS NULL AS in_incident
FROM cases c
JOIN episodes e ON e.alarm_key = c.alarm_key AND e.episode = c.episode
JOIN LATERAL (
    SELECT * FROM cases n WHERE n.alarm_key = c.alarm_key AND n.episode = c.episode ORDER BY n.again DESC LIMIT 1
) AS n ON true
LEFT JOIN cases m ON m.case_key = n.merged_into
WHERE c.case_key = %(case_key)s;

-- name: of_episode
-- purpose: the newest case of an episode
SELECT c.case_key FROM episodes e JOIN cases c USING (alarm_key, episode)
WHERE e.episode_key = %(episode_key)s ORDER BY c.again DESC LIMIT 1;

-- name: shown
-- purpose: what a notice about an act on a case says of it
SELECT to_jsonb(c), m.alarm_key || '-' || m.episode || CASE WHEN m.again > 0 THEN '-' || m.again ELSE '' END, c.duplicate_of
FROM cases c LEFT JOIN cases m ON m.case_key = c.merged_into
WHERE c.case_key = ANY(%(case_keys)s);

-- name: run_out
-- purpose: clocks that have run out and are not marked yet, the longest first
(SELECT case_key, 'arrive' AS clock, arrive_by AS by FROM cases
WHERE ended_at IS NULL AND arrived_at IS NULL AND arrive_overdue_at IS NULL AND arrive_by < %(now)s AND filed_at IS NOT NULL
    AND NOT (suspended_since IS NOT NULL AND 'arrive' = ANY(suspension_stops))
ORDER BY arrive_by LIMIT %(limit)s)
UNION ALL
(SELECT case_key, 'repair', repair_by FROM cases
WHERE ended_at IS NULL AND handled_at IS NULL AND repair_overdue_at IS NULL AND repair_by < %(now)s AND filed_at IS NOT NULL
    AND NOT (suspended_since IS NOT NULL AND 'repair' = ANY(suspension_stops))
ORDER BY repair_by LIMIT %(limit)s);

-- name: to_merge
-- purpose: cases, nobody yet on the way, of alarms that an incident with a case of its own tells; red ones stand alone
SELECT c.case_key, c.alarm_key, ic.case_key
FROM cases ic
JOIN alarms ial ON ial.alarm_key = ic.alarm_key AND ial.subject_kind = 'incident'
JOIN incident_members m ON m.incident_key = ial.subject_key AND m.left_at IS NULL AND NOT m.alone
JOIN cases c ON c.alarm_key = m.alarm_key AND c.episode = m.episode AND c.ended_at IS NULL
JOIN episodes e ON e.alarm_key = c.alarm_key AND e.episode = c.episode
WHERE ic.ended_at IS NULL AND ic.filed_at IS NOT NULL AND c.filed_at IS NOT NULL AND e.severity < 4
    AND c.state = ANY(%(before_dispatch)s) AND (%(alarm_keys)s::bigint[] IS NULL OR c.alarm_key = ANY(%(alarm_keys)s))
ORDER BY c.case_key LIMIT %(limit)s;

-- name: at_desk
-- purpose: cases for who types, the newest first, with the alarm that each is about and where
SELECT c.*, e.episode_key, e.title, e.severity, a.name AS asset_name, a.address, a.maintenance_unit, al.area_code
FROM cases c
JOIN alarms al USING (alarm_key)
JOIN episodes e ON e.alarm_key = c.alarm_key AND e.episode = c.episode
LEFT JOIN assets a ON a.asset_key = al.asset_key
WHERE (%(case_key)s::bigint IS NULL OR c.case_key = %(case_key)s)
    AND (%(open)s::boolean IS NULL OR (c.ended_at IS NULL) = %(open)s)
    AND (NOT %(needs_person)s::boolean OR c.needs_person IS NOT NULL)
    AND (NOT %(overdue)s::boolean OR c.arrive_overdue_at IS NOT NULL OR c.repair_overdue_at IS NOT NULL)
    AND (%(area)s::text IS NULL OR starts_with(al.area_code, %(area)s))
    AND (%(unit)s::text IS NULL OR a.maintenance_unit = %(unit)s)
    AND (%(filing)s::text IS NULL OR c.filing_id = %(filing)s)
ORDER BY c.opened_at DESC, c.case_key DESC
LIMIT %(limit)s;
