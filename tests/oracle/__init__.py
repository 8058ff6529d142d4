"""A second, naive set of books written from the rules alone; it shares no code with the product."""
