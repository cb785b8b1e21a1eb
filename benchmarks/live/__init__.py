"""Whether a run that ten people look at finds what it finds alone."""
