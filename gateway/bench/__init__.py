"""Capacity planning: CPU time per settled DvP, settlements per second, latency (`lockstep bench`).

What is measured is the whole of it: every process of gateway, ledgers and their PostgreSQL, each
with real commits. The load generator is a process of its own, so that its share stands apart.
"""
