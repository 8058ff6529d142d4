"""Tables as files, for staff with a permission of its own: allowed columns, safe cells, flat memory, on the record."""
