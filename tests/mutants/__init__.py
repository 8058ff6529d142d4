"""Mutants of what stands between the ledger and Stripe: each must be blocked at run time, or fail a test."""
