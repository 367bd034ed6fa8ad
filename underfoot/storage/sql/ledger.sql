-- The ledger: importing it, listing it, setting a device's baseline.

-- name: lock_import
-- purpose: one import at a time; the next waits for the one under way
SELECT pg_advisory_xact_lock(1970104932);

-- name: create_staging
-- purpose: the rows of the file under import, with what is wrong with each
CREATE TEMP TABLE ledger_staged (
    file_row int NOT NULL, faults jsonb,
    device_id text, family text, area_code text, code_scheme text, asset_code text, kind text, asset_name text,
    default_name text, address text, lon double precision, lat double precision, supervising_unit text, owner_unit text,
    maintenance_unit text, tags text[], object_state text, defect text, defect_found_on date, defect_repaired_on date,
    safety_net_on date, attributes jsonb, vendor text, model text, expected_interval_s int, installed_on date, status text,
    codec text, gateway text
) ON COMMIT DROP;

-- name: stage
-- purpose: stream the rows of the file in
COPY pg_temp.ledger_staged (
    file_row, faults, device_id, family, area_code, code_scheme, asset_code, kind, asset_name, default_name,
    address, lon, lat, supervising_unit, owner_unit, maintenance_unit, tags, object_state, defect, defect_found_on,
    defect_repaired_on, safety_net_on, attributes, vendor, model, expected_interval_s, installed_on, status, codec, gateway
) FROM STDIN;

-- name: analyze_staging
-- purpose: let the planner know what was staged
ANALYZE pg_temp.ledger_staged;

-- name: fault_repeated_devices
-- purpose: a device that stands in the file twice is wrong from its second row on
UPDATE pg_temp.ledger_staged AS staged
SET faults = jsonb_build_array(jsonb_build_object(
    'column', 'device_id', 'value', staged.device_id,
    'allowed', format('同一设备只能有一行，第 %s 行已有 · one row a device; row %s has it already', first_row, first_row)))
FROM (
    SELECT file_row, min(file_row) OVER (PARTITION BY device_id) AS first_row
    FROM pg_temp.ledger_staged WHERE device_id <> '' AND faults IS NULL
) AS seen
WHERE staged.file_row = seen.file_row AND seen.file_row > seen.first_row;

-- name: fault_contradicted_assets
-- purpose: rows of one asset must say the same of it; the first row counts
WITH good AS (
    SELECT *, min(file_row) OVER (PARTITION BY code_scheme, asset_code) AS first_row
    FROM pg_temp.ledger_staged WHERE faults IS NULL
), contradictions AS (
    SELECT other.file_row, jsonb_agg(jsonb_build_object(
        'column', said.name, 'value', coalesce(said.value, ''),
        'allowed', format('与第 %s 行同一部件的 %L 一致 · as row %s says of the same asset: %L',
                          first.file_row, coalesce(said.first_value, ''), first.file_row, coalesce(said.first_value, ''))
    )) AS faults
    FROM good AS other
    JOIN good AS first ON first.file_row = other.first_row
    CROSS JOIN LATERAL (VALUES
        ('area_code', other.area_code, first.area_code),
        ('kind', other.kind, first.kind),
        ('asset_name', other.asset_name, first.asset_name),
        ('address', other.address, first.address),
        ('lon', other.lon::text, first.lon::text),
        ('lat', other.lat::text, first.lat::text),
        ('supervising_unit', other.supervising_unit, first.supervising_unit),
        ('owner_unit', other.owner_unit, first.owner_unit),
        ('maintenance_unit', other.maintenance_unit, first.maintenance_unit),
        ('tags', array_to_string(other.tags, '、'), array_to_string(first.tags, '、')),
        ('object_state', other.object_state, first.object_state),
        ('defect', other.defect, first.defect),
        ('defect_found_on', other.defect_found_on::text, first.defect_found_on::text),
        ('defect_repaired_on', other.defect_repaired_on::text, first.defect_repaired_on::text),
        ('safety_net_on', other.safety_net_on::text, first.safety_net_on::text)
    ) AS said (name, value, first_value)
    WHERE other.file_row > other.first_row AND said.value IS DISTINCT FROM said.first_value
    GROUP BY other.file_row
)
UPDATE pg_temp.ledger_staged AS staged SET faults = contradictions.faults
FROM contradictions WHERE staged.file_row = contradictions.file_row;

-- name: fault_changed_families
-- purpose: a device keeps its family: its reports lie in that family's table
UPDATE pg_temp.ledger_staged AS staged
SET faults = jsonb_build_array(jsonb_build_object(
    'column', 'family', 'value', staged.family,
    'allowed', format('设备 %s 已登记为 %s，其上报存于该类别的表中，不能改类别；换了设备请用新编号 · device %s is registered as %s'
                      ' and its reports lie in that family''s table: a different unit needs a device_id of its own',
                      devices.device_id, devices.family, devices.device_id, devices.family)))
