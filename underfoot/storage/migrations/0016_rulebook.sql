-- Rules edited while alarms are open: what the engine remembers says under which version of which scope it came about,
-- so that it can be carried over to the numbers that are in force now.

ALTER TABLE conditions
    ADD COLUMN rule_version int,                            -- null: kept before this was noted
    ADD COLUMN rule_scope text NOT NULL DEFAULT 'city';

-- The scopes of a rule share one count of versions: a version names what was changed, wherever it was.
CREATE UNIQUE INDEX rules_versions ON rules (rule_id, version);
