-- The city's own judgement: what the weather is where, and what several devices together have shown.

CREATE TABLE area_weather (
    -- How each district is by its rain gauges, and was: one open row a district. Other rules' limits depend on it.
    area_code text NOT NULL,
    since timestamptz NOT NULL,
    until timestamptz,                                      -- null: so it is now
    state text NOT NULL CHECK (state IN ('dry', 'wet', 'storm', 'unknown')),
    gauges int NOT NULL,                                    -- how many gauges had a say when it began; 0: unknown
    most_mm_1h real,                                        -- the most that one of them then had in an hour
    PRIMARY KEY (area_code, since),
    CHECK (until >= since)
);
CREATE UNIQUE INDEX area_weather_now ON area_weather (area_code) WHERE until IS NULL;

-- Conditions of rules over several devices have the shard 'city': no shard of devices may be called so.
ALTER TABLE shards ADD CONSTRAINT shards_not_the_city CHECK (shard <> 'city');
