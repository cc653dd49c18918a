"""The queues behind one small protocol: `sqs://` and `sql://`."""
