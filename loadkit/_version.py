"""The version of loadkit."""

__version__ = "0.1.0"
