-- A case's life is a dozen updates of its rows: with room in their pages, and no index on what changes each time, they
-- stay where they are, and no index is written (HOT).

ALTER TABLE alarms SET (fillfactor = 70);
ALTER TABLE cases SET (fillfactor = 60);
ALTER TABLE case_reported SET (fillfactor = 70);

-- Whether a platform was ever heard changes once; when it was last, with everything it says.
ALTER TABLE case_reported ADD COLUMN unheard boolean NOT NULL GENERATED ALWAYS AS (heard_at IS NULL) STORED;
DROP INDEX case_reported_unheard;
CREATE INDEX case_reported_unheard ON case_reported (sink_key, reported_at) WHERE unheard;

-- A platform's number is looked for in case_reported; here it is only shown beside others.
DROP INDEX cases_platform_no;
