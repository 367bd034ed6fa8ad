-- Our clock in SQL: the machine's, or that of an installation in lapsed time (underfoot/clock.py), as its session says it.
-- What is about when something was goes by it; leases, retries and expiries go by the machine's.

CREATE FUNCTION ours(machine timestamptz) RETURNS timestamptz LANGUAGE sql STABLE PARALLEL SAFE
    -- Not in lapsed time, or not any more: as it is.
    RETURN machine - coalesce(
        greatest(to_timestamp(nullif(current_setting('underfoot.lapse_until', true), '')::float8) - machine, interval '0')
            * (nullif(current_setting('underfoot.lapse_speed', true), '')::float8 - 1),
        interval '0');

CREATE FUNCTION our_clock() RETURNS timestamptz LANGUAGE sql VOLATILE PARALLEL SAFE
    RETURN ours(clock_timestamp());
COMMENT ON FUNCTION our_clock() IS 'what clock_timestamp() is by our clock';

CREATE FUNCTION our_now() RETURNS timestamptz LANGUAGE sql STABLE PARALLEL SAFE
    RETURN ours(now());
COMMENT ON FUNCTION our_now() IS 'what now() is by our clock: the same throughout a transaction';

ALTER TABLE devices ALTER COLUMN created_at SET DEFAULT our_now();
ALTER TABLE rules ALTER COLUMN created_at SET DEFAULT our_now();
ALTER TABLE episodes ALTER COLUMN committed_at SET DEFAULT our_clock();
ALTER TABLE transitions ALTER COLUMN committed_at SET DEFAULT our_clock();
ALTER TABLE corrections ALTER COLUMN committed_at SET DEFAULT our_clock();
ALTER TABLE suppressions ALTER COLUMN since SET DEFAULT our_clock();
ALTER TABLE comments ALTER COLUMN at SET DEFAULT our_clock();
ALTER TABLE duty_notes ALTER COLUMN at SET DEFAULT our_clock();
ALTER TABLE audit ALTER COLUMN at SET DEFAULT our_clock();
ALTER TABLE inbox ALTER COLUMN created_at SET DEFAULT our_clock();
ALTER TABLE outbox ALTER COLUMN created_at SET DEFAULT our_clock();
