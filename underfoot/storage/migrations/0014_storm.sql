-- Storms: districts in alarm flood, and the alarms that an incident groups.

CREATE TABLE floods (
    -- A district in alarm flood (ISA-18.2): more raises reach its operator than anyone can read.
    flood_key bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    area_code text NOT NULL REFERENCES areas (code),
    began_at timestamptz NOT NULL,
    ended_at timestamptz,
    peak int NOT NULL                                       -- most raises in one window
);
CREATE UNIQUE INDEX floods_one_open ON floods (area_code) WHERE ended_at IS NULL;
CREATE INDEX floods_began ON floods (area_code, began_at);

ALTER TABLE incidents
    ADD COLUMN catchment_name text NOT NULL DEFAULT '',     -- what people read for `catchment`
    ADD COLUMN told_at timestamptz,                         -- when its summary was last told
    ADD COLUMN told jsonb;                                  -- what it said then
CREATE UNIQUE INDEX incidents_one_open ON incidents (area_code, catchment) WHERE ended_at IS NULL AND kind = 'storm';
CREATE INDEX incidents_open_began ON incidents (began_at DESC, incident_key DESC) WHERE ended_at IS NULL;
CREATE INDEX incidents_kind ON incidents (kind, began_at DESC, incident_key DESC);
CREATE INDEX incidents_began ON incidents (began_at DESC, incident_key DESC);
CREATE INDEX incidents_area ON incidents (area_code, began_at DESC, incident_key DESC);

CREATE TABLE incident_members (
    -- An episode's time in an incident; it may leave and come back.
    incident_key bigint NOT NULL REFERENCES incidents (incident_key),
    alarm_key bigint NOT NULL,
    episode int NOT NULL,
    joined_at timestamptz NOT NULL,
    alone boolean NOT NULL,                                 -- told by itself, as red is: counted here, never kept back
    left_at timestamptz,
    -- cleared: it is over; told: it was kept back and is open, so its state was told; released: there was nothing to tell
    left_because text CHECK (left_because IN ('cleared', 'told', 'released')),
    PRIMARY KEY (incident_key, alarm_key, episode, joined_at),
    FOREIGN KEY (alarm_key, episode) REFERENCES episodes (alarm_key, episode),
    CHECK ((left_at IS NULL) = (left_because IS NULL))
);
CREATE UNIQUE INDEX incident_members_now ON incident_members (alarm_key) WHERE left_at IS NULL;
CREATE INDEX incident_members_told ON incident_members (left_at) WHERE left_because = 'told';
CREATE INDEX suppressions_alarm ON suppressions (alarm_key, since);

CREATE FUNCTION district_of(area_code text) RETURNS text LANGUAGE sql STABLE AS $$
    -- The district whose operator an area's alarms reach; of what lies in no district, the area itself.
    SELECT coalesce((SELECT a.code FROM areas a WHERE a.code = left(area_code, 6)), area_code)
$$;

CREATE VIEW operator_raises AS
    -- Raises that reach an operator, by district: not those that were suppressed when they came, unless by the flood
    -- itself, which would end by what it keeps back. An incident is what is told instead.
    SELECT district_of(al.area_code) AS area_code, e.committed_at
    FROM episodes e JOIN alarms al USING (alarm_key)
    WHERE al.area_code IS NOT NULL AND al.subject_kind <> 'incident' AND NOT EXISTS (
        SELECT FROM suppressions s
        WHERE s.alarm_key = e.alarm_key AND s.since <= e.committed_at AND coalesce(s.ended_at, 'infinity') > e.committed_at
            AND NOT starts_with(s.cause, 'flood:') AND NOT starts_with(s.cause, 'incident:')
    );
