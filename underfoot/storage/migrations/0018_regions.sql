-- Indexes for what people do to alarms: their lists, and what takes an acknowledgement back.

CREATE INDEX episodes_assigned ON episodes (assigned_to, raised_at DESC, episode_key DESC) WHERE assigned_to IS NOT NULL;
CREATE INDEX episodes_acknowledged ON episodes (acknowledged_at) WHERE cleared_at IS NULL AND human = 'acknowledged';
CREATE INDEX suppressions_in_force ON suppressions (suppression_key) WHERE ended_at IS NULL;
CREATE INDEX suppressions_orders ON suppressions (cause) WHERE kind = 'out_of_service';
