"""A message that RabbitMQ counts as ours, and until when it is."""

from dataclasses import dataclass


@dataclass(slots=True)
class Hold:
    """`expires_at` is the end of its lease, None while nobody here has received it; it ends by `ends_at`."""

    ends_at: float
    expires_at: float | None = None

    def is_over(self, now: float) -> bool:
        """Whether it has to be given back."""
        return self.ends_at <= now or (self.expires_at is not None and self.expires_at <= now)
