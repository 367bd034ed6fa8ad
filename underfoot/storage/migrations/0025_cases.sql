-- Cases (案件): what an alarm or an incident is to the city's platform, with its two clocks and its whole life.

CREATE TABLE cases (
    case_key bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    alarm_key bigint NOT NULL REFERENCES alarms (alarm_key),
    episode int NOT NULL,
    -- 0, unless an earlier case of the same episode was merged into an incident and the episode then had to stand alone.
    again smallint NOT NULL DEFAULT 0 CHECK (again >= 0),
    -- what it is: as the 立案条件 said when it was opened; a later edit of that changes no case
    filing_id text NOT NULL,                                -- the rule, e.g. filing.cover_open
    filing_version int NOT NULL,
    code_scheme text NOT NULL,
    case_type text NOT NULL CHECK (case_type IN ('component', 'event')),
    code text NOT NULL,                                     -- 大小类, as text: cities have codes of their own
    code_name text NOT NULL,                                -- 小类, Chinese; empty where the table of names has none
    condition_name text NOT NULL,                           -- 立案条件, Chinese
    level smallint NOT NULL CHECK (level BETWEEN 0 AND 2),  -- 0 一般, 1 重要, 2 重大
    -- where it is
    state text NOT NULL CHECK (state IN (
        'reported', 'pending_verify', 'pending_register', 'accepted', 'not_accepted', 'pending_dispatch', 'dispatched',
        'pending_handle', 'handling', 'suspended', 'returned', 'handle_finish', 'pending_check', 'checking', 'check_pass',
        'check_not_pass', 'pending_close', 'closed', 'forced_close', 'cancelled')),
    step_no int NOT NULL DEFAULT 0,                         -- of its newest step
    opened_at timestamptz NOT NULL,                         -- received time of what raised it
    filed_at timestamptz,                                   -- owed to the platform since then; null: waits for an operator's 核实
    known_state text,                                       -- what the platform last said, and its own time of that
    known_at timestamptz,
    arrived_at timestamptz,
    handled_at timestamptz,
    ended_at timestamptz,
    -- duplicate: a citizen's case (duplicate_of) goes on instead. merged: an incident's case (merged_into) does.
    ended_how text CHECK (ended_how IN (
        'closed', 'forced_close', 'cancelled', 'not_accepted', 'merged', 'duplicate', 'false_alarm')),
    end_confirmed boolean NOT NULL DEFAULT false,           -- the platform has said that it is over: nothing moves it any more
    condition_over_at timestamptz,                          -- the alarm cleared
    false_alarm_at timestamptz,                             -- an operator found that it was none
    rework int NOT NULL DEFAULT 0,                          -- 返工: how often 核查 did not pass
    supervised boolean NOT NULL DEFAULT false,              -- 督办
    suspended_since timestamptz,                            -- 挂账
    suspended_s double precision NOT NULL DEFAULT 0,
    needs_person text,                                      -- why a named person must look (Need of alerts.cases.states)
    -- the clocks: null where the 立案条件 sets no limit
    arrive_kind text CHECK (arrive_kind IN ('urgent_hour', 'work_hour', 'work_day', 'natural_day')),
    arrive_amount double precision,
    arrive_by timestamptz,
    arrive_overdue_at timestamptz,                          -- marked once
    repair_kind text CHECK (repair_kind IN ('urgent_hour', 'work_hour', 'work_day', 'natural_day')),
    repair_amount double precision,
    repair_by timestamptz,
    repair_overdue_at timestamptz,
    suspension_stops text[] NOT NULL DEFAULT '{repair}' CHECK (suspension_stops <@ ARRAY['arrive', 'repair']),
    -- on the platform
    sink_key int REFERENCES sinks (sink_key),               -- whose number platform_no is; null: no platform has answered yet
    platform_no text,
    -- beside others
    duplicate_of text,                                      -- a citizen's case, by its number on the platform
    merged_into bigint REFERENCES cases (case_key),
    follows bigint REFERENCES cases (case_key),             -- an earlier case of the same alarm that was not over yet
    UNIQUE (alarm_key, episode, again),
    FOREIGN KEY (alarm_key, episode) REFERENCES episodes (alarm_key, episode),
    CHECK ((ended_at IS NULL) = (ended_how IS NULL)),
    CHECK ((ended_at IS NOT NULL) = (state IN ('closed', 'forced_close', 'cancelled', 'not_accepted'))),
    CHECK ((arrive_by IS NULL) = (arrive_kind IS NULL) AND (arrive_by IS NULL) = (arrive_amount IS NULL)),
    CHECK ((repair_by IS NULL) = (repair_kind IS NULL) AND (repair_by IS NULL) = (repair_amount IS NULL)),
    CHECK ((ended_how = 'duplicate') = (duplicate_of IS NOT NULL)),
    CHECK ((ended_how = 'merged') = (merged_into IS NOT NULL))
-- A case's life is a dozen updates of its rows: with room in their pages, those that change nothing indexed write no index.
) WITH (fillfactor = 60);
ALTER TABLE alarms SET (fillfactor = 70);
-- One case at a time of an alarm's episode.
CREATE UNIQUE INDEX cases_one_open ON cases (alarm_key, episode) WHERE ended_at IS NULL;
CREATE INDEX cases_opened ON cases (opened_at DESC, case_key DESC);
CREATE INDEX cases_open ON cases (opened_at DESC, case_key DESC) WHERE ended_at IS NULL;
CREATE INDEX cases_filing ON cases (filing_id, opened_at DESC, case_key DESC);
CREATE INDEX cases_needs_person ON cases (opened_at DESC, case_key DESC) WHERE needs_person IS NOT NULL;
CREATE INDEX cases_overdue ON cases (opened_at DESC, case_key DESC)
    WHERE arrive_overdue_at IS NOT NULL OR repair_overdue_at IS NOT NULL;
