"""The books of any office, rebuilt from the audit log, held against the tables: what was changed by hand shows."""
