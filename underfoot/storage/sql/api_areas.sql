-- name: list_areas
-- purpose: areas by code, of one level or under one parent where asked
SELECT code, name, level, parent_code FROM areas
WHERE code > %(after)s
    AND (%(level)s::text IS NULL OR level = %(level)s)
    AND (%(parent)s::text IS NULL OR parent_code = %(parent)s)
    AND (%(areas)s::text[] IS NULL OR code = ANY(%(areas)s))
ORDER BY code
LIMIT %(limit)s;

-- name: tree
-- purpose: the areas at and below a root, or the tops of what lies in a scope, parents before children, down to a depth
WITH RECURSIVE below AS (
    SELECT code, name, level, parent_code, 0 AS depth FROM areas
    WHERE (%(areas)s::text[] IS NULL OR code = ANY(%(areas)s)) AND CASE
        WHEN %(root)s::text IS NOT NULL THEN code = %(root)s
        WHEN %(areas)s::text[] IS NULL THEN parent_code IS NULL
        ELSE parent_code IS NULL OR parent_code <> ALL(%(areas)s)
    END
    UNION ALL
    SELECT child.code, child.name, child.level, child.parent_code, below.depth + 1
    FROM areas child JOIN below ON child.parent_code = below.code
    WHERE below.depth < %(depth)s
)
SELECT code, name, level, parent_code, depth FROM below ORDER BY depth, code LIMIT %(limit)s;

-- name: ancestors
-- purpose: an area's line upwards: itself, its parent, and so on
WITH RECURSIVE upwards AS (
    SELECT code, name, level, parent_code, 0 AS distance FROM areas WHERE code = %(code)s
    UNION ALL
    SELECT parent.code, parent.name, parent.level, parent.parent_code, upwards.distance + 1
    FROM areas parent JOIN upwards ON parent.code = upwards.parent_code
)
SELECT code, name, level, parent_code FROM upwards ORDER BY distance;

-- name: codes_within
-- purpose: an area and all below it: by the tree, and by code prefix, since a ledger may name a street before its district
WITH RECURSIVE within AS (
    SELECT code FROM areas WHERE starts_with(code, %(code)s)
    UNION
    SELECT child.code FROM areas child JOIN within ON child.parent_code = within.code
)
SELECT code FROM within;

-- name: figures
-- purpose: what stands in these areas, and what is open there; of some maintenance units (null: of all)
SELECT
    (SELECT count(*) FROM assets a WHERE a.area_code = ANY(%(areas)s)
        AND (%(units)s::text[] IS NULL OR a.maintenance_unit = ANY(%(units)s))) AS assets,
    (SELECT count(*) FROM devices d JOIN assets a USING (asset_key) WHERE a.area_code = ANY(%(areas)s)
        AND (%(units)s::text[] IS NULL OR a.maintenance_unit = ANY(%(units)s))) AS devices,
    open.alarms AS open_alarms, open.worst AS worst_severity
FROM (
    SELECT count(*) AS alarms, max(e.severity) AS worst FROM episodes e JOIN alarms al USING (alarm_key)
    LEFT JOIN assets a ON a.asset_key = al.asset_key
    WHERE e.cleared_at IS NULL AND al.area_code = ANY(%(areas)s)
        AND (%(units)s::text[] IS NULL OR a.maintenance_unit = ANY(%(units)s))
) open;
