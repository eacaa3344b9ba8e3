"""The tests: real runs against the sandbox."""
