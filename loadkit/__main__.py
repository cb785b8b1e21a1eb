"""`python -m loadkit` is `loadkit`."""

from loadkit.cli import main

# a process that multiprocessing starts imports the file its parent was started with
if __name__ == "__main__":
    main()
