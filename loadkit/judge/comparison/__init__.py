"""Is the new version slower than the old one: rounds of both, paired, and what may be said of them."""
