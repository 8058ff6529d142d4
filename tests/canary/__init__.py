"""Synthetic patients with unmistakable identifiers live through a month; every way out is then searched for them."""
