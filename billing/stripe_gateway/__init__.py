"""The only door to Stripe: typed requests out, a default-deny guard on the wire, strictly parsed replies in.

Pure Python plus `requests` and `stripe`; it knows neither Django nor any app. Only `client.py` imports `stripe`.
"""
