-- Whether a delivery is repeated by an alternate is asked for each one that is deleted: without this, of the whole outbox.
CREATE INDEX outbox_alternate_of ON outbox (alternate_of) WHERE alternate_of IS NOT NULL;
