-- name: list_pipes
-- purpose: pipes in the order in which they were entered, with their ends and the worst open alarm about them
SELECT
    p.pipe_key, p.pipe_id, p.kind, p.diameter_mm, p.length_m, p.invert_up_m, p.invert_down_m,
    p.roughness, p.attributes, p.created_at, p.updated_at,
    p.from_asset, f.asset_code AS from_code, f.name AS from_name, f.kind AS from_kind, f.lon AS from_lon, f.lat AS from_lat,
    p.to_asset, t.asset_code AS to_code, t.name AS to_name, t.kind AS to_kind, t.lon AS to_lon, t.lat AS to_lat,
    f.area_code, ar.name AS area_name, alarmed.severity
FROM pipes p
JOIN assets f ON f.asset_key = p.from_asset
JOIN assets t ON t.asset_key = p.to_asset
JOIN areas ar ON ar.code = f.area_code
CROSS JOIN LATERAL (
    SELECT max(e.severity) AS severity FROM alarms al JOIN episodes e ON e.alarm_key = al.alarm_key AND e.cleared_at IS NULL
    WHERE al.subject_kind = 'pipe' AND al.subject_key = p.pipe_key
) alarmed
WHERE p.pipe_key > %(after)s
    AND (%(pipe_id)s::text IS NULL OR p.pipe_id = %(pipe_id)s)
    AND (%(pipe_keys)s::int[] IS NULL OR p.pipe_key = ANY(%(pipe_keys)s))
    AND (%(kind)s::text IS NULL OR p.kind = %(kind)s)
    AND (%(areas)s::text[] IS NULL OR f.area_code = ANY(%(areas)s))
    AND (%(units)s::text[] IS NULL OR f.maintenance_unit = ANY(%(units)s))
    AND (%(asset_key)s::int IS NULL OR p.from_asset = %(asset_key)s OR p.to_asset = %(asset_key)s)
ORDER BY p.pipe_key
LIMIT %(limit)s;

-- name: keys_in_box
-- purpose: the pipes of which an end lies in a rectangle of degrees, from one key on
SELECT pipe_key FROM (
    SELECT p.pipe_key FROM assets a JOIN pipes p ON p.from_asset = a.asset_key
    WHERE a.lon IS NOT NULL AND point(a.lon, a.lat) <@ box(point(%(west)s, %(south)s), point(%(east)s, %(north)s))
    UNION
    SELECT p.pipe_key FROM assets a JOIN pipes p ON p.to_asset = a.asset_key
    WHERE a.lon IS NOT NULL AND point(a.lon, a.lat) <@ box(point(%(west)s, %(south)s), point(%(east)s, %(north)s))
) AS inside
WHERE pipe_key > %(after)s
ORDER BY pipe_key
LIMIT %(limit)s;

-- name: pipes_above
-- purpose: the pipes whose water comes to an asset, the near ones first
WITH RECURSIVE reached (asset_key) AS (
    SELECT %(asset_key)s::int
    UNION
    SELECT p.from_asset FROM reached JOIN pipes p ON p.to_asset = reached.asset_key
)
SELECT p.pipe_key, p.pipe_id, p.from_asset, p.to_asset, p.kind, p.diameter_mm, p.length_m, p.invert_up_m, p.invert_down_m, p.roughness
FROM reached JOIN pipes p ON p.to_asset = reached.asset_key
LIMIT %(limit)s;

-- name: pipes_below
-- purpose: the pipes to which water from an asset comes, the near ones first
WITH RECURSIVE reached (asset_key) AS (
    SELECT %(asset_key)s::int
    UNION
    SELECT p.to_asset FROM reached JOIN pipes p ON p.from_asset = reached.asset_key
)
SELECT p.pipe_key, p.pipe_id, p.from_asset, p.to_asset, p.kind, p.diameter_mm, p.length_m, p.invert_up_m, p.invert_down_m, p.roughness
FROM reached JOIN pipes p ON p.from_asset = reached.asset_key
LIMIT %(limit)s;

-- name: ends
-- purpose: assets at which pipes end
SELECT asset_key, asset_code, kind, name, area_code, maintenance_unit, lon, lat FROM assets WHERE asset_key = ANY(%(asset_keys)s);
