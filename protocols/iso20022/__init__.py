"""ISO 20022: bytes to typed messages and back, without I/O, clock or randomness."""
