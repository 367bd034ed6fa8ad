-- The drainage network: what its gauges said last.

-- name: newest_levels
-- purpose: the newest levels of every gauge in service at whose asset a pipe ends; of covers where the rim's height is known
SELECT devices.device_key, devices.asset_key, devices.family,
    jsonb_build_object('level_m', level_m, 'fill_ratio', fill_ratio, 'flow_m3_h', flow_m3_h),
    (extract(epoch FROM ts) * 1000000)::bigint
FROM latest_pipe JOIN devices USING (device_key)
WHERE devices.status = 'in_service'
  AND EXISTS (SELECT FROM pipes WHERE pipes.from_asset = devices.asset_key OR pipes.to_asset = devices.asset_key)
UNION ALL
SELECT devices.device_key, devices.asset_key, devices.family, jsonb_build_object('water_below_rim_m', water_below_rim_m),
    (extract(epoch FROM ts) * 1000000)::bigint
FROM devices JOIN latest_cover USING (device_key)
WHERE devices.asset_key = ANY(%(rimmed)s) AND devices.status = 'in_service' AND water_below_rim_m IS NOT NULL;
