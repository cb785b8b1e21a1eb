"""Cost, memory, start-up and truth of loadkit, side by side with the tools people would use instead."""
