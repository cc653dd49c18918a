"""What becomes of the directory's source, as lines of the log."""

import structlog

log = structlog.get_logger()


class DirectoryLog:
    """Logs when a catalog or function goes away and comes back, and what it says that cannot be used."""

    def away(self, reason: str) -> None:
        """The source does not answer."""
        log.warning("directory.away", error_code="directory_away", msg=reason)

    def back(self) -> None:
        """The source answers again."""
        log.info("directory.back")

    def bad_placement(self, customer_id: str, reason: str) -> None:
        """What the source says of a customer cannot be used."""
        log.error("directory.bad_placement", customer=customer_id, msg=reason)
