"""The examples, run by the engines that they are for: `make test-engines`."""
