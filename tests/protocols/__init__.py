"""Tests of messages and matching."""
