"""A business day of a dozen custodians, and the program that runs it and checks every outcome."""
