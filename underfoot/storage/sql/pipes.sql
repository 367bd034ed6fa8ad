-- The ledger of pipes: importing it, checking it, listing it. Rows of a file are staged in pg_temp.ledger_staged, as
-- those of assets and devices are, so that ledger.faults and ledger.count_faults tell of both.

-- name: create_staging
-- purpose: the rows of the file under import, with what is wrong with each
CREATE TEMP TABLE ledger_staged (
    file_row int NOT NULL, faults jsonb,
    pipe_id text, code_scheme text, from_code text, to_code text, kind text, diameter_mm real, length_m real, invert_up_m real,
    invert_down_m real, roughness real, attributes jsonb, from_asset int, to_asset int
) ON COMMIT DROP;

-- name: stage
-- purpose: stream the rows of the file in
COPY pg_temp.ledger_staged (
    file_row, faults, pipe_id, code_scheme, from_code, to_code, kind, diameter_mm, length_m, invert_up_m, invert_down_m, roughness,
    attributes
) FROM STDIN;

-- name: fault_repeated_pipes
-- purpose: a pipe that stands in the file twice is wrong from its second row on
UPDATE pg_temp.ledger_staged AS staged
SET faults = jsonb_build_array(jsonb_build_object(
    'column', 'pipe_id', 'value', staged.pipe_id,
    'allowed', format('同一管段只能有一行，第 %s 行已有 · one row a pipe; row %s has it already', first_row, first_row)))
FROM (
    SELECT file_row, min(file_row) OVER (PARTITION BY pipe_id) AS first_row FROM pg_temp.ledger_staged WHERE faults IS NULL
) AS seen
WHERE staged.file_row = seen.file_row AND seen.file_row > seen.first_row;

-- name: find_ends
-- purpose: the assets that the rows name; a code that two schemes have is left open, unless the row names the scheme
UPDATE pg_temp.ledger_staged AS staged
SET from_asset = upper_end.asset_key, to_asset = lower_end.asset_key
FROM pg_temp.ledger_staged AS row
LEFT JOIN LATERAL (
    SELECT min(asset_key) AS asset_key FROM assets
    WHERE asset_code = row.from_code AND (coalesce(row.code_scheme, '') = '' OR code_scheme = row.code_scheme)
    HAVING count(*) = 1
) AS upper_end ON true
LEFT JOIN LATERAL (
    SELECT min(asset_key) AS asset_key FROM assets
    WHERE asset_code = row.to_code AND (coalesce(row.code_scheme, '') = '' OR code_scheme = row.code_scheme)
    HAVING count(*) = 1
) AS lower_end ON true
WHERE staged.file_row = row.file_row AND staged.faults IS NULL;

-- name: fault_unknown_ends
-- purpose: both ends of a pipe are assets of the ledger, and it is clear which
UPDATE pg_temp.ledger_staged AS staged SET faults = wrong.faults
FROM (
    SELECT row.file_row, jsonb_agg(jsonb_build_object('column', ends.name, 'value', ends.code, 'allowed',
        CASE WHEN known.schemes IS NULL THEN coalesce(
            '部件台账中没有该编码（编码标准 ' || nullif(row.code_scheme, '') || '）· the ledger has no asset of this code under this code_scheme',
            '部件台账中没有该编码，请先用 underfoot devices import 导入 · the ledger has no asset of this code: import it first')
        ELSE format('有多个编码标准（%s）用此编码，请加列 code_scheme 编码标准 · several code schemes have it (%s): add a column code_scheme',
                    known.schemes, known.schemes) END) ORDER BY ends.place) AS faults
    FROM pg_temp.ledger_staged AS row
    CROSS JOIN LATERAL (VALUES (1, 'from_asset', row.from_code, row.from_asset), (2, 'to_asset', row.to_code, row.to_asset))
        AS ends (place, name, code, asset_key)
    LEFT JOIN LATERAL (
        SELECT string_agg(code_scheme, ', ' ORDER BY code_scheme) AS schemes FROM assets
        WHERE asset_code = ends.code AND (coalesce(row.code_scheme, '') = '' OR code_scheme = row.code_scheme)
    ) AS known ON true
    WHERE row.faults IS NULL AND ends.asset_key IS NULL
    GROUP BY row.file_row
) AS wrong
WHERE staged.file_row = wrong.file_row;

-- name: edges_to_be
-- purpose: the whole graph as it would be: the pipes that the file does not speak of (row null), then its good rows
SELECT NULL::int AS file_row, pipe_id, from_asset, to_asset FROM pipes
WHERE NOT EXISTS (SELECT FROM pg_temp.ledger_staged AS staged WHERE staged.pipe_id = pipes.pipe_id AND staged.faults IS NULL)
UNION ALL
SELECT file_row, pipe_id, from_asset, to_asset FROM pg_temp.ledger_staged WHERE faults IS NULL;

-- name: codes_of
-- purpose: what assets are called in a message
SELECT asset_key, asset_code FROM assets WHERE asset_key = ANY(%(asset_keys)s);

-- name: set_faults
-- purpose: rows that are wrong for what they make of the graph
UPDATE pg_temp.ledger_staged AS staged SET faults = wrong.faults
FROM unnest(%(file_rows)s::int[], %(faults)s::jsonb[]) AS wrong (file_row, faults)
WHERE staged.file_row = wrong.file_row;

