"""One network, several runtimes, the same numbers within the precision of each."""