FROM devices
WHERE staged.faults IS NULL AND devices.device_id = staged.device_id AND devices.family <> staged.family;

-- name: fault_unknown_codecs
-- purpose: a codec is one of our own that a device can have, or a mapping in force
UPDATE pg_temp.ledger_staged AS staged
SET faults = jsonb_build_array(jsonb_build_object(
    'column', 'codec', 'value', staged.codec,
    'allowed', format('json、cbor 或已启用的映射：%s · json, cbor or a mapping in force: %s', known.names, known.names)))
FROM (
    SELECT coalesce(string_agg(name, ', ' ORDER BY name), '–') AS names, coalesce(array_agg(name), '{}') AS list FROM (
        SELECT DISTINCT ON (name) name, withdrawn FROM mappings ORDER BY name, version DESC
    ) AS newest WHERE NOT withdrawn
) AS known
WHERE staged.faults IS NULL AND staged.codec <> '' AND staged.codec <> ALL (known.list || ARRAY['json', 'cbor']);

-- name: count_faults
-- purpose: how many rows are staged, and how many of them are wrong
SELECT count(*), count(faults) FROM pg_temp.ledger_staged;

-- name: faults
-- purpose: the wrong rows in the file's order
SELECT file_row, faults FROM pg_temp.ledger_staged WHERE faults IS NOT NULL ORDER BY file_row LIMIT %(limit)s;

-- name: known_areas
-- purpose: the names of those areas that are known
SELECT code, name FROM areas WHERE code = ANY(%(codes)s);

-- name: staged_areas
-- purpose: the areas that the good rows stand in
SELECT DISTINCT area_code FROM pg_temp.ledger_staged WHERE faults IS NULL;

-- name: merge_areas
-- purpose: bring areas into being, those above before those below, or rename them
INSERT INTO areas (code, name, parent_code, level)
SELECT code, name, parent_code, level
FROM unnest(%(codes)s::text[], %(names)s::text[], %(parents)s::text[], %(levels)s::text[]) AS area (code, name, parent_code, level)
ORDER BY length(code)
ON CONFLICT (code) DO UPDATE SET name = excluded.name WHERE areas.name <> excluded.name
RETURNING (xmax = 0);

-- name: merge_known_assets
-- purpose: update the assets that the file says something new of; a column that the file has not (null) stays
WITH changed AS (
UPDATE assets SET
    kind = coalesce(staged.kind, assets.kind),
    name = coalesce(staged.asset_name, assets.name),
    area_code = staged.area_code,
    address = coalesce(staged.address, assets.address),
    lon = CASE WHEN 'lon' = ANY(%(columns)s) THEN staged.lon ELSE assets.lon END,
    lat = CASE WHEN 'lat' = ANY(%(columns)s) THEN staged.lat ELSE assets.lat END,
    supervising_unit = coalesce(staged.supervising_unit, assets.supervising_unit),
    owner_unit = coalesce(staged.owner_unit, assets.owner_unit),
    maintenance_unit = coalesce(staged.maintenance_unit, assets.maintenance_unit),
    tags = coalesce(staged.tags, assets.tags),
    object_state = coalesce(staged.object_state, assets.object_state),
    defect = CASE WHEN 'defect' = ANY(%(columns)s) THEN staged.defect ELSE assets.defect END,
    defect_found_on = CASE WHEN 'defect_found_on' = ANY(%(columns)s) THEN staged.defect_found_on ELSE assets.defect_found_on END,
    defect_repaired_on =
        CASE WHEN 'defect_repaired_on' = ANY(%(columns)s) THEN staged.defect_repaired_on ELSE assets.defect_repaired_on END,
    safety_net_on = CASE WHEN 'safety_net_on' = ANY(%(columns)s) THEN staged.safety_net_on ELSE assets.safety_net_on END,
    attributes = assets.attributes || staged.attributes,
    updated_at = now()
FROM (
    SELECT DISTINCT ON (code_scheme, asset_code) *
    FROM pg_temp.ledger_staged WHERE faults IS NULL ORDER BY code_scheme, asset_code, file_row
) AS staged
WHERE assets.code_scheme = staged.code_scheme AND assets.asset_code = staged.asset_code
  AND (
    (assets.kind, assets.area_code, assets.name, assets.address, assets.supervising_unit, assets.owner_unit,
     assets.maintenance_unit, assets.object_state, assets.tags, assets.attributes)
    IS DISTINCT FROM
    (coalesce(staged.kind, assets.kind), staged.area_code, coalesce(staged.asset_name, assets.name), coalesce(staged.address, assets.address),
     coalesce(staged.supervising_unit, assets.supervising_unit), coalesce(staged.owner_unit, assets.owner_unit),
     coalesce(staged.maintenance_unit, assets.maintenance_unit), coalesce(staged.object_state, assets.object_state),
     coalesce(staged.tags, assets.tags), assets.attributes || staged.attributes)
    OR ('lon' = ANY(%(columns)s) AND assets.lon IS DISTINCT FROM staged.lon)
    OR ('lat' = ANY(%(columns)s) AND assets.lat IS DISTINCT FROM staged.lat)
    OR ('defect' = ANY(%(columns)s) AND assets.defect IS DISTINCT FROM staged.defect)
    OR ('defect_found_on' = ANY(%(columns)s) AND assets.defect_found_on IS DISTINCT FROM staged.defect_found_on)
    OR ('defect_repaired_on' = ANY(%(columns)s) AND assets.defect_repaired_on IS DISTINCT FROM staged.defect_repaired_on)
    OR ('safety_net_on' = ANY(%(columns)s) AND assets.safety_net_on IS DISTINCT FROM staged.safety_net_on)
  )
RETURNING assets.asset_key
), reread AS (
    -- Whoever keeps devices in memory looks at their updated_at, and keeps what their asset says with them.
    UPDATE devices SET updated_at = clock_timestamp() FROM changed WHERE devices.asset_key = changed.asset_key
), regraphed AS (
    UPDATE pipes SET updated_at = clock_timestamp() WHERE pipe_key IN (
        SELECT pipe_key FROM changed JOIN pipes ON pipes.from_asset = changed.asset_key
        UNION SELECT pipe_key FROM changed JOIN pipes ON pipes.to_asset = changed.asset_key
    )
)
SELECT count(*) FROM changed;

