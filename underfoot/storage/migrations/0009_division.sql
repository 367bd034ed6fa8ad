-- Districts divided among shards, and shards among workers.

ALTER TABLE workers ADD COLUMN may_hold text[];             -- the shards that it may hold; null: any

UPDATE shards SET subscribed = filters WHERE session_known;
ALTER TABLE shards
    ALTER COLUMN districts SET DEFAULT '{}',                -- whose devices it holds; of main, null: all that no other has
    ADD CONSTRAINT shards_main CHECK ((districts IS NULL) = (shard = 'main'));

CREATE TABLE shard_moves (
    -- A district on its way to another shard: the old one's, until that one's holder has handed it over.
    -- drained: all that came for it before the new one's session had subscribed is committed.
    district text PRIMARY KEY CHECK (district ~ '^[0-9]{6}$'),
    from_shard text NOT NULL REFERENCES shards (shard),
    to_shard text NOT NULL REFERENCES shards (shard),
    drained boolean NOT NULL DEFAULT false,
    begun_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CHECK (from_shard <> to_shard)
);

CREATE FUNCTION shard_of(wanted text) RETURNS text LANGUAGE sql STABLE
    RETURN coalesce((SELECT shard FROM shards WHERE wanted = ANY (districts)), 'main');

-- The keys of all advisory locks that somebody has in this database: hashtextextended(name, 0).
CREATE FUNCTION held_locks() RETURNS SETOF bigint LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT (classid::bigint << 32) | objid::bigint FROM pg_locks
    WHERE locktype = 'advisory' AND objsubid = 1 AND granted
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database());
END;

-- Whoever puts a device into a district, and whoever gives a district to another shard, exclude each other.
CREATE FUNCTION devices_placed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(hashtextextended('underfoot.division', 0));
    RETURN NULL;
END $$;
CREATE TRIGGER devices_placed BEFORE INSERT OR UPDATE OF district ON devices
    FOR EACH STATEMENT EXECUTE FUNCTION devices_placed();

-- A device belongs to its district's shard. Two holders keep one in memory whose district has changed: both load anew.
CREATE FUNCTION devices_shard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.shard := shard_of(NEW.district);
    IF TG_OP = 'UPDATE' AND NEW.shard <> OLD.shard THEN
        PERFORM pg_notify('underfoot_shards', OLD.shard), pg_notify('underfoot_shards', NEW.shard);
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER devices_shard_new BEFORE INSERT ON devices
    FOR EACH ROW WHEN (NEW.shard = 'main') EXECUTE FUNCTION devices_shard();
CREATE TRIGGER devices_shard_changed BEFORE UPDATE OF district ON devices
    FOR EACH ROW WHEN (NEW.district <> OLD.district) EXECUTE FUNCTION devices_shard();
