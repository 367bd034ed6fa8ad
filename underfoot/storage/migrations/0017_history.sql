-- The past, judged again: what late data has shown of episodes, and what people say of them.

ALTER TABLE late_windows
    -- While late reports still come their device's past is not judged yet, but not for ever.
    ADD COLUMN first_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    ADD COLUMN last_at timestamptz NOT NULL DEFAULT clock_timestamp();

CREATE TABLE silences (
    -- Until when, by the device's clock, its silence has been taken for proof. What it still says of before that
    -- contradicts it: its past is to be judged again.
    device_key int PRIMARY KEY REFERENCES devices (device_key),
    until timestamptz NOT NULL
);
CREATE INDEX silences_until ON silences (until);

ALTER TABLE corrections
    ADD COLUMN transition_no int NOT NULL,                  -- the line of the record that says so
    DROP CONSTRAINT corrections_verdict_check,
    DROP CONSTRAINT corrections_check,
    ADD CONSTRAINT corrections_verdict_check CHECK (verdict IN ('missed', 'changed', 'merged', 'unfounded')),
    -- merged: a part of another episode. Neither that nor what was unfounded has times of its own.
    ADD CONSTRAINT corrections_check CHECK ((verdict IN ('merged', 'unfounded')) = (raised_at IS NULL));

CREATE OR REPLACE VIEW corrected_episodes AS
    -- The record as input in order would have made it: what was unfounded, or a part of another, is not in it.
    SELECT e.episode_key, e.alarm_key, e.episode, e.rule_version, e.title,
        coalesce(c.raised_at, e.raised_at) AS raised_at,
        CASE WHEN c.correction_key IS NULL THEN e.cleared_at ELSE coalesce(c.cleared_at, e.cleared_at) END AS cleared_at,
        CASE
            WHEN c.correction_key IS NULL THEN e.worst_severity
            WHEN c.cleared_at IS NOT NULL THEN c.worst_severity
            -- Corrected while it was open: it may have got worse since.
            ELSE greatest(c.worst_severity, (
                SELECT max(t.severity) FROM transitions t
                WHERE t.alarm_key = e.alarm_key AND t.episode = e.episode AND t.region = 'condition'
                    AND t.transition_no > c.transition_no
            ))
        END AS worst_severity,
        c.correction_key IS NOT NULL AS corrected
    FROM episodes e
    LEFT JOIN LATERAL (
        SELECT * FROM corrections c WHERE c.alarm_key = e.alarm_key AND c.episode = e.episode
        ORDER BY c.correction_key DESC LIMIT 1
    ) c ON true
    WHERE c.verdict IS NULL OR c.verdict IN ('missed', 'changed');

ALTER TABLE episodes
    -- What people found: true, it was so; false, a false alarm (误报); null: nobody has said.
    ADD COLUMN confirmed boolean,
    ADD COLUMN confirmed_by text,
    ADD COLUMN confirmed_at timestamptz,
    ADD CONSTRAINT episodes_confirmed CHECK ((confirmed IS NULL) = (confirmed_by IS NULL) AND (confirmed IS NULL) = (confirmed_at IS NULL));
