"""`manage.py demo`: three months of a made-up clinic network, with the real product and a local Stripe."""
