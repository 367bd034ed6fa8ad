-- name: note
-- purpose: unknown devices that reported from areas where they may wait; a list that is full takes no more
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
        WHERE code IN (district, left(district, 4), left(district, 2)) AND auto_register IS NOT NULL
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
