-- name: sinks
-- purpose: sinks in use that may be told of an alarm by what they are for
SELECT sink_key, name, audience, min_severity, maintenance_unit, owner_unit, area_code
FROM sinks WHERE enabled AND audience IN ('crew', 'platform')
ORDER BY sink_key;

-- name: concerned
-- purpose: whose these alarms are; an incident concerns whomever anything concerns that it has had, by the worst of it
SELECT al.alarm_key, coalesce(a.maintenance_unit, ''), coalesce(a.owner_unit, ''), coalesce(a.area_code, al.area_code), NULL::int
FROM alarms al LEFT JOIN assets a ON a.asset_key = al.asset_key
WHERE al.alarm_key = ANY(%(alarm_keys)s) AND al.subject_kind <> 'incident'
UNION ALL
SELECT al.alarm_key, coalesce(a.maintenance_unit, ''), coalesce(a.owner_unit, ''), coalesce(a.area_code, mal.area_code),
    max(e.worst_severity)
FROM alarms al
JOIN incident_members m ON m.incident_key = al.subject_key
JOIN episodes e ON e.alarm_key = m.alarm_key AND e.episode = m.episode
JOIN alarms mal ON mal.alarm_key = m.alarm_key
LEFT JOIN assets a ON a.asset_key = mal.asset_key
WHERE al.alarm_key = ANY(%(alarm_keys)s) AND al.subject_kind = 'incident'
GROUP BY 1, 2, 3, 4;

-- name: lineages
-- purpose: these areas, each with those above it, the nearest first
WITH RECURSIVE above AS (
    SELECT code AS area, code, parent_code, 0 AS far FROM areas WHERE code = ANY(%(codes)s::text[])
    UNION ALL
    SELECT above.area, a.code, a.parent_code, above.far + 1 FROM above JOIN areas a ON a.code = above.parent_code
    WHERE above.far < 12
)
SELECT area, array_agg(code ORDER BY far) FROM above GROUP BY area;

-- name: add_unrouted
-- purpose: raises of which somebody was to be told, and there was nobody
INSERT INTO unrouted (alarm_key, episode, area_code)
SELECT r.alarm_key, r.episode, al.area_code
FROM jsonb_to_recordset(%(rows)s) AS r (alarm_key bigint, episode int) JOIN alarms al USING (alarm_key)
ON CONFLICT DO NOTHING;

-- name: drop_unrouted
-- purpose: nobody need be told any more of what is over or acknowledged, or somebody has been
DELETE FROM unrouted u
WHERE u.alarm_key = ANY(%(alarm_keys)s) OR NOT EXISTS (
    SELECT FROM episodes e
    WHERE e.alarm_key = u.alarm_key AND e.episode = u.episode AND e.cleared_at IS NULL AND e.human = 'unacknowledged'
);

-- name: unrouted
-- purpose: raises that found nobody and are open: what is suppressed meanwhile is told when that ends
SELECT u.alarm_key, u.episode, u.area_code, e.worst_severity,
    coalesce((
        SELECT nullif(r.body -> 'case', 'null') IS NOT NULL FROM rules r WHERE r.rule_id = al.rule_id AND r.scope = 'city'
        ORDER BY r.version DESC LIMIT 1
    ), false) AS has_case
FROM unrouted u
JOIN alarms al ON al.alarm_key = u.alarm_key
JOIN episodes e ON e.alarm_key = u.alarm_key AND e.episode = u.episode
WHERE al.suppressed = '{}'
ORDER BY u.alarm_key LIMIT %(limit)s;

-- name: nobody_open
-- purpose: areas of which it is an alarm that somebody could not be told
SELECT al.subject_key FROM alarms al JOIN episodes e ON e.alarm_key = al.alarm_key AND e.cleared_at IS NULL
WHERE al.rule_id = 'duty.nobody';

-- name: told_of
-- purpose: crews and people on duty who were told of these episodes, or may have been
SELECT DISTINCT o.alarm_key, o.episode, o.sink_key
FROM unnest(%(alarm_keys)s::bigint[], %(episodes)s::int[]) AS w (alarm_key, episode)
JOIN outbox o USING (alarm_key, episode)
JOIN sinks s ON s.sink_key = o.sink_key AND s.enabled AND s.audience IN ('crew', 'duty')
WHERE (o.state = 'delivered' OR o.maybe_told) AND o.notice IN ('raise', 'change');

-- name: case_news
-- purpose: steps of cases that are news to whoever is responsible, or for which a person must look, and have not been told
-- Not far back: what is committed late has a number not far below the newest that was told.
WITH begins AS (SELECT coalesce(max(n.case_step_key), 0) - 10000 AS key FROM case_news n)
SELECT news.*, c.alarm_key, c.episode, al.area_code,
    CASE news.event WHEN 'overdue_arrive' THEN c.arrive_by WHEN 'overdue_repair' THEN c.repair_by END AS by