-- name: merge_new_assets
-- purpose: bring the assets into being that are not known yet
INSERT INTO assets (
    code_scheme, asset_code, kind, name, area_code, address, lon, lat, supervising_unit, owner_unit, maintenance_unit, tags,
    object_state, defect, defect_found_on, defect_repaired_on, safety_net_on, attributes
)
SELECT DISTINCT ON (code_scheme, asset_code)
    code_scheme, asset_code, coalesce(kind, ''), coalesce(asset_name, default_name), area_code, coalesce(address, ''), lon, lat,
    coalesce(supervising_unit, ''), coalesce(owner_unit, ''), coalesce(maintenance_unit, ''), coalesce(tags, '{}'), coalesce(object_state, '完好'), defect, defect_found_on,
    defect_repaired_on, safety_net_on, attributes
FROM pg_temp.ledger_staged AS staged
WHERE faults IS NULL AND NOT EXISTS (
    SELECT FROM assets WHERE assets.code_scheme = staged.code_scheme AND assets.asset_code = staged.asset_code
)
ORDER BY code_scheme, asset_code, file_row;

-- name: count_staged
-- purpose: how many assets and devices the good rows speak of
SELECT count(DISTINCT (code_scheme, asset_code)), count(DISTINCT device_id) FILTER (WHERE device_id <> '')
FROM pg_temp.ledger_staged WHERE faults IS NULL;

-- name: moves
-- purpose: devices that the file puts on another asset, or in another district, than they are known on; before they are merged
SELECT devices.device_id, old_asset.asset_code, new_asset.asset_code, devices.district, left(staged.area_code, 6)
FROM pg_temp.ledger_staged AS staged
JOIN devices USING (device_id)
JOIN assets AS old_asset ON old_asset.asset_key = devices.asset_key
JOIN assets AS new_asset ON new_asset.code_scheme = staged.code_scheme AND new_asset.asset_code = staged.asset_code
WHERE staged.faults IS NULL
  AND (old_asset.asset_key <> new_asset.asset_key OR devices.district <> left(staged.area_code, 6))
ORDER BY staged.file_row;

-- name: merge_gateways
-- purpose: bring the gateways into being that are not known yet, in the district of the first device behind each
INSERT INTO gateways (gateway_id, district, vendor)
SELECT DISTINCT ON (gateway) gateway, left(area_code, 6), coalesce(vendor, '')
FROM pg_temp.ledger_staged WHERE faults IS NULL AND gateway <> '' AND device_id <> '' ORDER BY gateway, file_row
ON CONFLICT (gateway_id) DO NOTHING;

-- name: merge_known_devices
-- purpose: update the devices that the file says something new of; a column that the file has not (null) stays
UPDATE devices SET
    district = left(staged.area_code, 6),
    asset_key = assets.asset_key,
    vendor = coalesce(staged.vendor, devices.vendor),
    model = coalesce(staged.model, devices.model),
    expected_interval_s =
        CASE WHEN 'expected_interval_s' = ANY(%(columns)s) THEN staged.expected_interval_s ELSE devices.expected_interval_s END,
    installed_on = CASE WHEN 'installed_on' = ANY(%(columns)s) THEN staged.installed_on ELSE devices.installed_on END,
    status = coalesce(staged.status, devices.status),
    codec = CASE WHEN 'codec' = ANY(%(columns)s) THEN nullif(staged.codec, '') ELSE devices.codec END,
    gateway_key = CASE WHEN 'gateway' = ANY(%(columns)s) THEN gateways.gateway_key ELSE devices.gateway_key END,
    updated_at = clock_timestamp()
