-- Indexes that let every list of the API find its page without reading the table (tests/integration/test_api_plans.py).

CREATE INDEX assets_code ON assets (asset_code);
CREATE INDEX assets_maintenance_unit ON assets (maintenance_unit, asset_key);
CREATE INDEX alarms_rule ON alarms (rule_id);
CREATE INDEX alarms_family ON alarms (family);
CREATE INDEX transitions_episode ON transitions (alarm_key, episode, transition_no);
CREATE INDEX outbox_episode ON outbox (alarm_key, episode);
CREATE INDEX quarantine_received ON quarantine (received_at DESC, quarantine_key DESC);
CREATE INDEX quarantine_reason ON quarantine (reason, received_at DESC, quarantine_key DESC);
CREATE INDEX books_minute ON books (minute DESC, shard DESC);
CREATE INDEX assets_kind ON assets (kind, asset_key);
CREATE INDEX assets_not_whole ON assets (object_state, asset_key) WHERE object_state <> '完好';
CREATE INDEX devices_vendor ON devices (vendor, device_key);
CREATE INDEX devices_not_in_service ON devices (status, device_key) WHERE status <> 'in_service';
CREATE INDEX episodes_open ON episodes (raised_at DESC, episode_key DESC) WHERE cleared_at IS NULL;
CREATE INDEX episodes_unacknowledged ON episodes (raised_at DESC, episode_key DESC) WHERE human = 'unacknowledged';
