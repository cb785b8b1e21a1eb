"""CPU seconds until the first request, of `loadkit --help`, `import loadkit`, and an empty Python for scale."""
