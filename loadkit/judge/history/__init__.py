"""Many runs of one load over time: what is kept of each, which of them can be compared, and when a figure changed."""