FROM pg_temp.ledger_staged AS staged
JOIN assets ON assets.code_scheme = staged.code_scheme AND assets.asset_code = staged.asset_code
LEFT JOIN gateways ON gateways.gateway_id = staged.gateway
WHERE staged.faults IS NULL AND devices.device_id = staged.device_id
  AND (
    (devices.district, devices.asset_key, devices.vendor, devices.model, devices.status)
    IS DISTINCT FROM
    (left(staged.area_code, 6), assets.asset_key, coalesce(staged.vendor, devices.vendor),
     coalesce(staged.model, devices.model), coalesce(staged.status, devices.status))
    OR ('expected_interval_s' = ANY(%(columns)s) AND devices.expected_interval_s <> staged.expected_interval_s)
    OR ('installed_on' = ANY(%(columns)s) AND devices.installed_on IS DISTINCT FROM staged.installed_on)
    OR ('codec' = ANY(%(columns)s) AND devices.codec IS DISTINCT FROM nullif(staged.codec, ''))
    OR ('gateway' = ANY(%(columns)s) AND devices.gateway_key IS DISTINCT FROM gateways.gateway_key)
  );

-- name: merge_new_devices
-- purpose: bring the devices into being that are not known yet
INSERT INTO devices (
    device_id, family, district, asset_key, vendor, model, expected_interval_s, installed_on, status, codec, gateway_key
)
SELECT staged.device_id, staged.family, left(staged.area_code, 6), assets.asset_key, coalesce(staged.vendor, ''),
    coalesce(staged.model, ''), staged.expected_interval_s, staged.installed_on, coalesce(staged.status, 'in_service'),
    nullif(staged.codec, ''), gateways.gateway_key
FROM pg_temp.ledger_staged AS staged
JOIN assets ON assets.code_scheme = staged.code_scheme AND assets.asset_code = staged.asset_code
LEFT JOIN gateways ON gateways.gateway_id = staged.gateway
WHERE staged.faults IS NULL AND staged.device_id <> ''
  AND NOT EXISTS (SELECT FROM devices WHERE devices.device_id = staged.device_id)
ORDER BY staged.file_row;

-- name: withdraw_own_assets
-- purpose: an asset that only stood for its device is withdrawn when the device has moved to the coded one
UPDATE assets SET object_state = '废弃', updated_at = now()
WHERE code_scheme = %(own_scheme)s AND object_state <> '废弃'
  AND asset_code IN (SELECT device_id FROM pg_temp.ledger_staged WHERE faults IS NULL AND code_scheme <> %(own_scheme)s)
  AND NOT EXISTS (SELECT FROM devices WHERE devices.asset_key = assets.asset_key);

-- name: notify_registry
-- purpose: tell whoever keeps devices or assets in memory, at commit
SELECT pg_notify('underfoot_registry', '');

-- name: audit
-- purpose: who did what, in the acting transaction
INSERT INTO audit (actor, action, subject, detail) VALUES (%(actor)s, %(action)s, %(subject)s, %(detail)s);

-- name: devices
-- purpose: devices by family, area and maintenance unit, in the order of their ids
SELECT devices.device_id, devices.family, assets.area_code, areas.name AS area_name, assets.asset_code,
    assets.name AS asset_name, assets.address, assets.maintenance_unit, devices.vendor, devices.model,
    devices.expected_interval_s, devices.baseline, devices.status, devices.codec, gateways.gateway_id,
    device_latest.ts AS last_report_at
FROM devices
JOIN assets USING (asset_key)
JOIN areas ON areas.code = assets.area_code
LEFT JOIN gateways USING (gateway_key)
LEFT JOIN device_latest USING (device_key)
WHERE devices.device_id > %(after)s
  AND (%(family)s::text IS NULL OR devices.family = %(family)s)
  AND (%(area)s::text IS NULL OR starts_with(assets.area_code, %(area)s))
  AND (%(unit)s::text IS NULL OR assets.maintenance_unit = %(unit)s)
ORDER BY devices.device_id
LIMIT %(limit)s;

-- name: device_for_baseline
-- purpose: one device's family and baseline, held until the change is committed
SELECT family, baseline FROM devices WHERE device_id = %(device_id)s FOR UPDATE;

-- name: set_baseline
-- purpose: what the device reads at rest
UPDATE devices SET baseline = %(baseline)s, updated_at = clock_timestamp() WHERE device_id = %(device_id)s;