FROM (
    SELECT s.case_step_key, s.case_key, s.event, s.to_state, s.at, s.note,
        CASE WHEN s.event IN ('overdue_arrive', 'overdue_repair', 'supervised') THEN s.event
            WHEN s.to_state = 'check_not_pass' THEN 'rework'
            WHEN e.cleared_at IS NULL AND c.false_alarm_at IS NULL THEN 'closed_while_open' ELSE 'closed' END AS what
    FROM case_steps s
    JOIN cases c USING (case_key)
    JOIN episodes e ON e.alarm_key = c.alarm_key AND e.episode = c.episode
    WHERE s.case_step_key > (SELECT key FROM begins)
        AND (s.event IN ('overdue_arrive', 'overdue_repair', 'supervised')
            OR (s.to_state IN ('check_not_pass', 'closed', 'forced_close') AND s.from_state IS DISTINCT FROM s.to_state))
        AND NOT s.detail ? 'unmoved' AND coalesce((s.detail ->> 'on')::boolean, true)
        -- Where the platform has nothing to do with it, nobody was sent by it.
        AND (c.ended_how IS NULL OR c.ended_how IN ('closed', 'forced_close'))
        -- What was mended a moment ago: its sensor is about to say so.
        AND NOT (s.to_state IN ('closed', 'forced_close') AND e.cleared_at IS NULL AND e.condition = 'clearing')
    UNION ALL
    -- What was settled meanwhile need not be told.
    SELECT s.case_step_key, s.case_key, s.event, s.to_state, s.at, s.note,
        CASE s.event WHEN 'no_false_alarm' THEN s.event ELSE c.needs_person END
    FROM cases c
    JOIN episodes e ON e.alarm_key = c.alarm_key AND e.episode = c.episode
    CROSS JOIN LATERAL (
        SELECT * FROM case_steps s
        WHERE s.case_key = c.case_key AND NOT s.detail ? 'unmoved' AND CASE s.event
            WHEN 'needs_person' THEN s.detail ->> 'why' = c.needs_person
            WHEN 'no_false_alarm' THEN c.needs_person = 'closed_while_open'
            ELSE c.needs_person IN ('not_accepted', 'closed_while_open')
                AND s.to_state IN ('not_accepted', 'cancelled', 'closed', 'forced_close') AND s.from_state IS DISTINCT FROM s.to_state
        END
        ORDER BY s.step_no DESC LIMIT 1
    ) AS s
    WHERE c.needs_person IN ('not_accepted', 'closed_while_open', 'not_on_platform', 'goes_on_there', 'worse_after_false_alarm')
        AND s.case_step_key > (SELECT key FROM begins)
        AND (s.event IN ('needs_person', 'no_false_alarm')
            OR (s.to_state IN ('not_accepted', 'cancelled') AND e.condition <> 'clearing'))
) AS news
JOIN cases c USING (case_key)
JOIN alarms al USING (alarm_key)
WHERE NOT EXISTS (SELECT FROM case_news n WHERE n.case_step_key = news.case_step_key)
ORDER BY news.case_step_key LIMIT %(limit)s;

-- name: note_case_news
-- purpose: these steps have been told
INSERT INTO case_news (case_step_key) SELECT unnest(%(case_step_keys)s::bigint[]) ON CONFLICT DO NOTHING;

-- name: explained
-- purpose: an episode by its number, with whose it is and what its rule says of crews and the platform
SELECT e.episode_key, e.alarm_key, e.episode, e.title, e.severity, e.worst_severity, e.cleared_at IS NOT NULL AS over,
    e.human, al.suppressed, al.subject_kind, coalesce(a.name, '') AS asset, coalesce(a.address, '') AS address,
    coalesce(ar.name, '') AS area,
    nullif(r.body -> 'crew', 'null') IS NOT NULL AS has_crew, nullif(r.body -> 'case', 'null') IS NOT NULL AS has_case
FROM episodes e
JOIN alarms al USING (alarm_key)
LEFT JOIN assets a ON a.asset_key = al.asset_key
LEFT JOIN areas ar ON ar.code = coalesce(a.area_code, al.area_code)
LEFT JOIN LATERAL (
    SELECT body FROM rules WHERE rules.rule_id = al.rule_id AND scope = 'city' ORDER BY version DESC LIMIT 1
) r ON true
WHERE e.episode_key = %(episode_key)s;

-- name: told_so_far
-- purpose: what of an episode is on record with whom: told, waiting, not told and why
SELECT s.name AS sink, s.audience, o.notice, o.severity, o.state, o.verdict, o.settled_at, o.next_attempt_at, o.told_with,
    (SELECT count(*) FROM outbox w WHERE w.told_with = o.told_with) AS together
FROM outbox o JOIN sinks s USING (sink_key)
WHERE o.alarm_key = %(alarm_key)s AND o.episode = %(episode)s
ORDER BY o.delivery_key;
