-- Who is told, and how: routes of sinks, messages about several alarms, quiet hours, raises that found nobody.

-- routes --------------------------------------------------------------------------------------------------------------
-- Of a crew's sink, in the order in which they count: maintenance_unit (养护单位), owner_unit (权属单位), area_code. A sink
-- may have several; one without any is for what no other sink is for. What none is for goes to the roster's first level.

ALTER TABLE sinks
    ADD COLUMN owner_unit text,
    ADD COLUMN area_code text REFERENCES areas (code),      -- and all within it
    -- How long what is not red waits for company: alarms of one rule at one cabinet are one message. 0: each is told alone.
    ADD COLUMN bundle_s real NOT NULL DEFAULT 0 CHECK (bundle_s BETWEEN 0 AND 10),
    -- When it is told red only: [{"from": "22:00", "until": "07:00", "days": "all"}], by the city's clock.
    ADD COLUMN quiet jsonb NOT NULL DEFAULT '[]' CHECK (jsonb_typeof(quiet) = 'array');

ALTER TABLE duty_people
    ADD COLUMN feishu text,                                 -- the open_id by which a Feishu robot can @ somebody
    ADD COLUMN quiet jsonb NOT NULL DEFAULT '[]' CHECK (jsonb_typeof(quiet) = 'array');

CREATE TABLE unrouted (
    -- Raises of which somebody was to be told, and there was nobody. Tried again until there is somebody, or it is over.
    alarm_key bigint NOT NULL,
    episode int NOT NULL,
    area_code text,
    since timestamptz NOT NULL DEFAULT our_clock(),
    PRIMARY KEY (alarm_key, episode),
    FOREIGN KEY (alarm_key, episode) REFERENCES episodes (alarm_key, episode)
);

-- messages about several alarms ---------------------------------------------------------------------------------------

ALTER TABLE outbox
    ADD COLUMN company text,                                -- what is owed to a sink with the same text here is one message
    -- Of one that was told with others in one message: the delivery by whose link it was told. Null: told alone.
    ADD COLUMN told_with bigint;
CREATE INDEX outbox_company ON outbox (sink_key, company) WHERE state = 'owed' AND company IS NOT NULL;
CREATE INDEX outbox_told_with ON outbox (told_with) WHERE told_with IS NOT NULL;

-- what is told of cases -----------------------------------------------------------------------------------------------

ALTER TABLE outbox
    DROP CONSTRAINT outbox_notice_check,
    -- case: to whoever is responsible: it is overdue, sent back, supervised, closed
    ADD CONSTRAINT outbox_notice_check
        CHECK (notice IN ('raise', 'change', 'clear', 'correct', 'escalate', 'cancel', 'progress', 'case'));

CREATE TABLE case_news (
    -- Steps of cases of which whoever is responsible has been told.
    case_step_key bigint PRIMARY KEY REFERENCES case_steps (case_step_key),
    at timestamptz NOT NULL DEFAULT our_clock()
);
-- What is news is found by its number alone.
CREATE INDEX case_steps_news ON case_steps (case_step_key)
    WHERE event IN ('overdue_arrive', 'overdue_repair', 'supervised')
        OR (to_state IN ('check_not_pass', 'closed', 'forced_close') AND from_state IS DISTINCT FROM to_state);
