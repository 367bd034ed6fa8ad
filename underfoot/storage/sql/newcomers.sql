-- name: nobody_waits
-- purpose: a row where no area lets unknown devices wait, so that a flood of them costs next to nothing
SELECT 1 WHERE NOT EXISTS (SELECT FROM areas WHERE auto_register);

-- name: note
-- purpose: unknown devices that reported from areas where they may wait; a list that is full takes no more
-- A device that says no district is somewhere below the root of all areas.
WITH said AS (
    SELECT device_id, family, district, vendor, gateway_id, source, reports, place,
        'epoch'::timestamptz + first_us * interval '1 microsecond' AS first_seen,
        'epoch'::timestamptz + last_us * interval '1 microsecond' AS last_seen
    FROM unnest(
        %(device_ids)s::text[], %(families)s::text[], %(districts)s::text[], %(vendors)s::text[], %(gateway_ids)s::text[],
        %(sources)s::text[], %(first_us)s::bigint[], %(last_us)s::bigint[], %(reports)s::bigint[]
    ) WITH ORDINALITY AS said (device_id, family, district, vendor, gateway_id, source, first_us, last_us, reports, place)
), districts AS (
    SELECT district, %(most)s - (SELECT count(*) FROM newcomers WHERE state = 'waiting' AND newcomers.district = d.district) AS room
    FROM (SELECT DISTINCT district FROM said) AS d
    WHERE (
        SELECT auto_register FROM areas
        WHERE auto_register IS NOT NULL
            AND (code IN (district, left(district, 4), left(district, 2)) OR (district = '' AND parent_code IS NULL))
        ORDER BY length(code) DESC LIMIT 1
    )
), heard AS (
    -- A device that corrects what it says of itself is listed as it says now, until somebody has decided.
    UPDATE newcomers SET
        last_seen = greatest(newcomers.last_seen, said.last_seen), reports = newcomers.reports + said.reports,
        family = CASE WHEN state = 'waiting' THEN said.family ELSE newcomers.family END,
        district = CASE WHEN state = 'waiting' THEN said.district ELSE newcomers.district END,
        vendor = CASE WHEN state = 'waiting' THEN said.vendor ELSE newcomers.vendor END,
        gateway_id = CASE WHEN state = 'waiting' THEN said.gateway_id ELSE newcomers.gateway_id END,
        source = CASE WHEN state = 'waiting' THEN said.source ELSE newcomers.source END
    FROM said JOIN districts USING (district)
    WHERE newcomers.device_id = said.device_id
), fresh AS (
    SELECT said.*, room, row_number() OVER (PARTITION BY district ORDER BY place) AS number
    FROM said JOIN districts USING (district)
    WHERE NOT EXISTS (SELECT FROM newcomers WHERE newcomers.device_id = said.device_id)
        AND NOT EXISTS (SELECT FROM devices WHERE devices.device_id = said.device_id)
)
INSERT INTO newcomers (device_id, family, district, vendor, gateway_id, source, first_seen, last_seen, reports)
SELECT device_id, family, district, vendor, gateway_id, source, first_seen, last_seen, reports FROM fresh
WHERE number <= room
ON CONFLICT (device_id) DO UPDATE SET
    last_seen = greatest(newcomers.last_seen, EXCLUDED.last_seen), reports = newcomers.reports + EXCLUDED.reports;

-- name: listed
-- purpose: newcomers in one state by district and id, of an area and below it or of one family where asked
SELECT device_id, family, district, vendor, gateway_id, source, first_seen, last_seen, reports, state, decided_by, decided_at
FROM newcomers
WHERE state = %(state)s
    AND (district, device_id) > (%(after_district)s::text, %(after_device_id)s::text)
    AND (%(area)s::text IS NULL OR (district >= %(area)s AND district <= %(area)s || '999999' AND starts_with(district, %(area)s)))
    AND (%(family)s::text IS NULL OR family = %(family)s)
    AND (%(districts)s::text[] IS NULL OR district = ANY(%(districts)s))
ORDER BY district, device_id
LIMIT %(limit)s;

-- name: lock
-- purpose: one newcomer, held until what is decided about it is committed
SELECT * FROM newcomers WHERE device_id = %(device_id)s FOR UPDATE;

-- name: lock_area
-- purpose: those who wait in an area and below it, held until what is decided about them is committed
SELECT * FROM newcomers
WHERE state = 'waiting' AND district >= %(area)s AND district <= %(area)s || '999999' AND starts_with(district, %(area)s)
    AND (%(family)s::text IS NULL OR family = %(family)s)
    AND (%(districts)s::text[] IS NULL OR district = ANY(%(districts)s))
ORDER BY device_id LIMIT %(limit)s FOR UPDATE;

-- name: decide
-- purpose: what was decided about a newcomer, and by whom
UPDATE newcomers SET state = %(state)s, decided_by = %(decided_by)s, decided_at = clock_timestamp()
WHERE device_id = %(device_id)s;

-- name: asset
-- purpose: an asset that a newcomer is said to be on
SELECT asset_key, area_code FROM assets WHERE code_scheme = %(scheme)s AND asset_code = %(code)s FOR SHARE;

-- name: own_asset
-- purpose: an asset that stands for its device, until the ledger gives it a code
INSERT INTO assets (code_scheme, asset_code, kind, name, area_code)
VALUES (%(scheme)s, %(code)s, %(kind)s, %(name)s, %(area_code)s)
ON CONFLICT (code_scheme, asset_code) DO UPDATE SET
    kind = EXCLUDED.kind, name = EXCLUDED.name, area_code = EXCLUDED.area_code, object_state = '完好', updated_at = now()
RETURNING asset_key;

-- name: create_device
-- purpose: a newcomer into the ledger; nothing where it is there already
INSERT INTO devices (device_id, family, district, asset_key, vendor, gateway_key, expected_interval_s)
SELECT %(device_id)s, %(family)s, %(district)s, %(asset_key)s, %(vendor)s,
    (SELECT gateway_key FROM gateways WHERE gateway_id = %(gateway_id)s), %(interval_s)s
ON CONFLICT (device_id) DO NOTHING;

-- name: set_switch
-- purpose: whether unknown devices of an area may wait for approval; null: as the area above it
UPDATE areas SET auto_register = %(auto_register)s WHERE code = %(code)s;

-- name: switches
-- purpose: what these areas say about newcomers
SELECT code, auto_register FROM areas WHERE code = ANY(%(codes)s);
