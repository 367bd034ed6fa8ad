-- Where the clock of a shard's holder has been set: since when silence counts.

ALTER TABLE shards ADD COLUMN silence_from timestamptz;
COMMENT ON COLUMN shards.silence_from IS
    'when the clock of its holder was last set, by the new time: nobody''s silence began before';
