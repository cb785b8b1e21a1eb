"""Five everyday jobs with loadkit, hey, Locust and k6: how many lines are written for each, and how many are read."""
