"""Grafana: the overview dashboard, its datasource, and how both come to a Grafana server.

What dashboards read are the views of schema `dashboard` (underfoot/storage/migrations); the queries are named SQL
(underfoot/storage/sql/grafana_overview.sql); overview.py makes the dashboard of them, with labels, units and decimals
from the families' declarations. `dashboards/overview.json` is what it makes, for file provisioning.
"""
