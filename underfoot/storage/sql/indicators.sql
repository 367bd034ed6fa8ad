-- name: online
-- purpose: device hours of a time: installed, online, and taken out for approved maintenance; with how many devices were counted and left out
WITH counted AS (
    SELECT d.device_key, d.status, greatest(%(begin)s::timestamptz, coalesce(d.installed_on::timestamp AT TIME ZONE 'Asia/Shanghai', d.created_at)) AS since
    FROM devices d JOIN assets a USING (asset_key)
    WHERE (%(areas)s::text[] IS NULL OR EXISTS (SELECT FROM unnest(%(areas)s::text[]) AS area WHERE starts_with(a.area_code, area)))
        AND (%(units)s::text[] IS NULL OR a.maintenance_unit = ANY(%(units)s::text[]))
),
installed AS (
    SELECT device_key, tstzrange(since, %(end)s::timestamptz) AS during
    FROM counted WHERE status = 'in_service' AND since < %(end)s
),
silence AS (SELECT DISTINCT rule_id FROM rules WHERE body ->> 'kind' = 'no_data'),
off AS (
    SELECT al.device_key, range_agg(tstzrange(e.raised_at, coalesce(e.cleared_at, 'infinity')) * i.during) AS times
    FROM installed i JOIN alarms al USING (device_key) JOIN silence USING (rule_id) JOIN episodes e USING (alarm_key)
    WHERE e.raised_at < %(end)s AND coalesce(e.cleared_at, 'infinity') > %(begin)s AND coalesce(e.cleared_at, 'infinity') > e.raised_at
    GROUP BY 1
),
maintained AS (
    SELECT al.device_key, range_agg(tstzrange(s.since, coalesce(s.ended_at, 'infinity')) * i.during) AS times
    FROM installed i JOIN alarms al USING (device_key) JOIN silence USING (rule_id) JOIN suppressions s USING (alarm_key)
    WHERE s.kind = 'out_of_service' AND s.since < %(end)s AND coalesce(s.ended_at, 'infinity') > %(begin)s
        AND coalesce(s.ended_at, 'infinity') > s.since
    GROUP BY 1
),
taken_off AS (
    SELECT
        coalesce((SELECT sum(extract(epoch FROM upper(one) - lower(one))) FROM unnest(m.times) AS one), 0) AS maintained_s,
        coalesce((SELECT sum(extract(epoch FROM upper(one) - lower(one)))
            FROM unnest(o.times - coalesce(m.times, '{}'::tstzmultirange)) AS one), 0) AS off_s
    FROM off o FULL JOIN maintained m USING (device_key)
),
whole AS (SELECT count(*) AS devices, coalesce(sum(extract(epoch FROM upper(during) - lower(during))), 0) AS seconds FROM installed)
SELECT
    (whole.seconds - coalesce(sum(t.maintained_s), 0) - coalesce(sum(t.off_s), 0))::float8 / 3600,
    (whole.seconds - coalesce(sum(t.maintained_s), 0))::float8 / 3600,
    coalesce(sum(t.maintained_s), 0)::float8 / 3600,
    whole.devices,
    (SELECT count(*) FROM counted WHERE status = 'maintenance'),
    (SELECT count(*) FROM counted WHERE status = 'retired')
FROM whole LEFT JOIN taken_off t ON true
GROUP BY whole.seconds, whole.devices;

-- name: handled
-- purpose: cases whose repair was due in a time: how many, how many were repaired by its end and by their own deadlines, and how many are not counted, by reason
WITH due AS (
    SELECT c.handled_at, c.repair_by,
        CASE
            WHEN c.ended_how IN ('cancelled', 'not_accepted', 'merged', 'duplicate', 'false_alarm') THEN c.ended_how
            WHEN c.suspended_since IS NOT NULL THEN 'suspended'
        END AS left_out
    FROM cases c JOIN alarms al USING (alarm_key) LEFT JOIN assets a ON a.asset_key = al.asset_key
    WHERE c.repair_by >= %(begin)s AND c.repair_by < %(end)s
        AND (%(areas)s::text[] IS NULL OR EXISTS (
            SELECT FROM unnest(%(areas)s::text[]) AS area WHERE starts_with(coalesce(a.area_code, al.area_code, ''), area)))
        AND (%(units)s::text[] IS NULL OR a.maintenance_unit = ANY(%(units)s::text[]))
)
SELECT
    count(*) FILTER (WHERE left_out IS NULL),
    count(*) FILTER (WHERE left_out IS NULL AND handled_at < %(end)s),
    count(*) FILTER (WHERE left_out IS NULL AND handled_at <= repair_by),
    (SELECT coalesce(jsonb_object_agg(left_out, n), '{}') FROM (
        SELECT left_out, count(*) AS n FROM due WHERE left_out IS NOT NULL GROUP BY 1) AS reasons)
FROM due;

-- name: intact
-- purpose: monitored assets at a moment, and those of them with nothing broken; with those that are not counted
WITH known AS (
    SELECT a.asset_key, a.object_state, EXISTS (
        SELECT FROM devices d WHERE d.asset_key = a.asset_key AND d.status <> 'retired' AND d.created_at < %(end)s) AS monitored
    FROM assets a
    WHERE (%(areas)s::text[] IS NULL OR EXISTS (SELECT FROM unnest(%(areas)s::text[]) AS area WHERE starts_with(a.area_code, area)))
        AND (%(units)s::text[] IS NULL OR a.maintenance_unit = ANY(%(units)s::text[]))
),
broken AS (
    SELECT DISTINCT al.asset_key
    FROM cases c JOIN alarms al USING (alarm_key)
    WHERE c.case_type = 'component' AND c.opened_at < %(end)s
        AND coalesce(c.ended_at, 'infinity') >= %(end)s AND coalesce(c.handled_at, 'infinity') >= %(end)s
)
SELECT
    count(*) FILTER (WHERE monitored AND object_state <> '废弃'),
    count(*) FILTER (WHERE monitored AND object_state = '完好' AND broken.asset_key IS NULL),
    count(*) FILTER (WHERE NOT monitored),
    count(*) FILTER (WHERE monitored AND object_state = '废弃')
FROM known LEFT JOIN broken USING (asset_key);
