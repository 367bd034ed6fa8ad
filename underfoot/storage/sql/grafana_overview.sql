-- name: variable_district
-- purpose: districts to choose from
SELECT district AS __value, name AS __text FROM dashboard.districts ORDER BY district;

-- name: variable_device
-- purpose: devices to choose from, those with an alarm first; a device beyond the 500 can be typed
SELECT device_id AS __value, concat_ws(' ', place, device_id) AS __text
FROM dashboard.devices
WHERE district IN (${district:sqlstring}) AND family IN (${family:sqlstring})
ORDER BY severity DESC NULLS LAST, device_id
LIMIT 500;

-- name: online
-- purpose: online rate of the devices in service; one that never reported is not online
SELECT
    100.0 * count(*) FILTER (WHERE state = 'online') / nullif(count(*), 0) AS online_pct,
    count(*) FILTER (WHERE state = 'offline') AS offline,
    count(*) FILTER (WHERE state = 'never_reported') AS never_reported
FROM dashboard.devices
WHERE status = 'in_service'
    AND district IN (${district:sqlstring}) AND family IN (${family:sqlstring}) AND device_id IN (${device:sqlstring});

-- name: open_alarms
-- purpose: open alarms by severity; an alarm of no place (a shard's) counts always
SELECT
    count(*) FILTER (WHERE severity = 4) AS red,
    count(*) FILTER (WHERE severity = 3) AS orange,
    count(*) FILTER (WHERE severity = 2) AS yellow,
    count(*) FILTER (WHERE severity = 1) AS blue
FROM dashboard.alarms
WHERE open
    AND coalesce(district IN (${district:sqlstring}), true)
    AND coalesce(family IN (${family:sqlstring}), true)
    AND coalesce(device_id IN (${device:sqlstring}), true);

-- name: deepest
-- purpose: where the water stands deepest now
SELECT place, depth_cm
FROM dashboard.road_depths
WHERE district IN (${district:sqlstring}) AND device_id IN (${device:sqlstring})
ORDER BY depth_cm DESC
LIMIT 8;

-- name: behind
-- purpose: how far the slowest shard is behind, and what its last probe took from publish to commit
SELECT max(behind_s) AS behind_s, max(probe_delay_ms) AS probe_delay_ms FROM dashboard.shards;

-- name: owed
-- purpose: deliveries still owed, and the age of the oldest
SELECT coalesce(sum(owed), 0)::bigint AS owed, max(oldest_owed_s) AS oldest_owed_s FROM dashboard.sinks;

-- name: map_assets
-- purpose: the map's backdrop, drawn from our own ledger: devices in service
SELECT lat, lon, place, asset_name, device_id, family, state
FROM dashboard.devices
WHERE status = 'in_service' AND lon IS NOT NULL
    AND district IN (${district:sqlstring}) AND family IN (${family:sqlstring}) AND device_id IN (${device:sqlstring})
ORDER BY device_key
LIMIT 5000;

-- name: map_depths
-- purpose: road gauges that stand in water
SELECT lat, lon, place, asset_name, device_id, depth_cm, ts
FROM dashboard.road_depths
WHERE lon IS NOT NULL AND depth_cm > 0
    AND district IN (${district:sqlstring}) AND device_id IN (${device:sqlstring})
ORDER BY depth_cm
LIMIT 2000;

-- name: map_alarms
-- purpose: open alarms on the map, the worst drawn last and so on top
SELECT * FROM (
    SELECT lat, lon, severity, place, title, proof, raised_at, device_id
    FROM dashboard.alarms
    WHERE open AND lon IS NOT NULL
        AND coalesce(district IN (${district:sqlstring}), true)
        AND coalesce(family IN (${family:sqlstring}), true)
        AND coalesce(device_id IN (${device:sqlstring}), true)
    ORDER BY severity DESC, raised_at DESC
    LIMIT 2000
) worst
ORDER BY severity, raised_at;

-- name: alarm_table
-- purpose: what stays listed, the worst first, then what waits longest
SELECT severity, place, title, proof, state, age_s, raised_at, maintenance_unit, device_id, episode_key
FROM dashboard.alarms
WHERE coalesce(district IN (${district:sqlstring}), true)
    AND coalesce(family IN (${family:sqlstring}), true)
    AND coalesce(device_id IN (${device:sqlstring}), true)
ORDER BY open DESC, severity DESC, raised_at
LIMIT 200;

-- name: road_depth
-- purpose: hydrographs of at most 10 gauges: those with an alarm in the range first, then the deepest now
WITH alarmed AS (
    SELECT device_key, max(worst_severity) AS severity
    FROM dashboard.episodes
    WHERE ($__timeFilter(raised_at) OR cleared_at IS NULL) AND family = 'road' AND rule_kind = 'level'
    GROUP BY device_key
), shown AS (
    SELECT device_key
    FROM dashboard.road_depths
    LEFT JOIN alarmed USING (device_key)
    WHERE district IN (${district:sqlstring}) AND device_id IN (${device:sqlstring})
    ORDER BY severity DESC NULLS LAST, depth_cm DESC
    LIMIT 10
)
SELECT $__timeGroupAlias(ts,$__interval), concat_ws(' ', place, nullif(asset_name, place)) AS metric, max(depth_cm) AS depth_cm
FROM dashboard.road_reports
WHERE $__timeFilter(ts) AND device_key = ANY (ARRAY(SELECT device_key FROM shown)) AND depth_cm IS NOT NULL
GROUP BY 1, 2
ORDER BY 1;

-- name: depth_limits
-- purpose: the limits in force for water on roads, as level lines
SELECT edge AS time, concat_ws(' ', title, severity_label, value) AS metric, value AS limit_cm
FROM dashboard.limits
CROSS JOIN (VALUES ($__timeFrom()::timestamptz), ($__timeTo()::timestamptz)) AS edges (edge)
WHERE family = 'road' AND field = 'depth_cm' AND severity >= 3
ORDER BY 1;

-- name: rain
-- purpose: rain on the district: what a gauge caught on average
WITH fallen AS MATERIALIZED (
    SELECT device_key, ts, amount_mm
    FROM dashboard.rain_reports
    WHERE $__timeFilter(ts) AND amount_mm IS NOT NULL AND district IN (${district:sqlstring})
)
SELECT $__timeGroupAlias(ts,$__interval), sum(amount_mm) / (SELECT count(DISTINCT device_key) FROM fallen) AS amount_mm
FROM fallen
GROUP BY 1
ORDER BY 1;

-- name: reports_per_minute
-- purpose: the books: reports a minute by what became of them; a minute without any is 0, the running one is left out
SELECT
    $__timeGroupAlias(minute,$__interval),
    avg(coalesce(stored, 0)) AS stored,
    avg(coalesce(duplicate, 0)) AS duplicate,
    avg(coalesce(quarantined, 0)) AS quarantined,
    avg(coalesce(late, 0)) AS late
FROM generate_series(
    date_trunc('minute', $__timeFrom()::timestamptz),
    least($__timeTo()::timestamptz, now()) - interval '1 minute',
    interval '1 minute'
) AS minute
LEFT JOIN (
    SELECT minute,
        sum(stored) AS stored, sum(duplicate) AS duplicate, sum(quarantined) AS quarantined, sum(late) AS late
    FROM dashboard.books
    WHERE $__timeFilter(minute)
    GROUP BY minute
) kept USING (minute)
GROUP BY 1
ORDER BY 1;

-- name: commit_delay
-- purpose: from the receipt of the report that proved an alarm to its commit, 95th percentile
SELECT
    $__timeGroupAlias(raised_at,$__interval),
    percentile_cont(0.95) WITHIN GROUP (ORDER BY extract(epoch FROM committed_at - raised_received_at)) AS committed_s
FROM dashboard.episodes
WHERE $__timeFilter(raised_at)
GROUP BY 1
ORDER BY 1;

-- name: delivery_delay
-- purpose: from the receipt of the report that proved an alarm to the answer of the platform or the crew's channel, 95th percentile
SELECT
    $__timeGroupAlias(created_at,$__interval),
    percentile_cont(0.95) WITHIN GROUP (ORDER BY extract(epoch FROM settled_at - raised_received_at)) AS delivered_s
FROM dashboard.deliveries
WHERE $__timeFilter(created_at) AND notice = 'raise' AND state = 'delivered'
GROUP BY 1
ORDER BY 1;

-- name: deliveries
-- purpose: by sink: what is owed and what died as a letter until now, and what became of the deliveries of the range
SELECT name, channel, audience, sinks.state, owed, oldest_owed_s, dead,
    coalesce(delivered, 0) AS delivered, coalesce(dropped, 0) AS dropped
FROM dashboard.sinks
LEFT JOIN (
    SELECT sink_key,
        count(*) FILTER (WHERE state = 'delivered') AS delivered,
        count(*) FILTER (WHERE state = 'dropped') AS dropped
    FROM dashboard.deliveries
    WHERE $__timeFilter(created_at)
    GROUP BY sink_key
) settled USING (sink_key)
ORDER BY owed DESC, name
LIMIT 100;

-- name: quarantine
-- purpose: why reports of the range went to quarantine, by its newest 5000
SELECT reason, count(*) AS reports, count(DISTINCT device_id) AS devices, max(received_at) AS newest
FROM (
    SELECT reason, device_id, received_at
    FROM dashboard.quarantine
    WHERE $__timeFilter(received_at)
    ORDER BY received_at DESC, quarantine_key DESC
    LIMIT 5000
) newest
GROUP BY reason
ORDER BY reports DESC;

-- name: latest_values
-- purpose: the newest values of the devices chosen
SELECT device_id, place, field, value, ts
FROM dashboard.latest_values
WHERE device_key = ANY (ARRAY(
    SELECT device_key
    FROM dashboard.devices
    WHERE district IN (${district:sqlstring}) AND family IN (${family:sqlstring}) AND device_id IN (${device:sqlstring})
    ORDER BY severity DESC NULLS LAST, ts DESC NULLS LAST
    LIMIT 20
))
ORDER BY device_id, field
LIMIT 300;

-- name: annotations
-- purpose: orange and red alarms of the range, drawn over every graph
SELECT
    raised_at AS time, cleared_at AS timeend,
    concat_ws(' ', place, title, proof) AS text,
    concat_ws(',', worst_severity_label, title) AS tags
FROM dashboard.episodes
WHERE $__timeFilter(raised_at) AND worst_severity >= 3
    AND coalesce(district IN (${district:sqlstring}), true)
    AND coalesce(family IN (${family:sqlstring}), true)
    AND coalesce(device_id IN (${device:sqlstring}), true)
ORDER BY raised_at DESC
LIMIT 100;
