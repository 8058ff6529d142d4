"""Measurements, run by hand: each program prints ratios to a baseline measured in the same run (`bin/bench NAME`)."""
