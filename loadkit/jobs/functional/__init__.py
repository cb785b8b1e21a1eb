"""Functional tests under load: the tests of a pytest session, run again and again by threads, with their fixtures."""
