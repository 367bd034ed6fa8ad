-- name: list_assets
-- purpose: assets in the order in which they were entered, with how many devices each has
SELECT
    a.asset_key, a.code_scheme, a.asset_code, a.kind, a.name, a.area_code, ar.name AS area_name, a.address, a.lon, a.lat,
    a.source_crs, a.supervising_unit, a.owner_unit, a.maintenance_unit, a.tags, a.object_state, a.defect, a.defect_found_on,
    a.defect_repaired_on, a.safety_net_on, a.attributes, a.created_at, a.updated_at,
    fixed.devices
FROM assets a
JOIN areas ar ON ar.code = a.area_code
CROSS JOIN LATERAL (SELECT count(*) AS devices FROM devices d WHERE d.asset_key = a.asset_key) fixed
WHERE a.asset_key > %(after)s
    AND (%(asset_key)s::int IS NULL OR a.asset_key = %(asset_key)s)
    AND (%(areas)s::text[] IS NULL OR a.area_code = ANY(%(areas)s))
    AND (%(asset_code)s::text IS NULL OR a.asset_code = %(asset_code)s)
    AND (%(kind)s::text IS NULL OR starts_with(a.kind, %(kind)s))
    AND (%(units)s::text[] IS NULL OR a.maintenance_unit = ANY(%(units)s))
    AND (%(maintenance_unit)s::text IS NULL OR a.maintenance_unit = %(maintenance_unit)s)
    AND (%(tag)s::text IS NULL OR a.tags @> ARRAY[%(tag)s::text])
    AND (%(object_state)s::text IS NULL OR a.object_state = %(object_state)s)
    AND (%(with_device)s::boolean IS NULL OR %(with_device)s = (fixed.devices > 0))
ORDER BY a.asset_key
LIMIT %(limit)s;

-- name: devices_of
-- purpose: the devices that are fixed to an asset
SELECT device_id, family, status FROM devices WHERE asset_key = %(asset_key)s ORDER BY device_key;
