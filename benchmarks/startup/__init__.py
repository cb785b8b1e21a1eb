"""CPU seconds before the first request: `loadkit --help`, `import loadkit`, and an empty Python for scale."""
