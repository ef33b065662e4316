"""The network sockets of a process, as Linux tells them below /proc."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Socket:
    """A socket of the Internet's protocols: ``udp`` and so on, and its local port."""

    protocol: str
    port: int


def sockets(pid: int) -> list[Socket]:
    """What a process has open to the network, of any protocol."""
    held = set()
    for link in Path(f"/proc/{pid}/fd").iterdir():
        try:
            held.add(os.readlink(link))
        except OSError:  # closed meanwhile
            continue
    found = []
    for protocol in ("tcp", "tcp6", "udp", "udp6", "udplite", "udplite6", "raw", "raw6"):
        table = Path(f"/proc/{pid}/net/{protocol}")
        if not table.is_file():  # this kernel does not know it
            continue
        for line in table.read_text().splitlines()[1:]:
            words = line.split()
            if f"socket:[{words[9]}]" in held:
                found.append(Socket(protocol, int(words[1].rpartition(":")[2], 16)))
    return found


def of_dds(socket: Socket, domain: int) -> bool:
    """Tell whether a port is one of those that a domain's participants have (RTPS 2.5, 9.6.2)."""
    return socket.protocol.startswith("udp") and 0 <= socket.port - (7400 + 250 * domain) < 250
