"""The command line: one module per command, the application, and what is seen on a terminal."""
