-- Alarms whole: rules for narrower scopes, the human and the suppression region, corrections of the past, and the pipes.

-- rules -------------------------------------------------------------------------------------------------------------

ALTER TABLE assets ADD COLUMN tags text[] NOT NULL DEFAULT '{}';  -- words a city puts on an asset; a rule may be about them
CREATE INDEX assets_tags ON assets USING gin (tags);

-- A rule is the city's; an override changes its numbers for a narrower scope:
-- 'city' | 'area:{area code}' | 'tag:{tag}' | 'device:{device_id}'. A rule and its overrides share one count of versions.
ALTER TABLE rules
    ADD COLUMN scope text NOT NULL DEFAULT 'city' CHECK (scope = 'city' OR scope ~ '^(area|tag|device):.+$'),
    DROP CONSTRAINT rules_pkey,
    ADD PRIMARY KEY (rule_id, scope, version);

-- pipes -------------------------------------------------------------------------------------------------------------

CREATE TABLE pipes (
    pipe_key int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    pipe_id text NOT NULL UNIQUE CHECK (pipe_id ~ '^[A-Za-z0-9_.-]{1,64}$'),
    from_asset int NOT NULL REFERENCES assets (asset_key),
    to_asset int NOT NULL REFERENCES assets (asset_key),
    kind text NOT NULL CHECK (kind IN ('foul', 'storm')),
    diameter_mm real NOT NULL CHECK (diameter_mm > 0),
    length_m real NOT NULL CHECK (length_m > 0),
    invert_up_m real NOT NULL,                              -- 管底标高, metres above the city's datum
    invert_down_m real NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CHECK (from_asset <> to_asset)
);
CREATE INDEX pipes_from ON pipes (from_asset);
CREATE INDEX pipes_to ON pipes (to_asset);

-- incidents ---------------------------------------------------------------------------------------------------------

CREATE TABLE incidents (
    -- 险情: alarms grouped by cause or by catchment. Its notices are those of the alarm ('incident', incident_key).
    incident_key bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind text NOT NULL CHECK (kind IN ('storm', 'cause')),
    area_code text NOT NULL REFERENCES areas (code),
    catchment text NOT NULL,                                -- the drainage subgraph or the area that it is about
    title text NOT NULL,
    began_at timestamptz NOT NULL,
    ended_at timestamptz
);
CREATE INDEX incidents_open ON incidents (area_code) WHERE ended_at IS NULL;

-- the three regions -------------------------------------------------------------------------------------------------

ALTER TABLE alarms
    DROP CONSTRAINT alarms_subject_kind_check,
    ADD CONSTRAINT alarms_subject_kind_check CHECK (subject_kind IN
        ('device', 'asset', 'pipe', 'gateway', 'area', 'incident', 'shard', 'rule', 'sink')),
    -- The suppression region: the kinds in force, in order of name; `suppressions` says why and until when.
    ADD COLUMN suppressed text[] NOT NULL DEFAULT '{}'
        CHECK (suppressed <@ ARRAY['by_design', 'flapping', 'out_of_service', 'shelved']);
CREATE INDEX alarms_suppressed ON alarms (alarm_key) WHERE suppressed <> '{}';

CREATE TABLE suppressions (
    suppression_key bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    alarm_key bigint NOT NULL REFERENCES alarms (alarm_key),
    kind text NOT NULL CHECK (kind IN ('by_design', 'flapping', 'out_of_service', 'shelved')),
    cause text NOT NULL DEFAULT '',                         -- e.g. incident:12, alarm:3, order:WO-7; several may hold at once
    since timestamptz NOT NULL DEFAULT clock_timestamp(),
    until timestamptz,                                      -- ends by itself then; null: whoever began it ends it
    severity smallint,                                      -- the episode's when it began: beyond it, it ends
    reason text NOT NULL,                                   -- what a person reads
    actor text NOT NULL,
    ended_at timestamptz,
    ended_by text,
    end_reason text
);
CREATE UNIQUE INDEX suppressions_one ON suppressions (alarm_key, kind, cause) WHERE ended_at IS NULL;
CREATE INDEX suppressions_until ON suppressions (until) WHERE ended_at IS NULL AND until IS NOT NULL;
CREATE INDEX suppressions_cause ON suppressions (cause) WHERE ended_at IS NULL;

