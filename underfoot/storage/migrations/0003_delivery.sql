-- What the dispatcher keeps about a delivery beyond its state, and the index it claims by.

ALTER TABLE outbox
    -- When the 72 hours of retrying and the 60 seconds to the alternate channel began: at the transition, or at a replay.
    ADD COLUMN owed_since timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- Why the receiver was told or was not: alerts.verdict.Verdict. Null until that is decided.
    ADD COLUMN verdict text,
    -- An attempt ended without an answer: the receiver may have it, so its end must follow.
    ADD COLUMN maybe_told boolean NOT NULL DEFAULT false,
    -- The delivery that this one repeats through the alternate channel of its sink.
    ADD COLUMN alternate_of bigint REFERENCES outbox (delivery_key);

-- Claimed sink by sink, red before yellow: a dead sink's backlog is never read on the way to another sink's rows.
DROP INDEX outbox_owed;
CREATE INDEX outbox_due ON outbox (sink_key, severity DESC, next_attempt_at, delivery_key) WHERE state = 'owed';
CREATE INDEX outbox_dead ON outbox (settled_at, delivery_key) WHERE state = 'dead';
