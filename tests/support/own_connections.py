"""This process's TCP connections, as the kernel counts them."""

from pathlib import Path

ESTABLISHED = "01"


def connections_to(port: int) -> int:
    """How many of this process's sockets are connected to the port."""
    own = _own_sockets()
    lines = Path("/proc/self/net/tcp").read_text(encoding="ascii").splitlines()[1:]
    # the list is read in pieces: while sockets come and go, one can stand in it twice
    return len(own & {line.split()[9] for line in lines if _leads_to(line.split(), port)})


def _leads_to(fields: list[str], port: int) -> bool:
    remote, state = fields[2:4]
    return state == ESTABLISHED and int(remote.rpartition(":")[2], 16) == port


def _own_sockets() -> set[str]:
    targets = (_target(descriptor) for descriptor in Path("/proc/self/fd").iterdir())
    return {target.removeprefix("socket:[").removesuffix("]") for target in targets}


def _target(descriptor: Path) -> str:
    try:
        return str(descriptor.readlink())
    except FileNotFoundError:  # closed since the directory was read
        return ""