ALTER TABLE episodes
    ADD COLUMN withheld boolean NOT NULL DEFAULT false,     -- a notice was not owed since the alarm was suppressed
    ADD COLUMN assigned_to text,
    ADD COLUMN assigned_at timestamptz;

CREATE TABLE comments (
    comment_key bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    episode_key bigint NOT NULL REFERENCES episodes (episode_key),
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    actor text NOT NULL,
    text text NOT NULL CHECK (text <> '')
);
CREATE INDEX comments_episode ON comments (episode_key, comment_key);

-- the corrected past ------------------------------------------------------------------------------------------------

CREATE TABLE late_windows (
    -- Devices of which late reports have come: their past, from `since` on, is to be judged again by the shard's holder.
    device_key int PRIMARY KEY REFERENCES devices (device_key),
    shard text NOT NULL,
    since timestamptz NOT NULL
);
CREATE INDEX late_windows_shard ON late_windows (shard);

CREATE TABLE corrections (
    -- What input in order would have recorded of an episode. The newest of an episode counts; the episode stays as it was.
    correction_key bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    alarm_key bigint NOT NULL,
    episode int NOT NULL,
    verdict text NOT NULL CHECK (verdict IN ('missed', 'changed', 'unfounded')),
    raised_at timestamptz,
    cleared_at timestamptz,
    worst_severity smallint CHECK (worst_severity BETWEEN 1 AND 4),
    reason text NOT NULL DEFAULT 'late_data',
    proof jsonb,
    committed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    FOREIGN KEY (alarm_key, episode) REFERENCES episodes (alarm_key, episode),
    CHECK ((verdict = 'unfounded') = (raised_at IS NULL)),
    CHECK ((raised_at IS NULL) = (worst_severity IS NULL))
);
CREATE INDEX corrections_episode ON corrections (alarm_key, episode, correction_key DESC);
CREATE TRIGGER corrections_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON corrections
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE VIEW corrected_episodes AS
    -- The record as input in order would have made it: unfounded episodes are not in it.
    SELECT e.episode_key, e.alarm_key, e.episode, e.rule_version, e.title,
        coalesce(c.raised_at, e.raised_at) AS raised_at,
        CASE WHEN c.correction_key IS NULL THEN e.cleared_at ELSE coalesce(c.cleared_at, e.cleared_at) END AS cleared_at,
        coalesce(c.worst_severity, e.worst_severity) AS worst_severity,
        c.correction_key IS NOT NULL AS corrected
    FROM episodes e
    LEFT JOIN LATERAL (
        SELECT * FROM corrections c WHERE c.alarm_key = e.alarm_key AND c.episode = e.episode
        ORDER BY c.correction_key DESC LIMIT 1
    ) c ON true
    WHERE c.verdict IS DISTINCT FROM 'unfounded';

-- what is owed ------------------------------------------------------------------------------------------------------

ALTER TABLE outbox
    DROP CONSTRAINT outbox_notice_check,
    -- correct: the record of what was told has changed; escalate: nobody has acknowledged it in time
    ADD CONSTRAINT outbox_notice_check CHECK (notice IN ('raise', 'change', 'clear', 'correct', 'escalate'));
DROP INDEX outbox_order;
CREATE UNIQUE INDEX outbox_order ON outbox (alarm_key, sink_key, transition_no, notice);

ALTER TABLE sinks
    DROP CONSTRAINT sinks_audience_check,
    -- duty: one person's; told by name (escalation, handover), never by being anybody's area
    ADD CONSTRAINT sinks_audience_check CHECK (audience IN ('platform', 'crew', 'duty'));

-- who runs what there is one of -------------------------------------------------------------------------------------

CREATE TABLE engines (
    -- What of one process there is: the epoch is raised by whoever takes the lock, and checked by every transaction.
    name text PRIMARY KEY,
    epoch bigint NOT NULL DEFAULT 0,
    state jsonb NOT NULL DEFAULT '{}'
);
INSERT INTO engines (name) VALUES ('city');
