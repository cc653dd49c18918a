"""The soak: thousands of jobs through workers, databases, queues and buckets that fail all the time."""
