"""A fleet of hydrological stations (水文遥测站: rain and water level) that speak SL 651-2014 over TCP."""
