"""The node of one registry as a process: configuration, composition, its HTTP interface."""
