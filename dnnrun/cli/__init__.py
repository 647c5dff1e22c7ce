"""The command line: parse, call, print, exit code. Modules here import the rest inside their functions."""
