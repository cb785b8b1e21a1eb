"""Cost, memory and start-up of loadkit, side by side with the tools people would use instead."""
