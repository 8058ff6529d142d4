"""A synthetic clinic network as CSV files, and the seeded generator that made them. No person in it is real."""
