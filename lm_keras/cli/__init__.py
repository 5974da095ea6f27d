"""The command line `lm-keras`, one file for each group of commands."""
