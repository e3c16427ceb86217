"""PostgreSQL from a wheel: one server of our own per data directory, without installation."""

from gateway.embedded.cluster import Cluster, EmbeddedError, temporary_directory

__all__ = ["Cluster", "EmbeddedError", "temporary_directory"]
