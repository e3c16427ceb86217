"""Lockstep on Kubernetes, and watching it: manifests, rules, dashboards, and what makes them."""
