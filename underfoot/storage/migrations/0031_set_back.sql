-- Escalation's clocks can be made again from the record, and are: with what shows that the clock was set back since.
DELETE FROM escalation_clocks;
ALTER TABLE escalation_clocks
    ADD COLUMN since timestamptz NOT NULL,                  -- since when nobody has acknowledged, never in the future
    ADD COLUMN reckoned_at timestamptz NOT NULL;
