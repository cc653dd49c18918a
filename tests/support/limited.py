"""Parts that are offered to rate limits, by hand: who went, who waits, who came back."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from config.settings import Settings
from tests.support.core import Site
from tests.support.executing import part_of
from tests.support.jobs import job_fields
from worker.conclusion import Deferral, Return
from worker.job_in_hand import Part
from worker.limited_parts import LimitedParts

PARTNERS = {name: {"customers": ["*"], "types": ["*"]} for name in ("acme", "beta", "gamma")}


class Limits:
    """The rate limits of a site; `sent` names the jobs whose part went, `refusing` is the lane's answer."""

    def __init__(self, directory: Path, /, in_hand_max: int = 100, **rate_limits: Any) -> None:
        self.site = Site(
            directory, partners=PARTNERS, worker={"in_hand_max": in_hand_max}, rate_limits=rate_limits
        )
        self.time = self.site.time
        self.parts: dict[str, Part] = {}
        self.sent: list[str] = []
        self.refusing: Deferral | None = None
        self.error: Exception | None = None
        self.limited = LimitedParts(self.site.settings, self.time.clock, self._send)

    def anew(self, in_hand_max: int, **rate_limits: Any) -> "Limits":
        """The same site with other limits, of which nothing is used."""
        self.parts, self.sent = {}, []
        self.site.settled.clear()
        changed = {"worker": {"in_hand_max": in_hand_max}, "rate_limits": rate_limits}
        settings = Settings.model_validate(self.site.settings.model_dump() | changed)
        self.limited = LimitedParts(settings, self.time.clock, self._send)
        return self

    def part(self, job_id: str, *, customer: str = "c-1") -> Part:
        """A part of a job of its own; the job's id is its partner's and a number."""
        partner = job_id.partition("-")[0]
        self.parts[job_id] = part_of(self.site, job_id=job_id, partner_id=partner, customers=[customer])
        return self.parts[job_id]

    def offer(self, *job_ids: str, customer: str = "c-1") -> list[float | None]:
        """Offer a part of each job: None where it was taken, else after how many seconds it comes again."""
        offered = [self.limited.offer(self.part(job_id, customer=customer)) for job_id in job_ids]
        assert {one.code for one in offered if one is not None} <= {"rate_limited"}
        return [None if one is None else one.after.total_seconds() for one in offered]

    def take(self, **fields: Any) -> None:
        """Take a job in, as it comes from its queue: it offers its parts itself."""
        intake = self.site.intake
        vars(intake)["_ways"] = replace(vars(intake)["_ways"], offer_part=self.limited.offer)
        self.site.take(job_fields(**fields))

    def after(self, seconds: float) -> list[str]:
        """Let time pass; who went then."""
        before = len(self.sent)
        self.time.pass_time(seconds)
        self.limited.let_go()
        return self.sent[before:]

    def returned(self) -> dict[str, Return]:
        """The jobs that came back after they had waited, and how."""
        ids = {id(settled.facts.parts[0]): settled.conclusion for settled in self.site.settled}
        found = {name: ids[id(part)] for name, part in self.parts.items() if id(part) in ids}
        return {name: end for name, end in found.items() if isinstance(end, Return)}

    def apply(self, **rate_limits: Any) -> None:
        """Reload other limits."""
        settings = self.site.settings.model_dump() | {"rate_limits": rate_limits}
        self.limited.apply(Settings.model_validate(settings))

    def _send(self, part: Part) -> Deferral | None:
        if self.error is not None:
            raise self.error
        if self.refusing is None:
            self.sent.append(part.owner.job.job_id)
        return self.refusing
