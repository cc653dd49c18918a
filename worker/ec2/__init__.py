"""The watcher of an EC2 machine: sees that it has to go, and lets its workers drain before it does."""
