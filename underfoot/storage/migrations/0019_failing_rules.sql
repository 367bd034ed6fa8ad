-- What an alarm about a rule is about: a rule that fails, and who judges it, a shard's holder or the city.
CREATE TABLE rule_keys (
    rule_key int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,  -- the subject_key of alarms about rules
    rule_id text NOT NULL,
    judge text NOT NULL,                                    -- a shard, or 'city'
    UNIQUE (rule_id, judge)
);