-- name: staged_pipes
-- purpose: which pipes the good rows speak of
SELECT pipe_id FROM pg_temp.ledger_staged WHERE faults IS NULL;

-- name: merge_known_pipes
-- purpose: update the pipes that the file says something new of; a column that the file has not stays
UPDATE pipes SET
    from_asset = staged.from_asset, to_asset = staged.to_asset, kind = staged.kind, diameter_mm = staged.diameter_mm,
    length_m = staged.length_m, invert_up_m = staged.invert_up_m, invert_down_m = staged.invert_down_m,
    roughness = CASE WHEN %(has_roughness)s THEN staged.roughness ELSE pipes.roughness END,
    attributes = pipes.attributes || staged.attributes,
    updated_at = clock_timestamp()
FROM pg_temp.ledger_staged AS staged
WHERE staged.faults IS NULL AND pipes.pipe_id = staged.pipe_id
  AND (pipes.from_asset, pipes.to_asset, pipes.kind, pipes.diameter_mm, pipes.length_m, pipes.invert_up_m, pipes.invert_down_m,
       pipes.roughness, pipes.attributes)
    IS DISTINCT FROM
      (staged.from_asset, staged.to_asset, staged.kind, staged.diameter_mm, staged.length_m, staged.invert_up_m,
       staged.invert_down_m, CASE WHEN %(has_roughness)s THEN staged.roughness ELSE pipes.roughness END,
       pipes.attributes || staged.attributes);

-- name: touch_gauges
-- purpose: the sewer gauges at the ends of pipes that this import has changed: who keeps devices in memory reads them anew
UPDATE devices SET updated_at = clock_timestamp()
WHERE family = 'pipe' AND asset_key IN (
    SELECT unnest(ARRAY[from_asset, to_asset]) FROM pipes WHERE updated_at >= now()
);

-- name: merge_new_pipes
-- purpose: bring the pipes into being that are not known yet
INSERT INTO pipes (pipe_id, from_asset, to_asset, kind, diameter_mm, length_m, invert_up_m, invert_down_m, roughness, attributes)
SELECT pipe_id, from_asset, to_asset, kind, diameter_mm, length_m, invert_up_m, invert_down_m, roughness, attributes
FROM pg_temp.ledger_staged AS staged
WHERE faults IS NULL AND NOT EXISTS (SELECT FROM pipes WHERE pipes.pipe_id = staged.pipe_id)
ORDER BY file_row;

-- name: pipes
-- purpose: every pipe as the engine's graph has it
SELECT pipe_key, pipe_id, from_asset, to_asset, kind, diameter_mm, length_m, invert_up_m, invert_down_m, roughness FROM pipes
ORDER BY pipe_key;

-- name: nodes
-- purpose: every asset at which a pipe ends, with what it says of itself
SELECT asset_key, asset_code, kind, name, area_code, lon, lat, attributes, tags FROM assets
WHERE asset_key IN (SELECT from_asset FROM pipes UNION SELECT to_asset FROM pipes)
ORDER BY asset_key;

-- name: version
-- purpose: whether the pipes are still those that somebody has in memory
SELECT count(*), max(updated_at) FROM pipes;

-- name: stray_gauges
-- purpose: level gauges in sewers at which no pipe ends: the engine has no use for them
SELECT devices.device_id, assets.asset_key, assets.asset_code FROM devices JOIN assets USING (asset_key)
WHERE devices.family = 'pipe' AND devices.status <> 'retired'
  AND NOT EXISTS (SELECT FROM pipes WHERE pipes.from_asset = assets.asset_key OR pipes.to_asset = assets.asset_key)
ORDER BY devices.device_id;

-- name: list
-- purpose: pipes by kind and area, in the order of their ids; or one by its id
SELECT pipes.pipe_key, pipes.pipe_id, upper_end.asset_code AS from_asset, upper_end.name AS from_name, lower_end.asset_code AS to_asset,
    lower_end.name AS to_name, upper_end.area_code, pipes.kind, pipes.diameter_mm, pipes.length_m, pipes.invert_up_m,
    pipes.invert_down_m, pipes.roughness, pipes.attributes, pipes.updated_at
FROM pipes
JOIN assets AS upper_end ON upper_end.asset_key = pipes.from_asset
JOIN assets AS lower_end ON lower_end.asset_key = pipes.to_asset
WHERE pipes.pipe_id > %(after)s
  AND (%(pipe_id)s::text IS NULL OR pipes.pipe_id = %(pipe_id)s)
  AND (%(kind)s::text IS NULL OR pipes.kind = %(kind)s)
  AND (%(area)s::text IS NULL OR starts_with(upper_end.area_code, %(area)s))
ORDER BY pipes.pipe_id
LIMIT %(limit)s;

-- name: lock
-- purpose: one pipe, held until what becomes of it is committed, and whether an alarm about it is open
SELECT to_jsonb(pipes), EXISTS (
    SELECT FROM alarms JOIN episodes USING (alarm_key)
    WHERE alarms.subject_kind = 'pipe' AND alarms.subject_key = pipes.pipe_key AND episodes.cleared_at IS NULL
)
FROM pipes WHERE pipe_id = %(pipe_id)s FOR UPDATE;

-- name: remove
-- purpose: a pipe that is no more, or never was; the audit log keeps what it said
DELETE FROM pipes WHERE pipe_id = %(pipe_id)s;
