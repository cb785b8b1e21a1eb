"""What it costs to run a functional test under load, beside calling its function by hand."""
