"""`lockstep audit`: what must always hold, checked again over live databases and block chains."""
