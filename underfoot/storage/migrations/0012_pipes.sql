-- The ledger of pipes: what a city's own file says beyond our columns, and the indexes of its lists and maps.

ALTER TABLE pipes
    ADD COLUMN roughness real CHECK (roughness > 0),        -- Manning's n; null: what the city has in general
    ADD COLUMN attributes jsonb NOT NULL DEFAULT '{}';      -- 管材, 埋设年代, …: columns of the file that are none of ours
CREATE INDEX pipes_kind ON pipes (kind, pipe_key);
CREATE INDEX pipes_updated ON pipes (updated_at);

-- A map asks for what lies in a rectangle.
CREATE INDEX assets_place ON assets USING gist (point(lon, lat)) WHERE lon IS NOT NULL;
