"""The customers' databases: directory, routing, engines, transactions, inbox and error classes."""
