"""The seeded simulator: the unmodified core, the real book and vault, in a hostile world.

Virtual time, one event heap, one seed: the same seed is the same run, byte for byte. README.md.
"""
