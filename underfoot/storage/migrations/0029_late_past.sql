-- When a device was noted: its past is judged again over many ticks, and what comes late meanwhile is for the next time.
ALTER TABLE late_past ADD COLUMN noted_at timestamptz NOT NULL DEFAULT clock_timestamp();
CREATE INDEX late_past_noted ON late_past (noted_at);
