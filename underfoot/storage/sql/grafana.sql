-- name: let_reader_in
-- purpose: let Grafana's read-only role log in, with what the server keeps of its password
SELECT dashboard.let_reader_in(%s);

-- name: map_extent
-- purpose: where the assets are, without the farthest 2 %: where the map is centred and how far it reaches (degrees)
SELECT
    (low[1] + high[1]) / 2 AS lon,
    (low[2] + high[2]) / 2 AS lat,
    high[1] - low[1] AS width,
    high[2] - low[2] AS height
FROM (
    SELECT
        ARRAY[percentile_cont(0.01) WITHIN GROUP (ORDER BY lon), percentile_cont(0.01) WITHIN GROUP (ORDER BY lat)] AS low,
        ARRAY[percentile_cont(0.99) WITHIN GROUP (ORDER BY lon), percentile_cont(0.99) WITHIN GROUP (ORDER BY lat)] AS high
    FROM assets
    WHERE lon IS NOT NULL
) extent
WHERE low[1] IS NOT NULL;
