"""Monitoring as code: rules and dashboards, written out by `python -m k8s.monitoring`."""
