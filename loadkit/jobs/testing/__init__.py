"""Load tests within pytest: the `load` fixture, scenarios as tests, what is kept of them, and what is shown.

`loadkit.pytest_plugin` has the hooks and options, and imports the modules in here when the first load test is met;
`collect` imports the others when it runs something, for scenario files are met by sessions that run none of them.
"""
