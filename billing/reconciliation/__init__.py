"""Our books and Stripe's, compared three ways and kept equal: see docs/reconciliation.md."""
