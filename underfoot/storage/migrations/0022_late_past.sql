-- Devices whose past has changed by late reports and has been judged again by itself, and is still to be looked at together
-- with what others said then.

CREATE TABLE late_past (
    device_key int PRIMARY KEY REFERENCES devices (device_key),
    since timestamptz NOT NULL
);
