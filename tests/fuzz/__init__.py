"""Anything at all through what reads from outside: messages, files of rows, configurations."""
