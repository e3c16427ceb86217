"""Everything on one machine: `up`, `demo`, `bench`, tests. Production runs the parts apart."""
