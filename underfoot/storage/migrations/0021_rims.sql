-- How full a sewer is, by its gauge, when the water is at the rim: what a forecast of overflow goes up to.

CREATE VIEW fill_at_rim AS
SELECT a.asset_key, (rim.metres - outlet.invert_m) / (outlet.diameter_mm / 1000) AS fill
FROM assets a
CROSS JOIN LATERAL (
    -- The pipe by which its water leaves, as the drainage graph has it: of several the lowest, then the widest; at an outfall
    -- the widest that comes.
    SELECT p.invert_m, p.diameter_mm::float8 AS diameter_mm
    FROM (
        SELECT 0 AS side, invert_up_m::float8 AS invert_m, diameter_mm, invert_up_m AS first, -diameter_mm AS second, pipe_key
        FROM pipes WHERE from_asset = a.asset_key
        UNION ALL
        SELECT 1, invert_down_m::float8, diameter_mm, -diameter_mm, invert_down_m, pipe_key
        FROM pipes WHERE to_asset = a.asset_key
    ) p
    ORDER BY p.side, p.first, p.second, p.pipe_key
    LIMIT 1
) outlet
CROSS JOIN LATERAL (
    -- The first of these that the ledger says; one that is no number of metres says nothing (underfoot/ledger/pipes.py).
    SELECT (regexp_match(btrim(normalize(a.attributes ->> n.name, NFKC)), '^([+-]?[0-9]+(?:\.[0-9]+)?)\s*(?:m|米)?$', 'i'))[1]::float8 AS metres
    FROM unnest(ARRAY['rim_level_m', 'ground_level_m', '井口标高', '井盖标高', '井面标高', '地面标高', '地面高程'])
        WITH ORDINALITY AS n (name, place)
    WHERE a.attributes ? n.name
    ORDER BY n.place
    LIMIT 1
) rim
WHERE rim.metres > outlet.invert_m + outlet.diameter_mm / 1000;
COMMENT ON VIEW fill_at_rim IS 'by asset, h/D of its outlet when water stands at its rim; only where the ledger says both';
