"""Whether a test finds what the command finds: the same scenario through the `load` fixture and `loadkit run`."""
