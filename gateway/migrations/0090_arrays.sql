-- The columns of a batch come as arrays again (`ledgers/arrays.py`): taken apart here, a text cost
-- more than an array costs the driver.
DROP FUNCTION items(text);
