"""Symfony on either end of the queues: its messages as jobs, our messages as it reads them."""