CREATE INDEX cases_arrive_due ON cases (arrive_by)
    WHERE ended_at IS NULL AND arrived_at IS NULL AND arrive_overdue_at IS NULL AND arrive_by IS NOT NULL;
CREATE INDEX cases_repair_due ON cases (repair_by)
    WHERE ended_at IS NULL AND handled_at IS NULL AND repair_overdue_at IS NULL AND repair_by IS NOT NULL;
CREATE INDEX cases_merged ON cases (merged_into) WHERE merged_into IS NOT NULL;

CREATE TABLE case_steps (
    -- What happened to a case, and who says so. What moved nothing (older than what we know, after the end) is here too:
    -- from_state and to_state are then the same, and detail says why.
    case_step_key bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    case_key bigint NOT NULL REFERENCES cases (case_key),
    step_no int NOT NULL,
    from_state text,                                        -- null: it was opened
    to_state text NOT NULL,
    event text NOT NULL,                                    -- a CaseEvent of alerts.cases.lifecycle
    at timestamptz NOT NULL,                                -- when it happened, as whoever says so has it
    received_at timestamptz NOT NULL DEFAULT our_clock(),
    actor text NOT NULL,
    cause text NOT NULL CHECK (cause IN ('callback', 'engine', 'operator', 'reconcile', 'receipt')),
    note text NOT NULL DEFAULT '',
    detail jsonb NOT NULL DEFAULT '{}',
    UNIQUE (case_key, step_no)
);
-- What is to be told of cases is read from here, by number.
CREATE INDEX case_steps_event ON case_steps (event, case_step_key);
CREATE TRIGGER case_steps_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON case_steps
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- By a trigger, as transitions are: whoever moves a case enters it.
CREATE FUNCTION audit_case_steps() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO audit (actor, action, subject, detail)
    SELECT s.actor, 'case.' || s.event, 'case:' || s.case_key,
        jsonb_build_object(
            'step_no', s.step_no, 'from', s.from_state, 'to', s.to_state, 'at', s.at, 'cause', s.cause, 'note', s.note,
            'detail', s.detail
        )
    FROM added s
    ORDER BY s.case_step_key;
    RETURN NULL;
END $$;
CREATE TRIGGER case_steps_audited AFTER INSERT ON case_steps REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION audit_case_steps();

-- An act on a case of which the platform is told is a line of its alarm's record too: notices are in its order.
ALTER TABLE transitions
    DROP CONSTRAINT transitions_region_check,
    ADD CONSTRAINT transitions_region_check CHECK (region IN ('condition', 'human', 'suppression', 'case'));
ALTER TABLE outbox
    DROP CONSTRAINT outbox_notice_check,
    -- cancel: we have ended the case (撤案). progress: it went on, and we know that first.
    ADD CONSTRAINT outbox_notice_check
        CHECK (notice IN ('raise', 'change', 'clear', 'correct', 'escalate', 'cancel', 'progress'));

-- Deadlines are reckoned in the transaction that raises an alarm: whether what they go by has changed must cost nothing to ask.
CREATE TABLE calendar_version (
    singular boolean PRIMARY KEY DEFAULT true CHECK (singular),
    version bigint NOT NULL DEFAULT 0
);
INSERT INTO calendar_version DEFAULT VALUES;
CREATE FUNCTION calendar_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO calendar_version AS known (version) VALUES (1)
    ON CONFLICT (singular) DO UPDATE SET version = known.version + 1;
    RETURN NULL;
END $$;
CREATE TRIGGER calendar_days_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON calendar_days
    FOR EACH STATEMENT EXECUTE FUNCTION calendar_changed();

-- The role belongs to the cluster; where ensure_services() grants it everything again, the trigger above stands.
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'underfoot_services') THEN
        REVOKE UPDATE, DELETE ON case_steps FROM underfoot_services;
    END IF;
END $$;
