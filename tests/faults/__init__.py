"""The fault harness: real PostgreSQL, Redis, workers and a stand-in as processes, and everything that may befall them.

`bin/faults` runs it. Each drill breaks something, lets the product go on by itself, and asks the one checker of the
invariants (tests/invariants.py). Everything that is drawn comes from one printed seed.
"""
