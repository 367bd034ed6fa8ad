-- Duty (值班): the city's calendar, who is on duty, what has been escalated to whom, and what health is computed from.

-- the calendar --------------------------------------------------------------------------------------------------------

CREATE TABLE calendar_days (
    -- What the city has said itself: years that the library does not know yet, and days that differ from it. A day that
    -- stands neither here nor there is as the week has it.
    day date PRIMARY KEY,
    kind text NOT NULL CHECK (kind IN ('holiday', 'workday')),
    name text NOT NULL CHECK (name <> ''),                  -- 国庆节, 国庆节调休
    source text NOT NULL CHECK (source <> '')               -- the notice that says so
);

-- the roster ----------------------------------------------------------------------------------------------------------

CREATE TABLE duty_people (
    name text PRIMARY KEY CHECK (name <> ''),
    place int NOT NULL,                                     -- in the order of the roster as it was written
    phone text,                                             -- personal information: masked in every answer
    role text NOT NULL DEFAULT '',
    unit text NOT NULL DEFAULT '',
    areas text[] NOT NULL DEFAULT '{}',                     -- codes; none: the whole city
    sink text                                               -- the name of a sink with audience duty
);
CREATE TABLE duty_shifts (
    name text PRIMARY KEY CHECK (name <> ''),
    place int NOT NULL,
    begins time NOT NULL,                                   -- by the city's clock
    ends time NOT NULL,                                     -- not after its begin: on the next day
    days text[] NOT NULL CHECK (cardinality(days) > 0)      -- all | workday | holiday | 1 (Monday) … 7, of the day it begins on
);
CREATE TABLE duty_assignments (
    assignment_key int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    shift text NOT NULL REFERENCES duty_shifts (name),
    level smallint NOT NULL CHECK (level BETWEEN 1 AND 9),
    areas text[] NOT NULL DEFAULT '{}',                     -- none: each person's own
    turns jsonb NOT NULL,                                   -- [[name, …], …]: the teams that take turns
    turn_days int NOT NULL CHECK (turn_days > 0),
    first_day date NOT NULL,
    last_day date CHECK (last_day >= first_day)
);
CREATE TABLE duty_absences (
    absence_key int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    person text NOT NULL REFERENCES duty_people (name),
    since timestamptz NOT NULL,
    until timestamptz NOT NULL,
    stand_in text REFERENCES duty_people (name),
    reason text NOT NULL DEFAULT '',
    CHECK (until > since)
);
CREATE TABLE duty_swaps (
    -- 换班: on this day the one takes the shift of the other.
    swap_key int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    day date NOT NULL,
    shift text NOT NULL REFERENCES duty_shifts (name),
    person text NOT NULL REFERENCES duty_people (name),
    stand_in text NOT NULL REFERENCES duty_people (name),
    UNIQUE (day, shift, person)
);
CREATE TABLE duty_notes (
    -- 交接事项: what one shift writes down for the next.
    note_key bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    actor text NOT NULL,
    area_code text REFERENCES areas (code),
    text text NOT NULL CHECK (text <> '')
);
CREATE INDEX duty_notes_at ON duty_notes (at);

-- escalation ----------------------------------------------------------------------------------------------------------

CREATE TABLE escalations (
    -- Whom a level's turn was told to. A level's turn comes once in a time without acknowledgement (`waiting_since`).
    escalation_key bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    alarm_key bigint NOT NULL,
    episode int NOT NULL,
    cause text NOT NULL DEFAULT '',                         -- '': not acknowledged; else the sink that has not taken it
    waiting_since timestamptz NOT NULL,                     -- since when it has been unacknowledged, or owed
    level smallint NOT NULL CHECK (level > 0),
    severity smallint NOT NULL CHECK (severity BETWEEN 1 AND 4),
    told_at timestamptz NOT NULL,
    told jsonb NOT NULL,                                    -- [{person, shift, level, sink}, …]
    transition_no int NOT NULL,
    FOREIGN KEY (alarm_key, episode) REFERENCES episodes (alarm_key, episode)
);
CREATE UNIQUE INDEX escalations_once ON escalations (alarm_key, episode, cause, waiting_since, level);
CREATE INDEX escalations_told ON escalations (told_at);
CREATE INDEX escalations_cause ON escalations (cause, told_at DESC) WHERE cause <> '';

CREATE TABLE escalation_clocks (
    -- Episodes that nobody has acknowledged, and when the next level's turn comes: what escalation looks at in each tick.
    -- It can be made again from the record at any time.
    alarm_key bigint PRIMARY KEY REFERENCES alarms (alarm_key),
    transition_no int NOT NULL,                             -- of the alarm when it was last looked at
    ladder text NOT NULL,                                   -- which version of the rule it was reckoned by
    due_at timestamptz                                      -- null: all levels have been told
) WITH (fillfactor = 70);
CREATE INDEX escalation_clocks_due ON escalation_clocks (due_at) WHERE due_at IS NOT NULL;

-- handing over, and health -------------------------------------------------------------------------------------------

CREATE INDEX comments_at ON comments (at);
CREATE INDEX suppressions_ended ON suppressions (ended_at) WHERE ended_at IS NOT NULL;
CREATE INDEX episodes_committed ON episodes (committed_at);
CREATE INDEX episodes_cleared ON episodes (cleared_received_at) WHERE cleared_at IS NOT NULL;

-- `duty`: when deliveries without a receipt were last looked for. `health`: the newest figures.
INSERT INTO engines (name) VALUES ('duty'), ('health');
