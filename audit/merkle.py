"""The Merkle tree of RFC 9162 over leaves that keep their places: a changed leaf hashes its own path anew, no more."""

import hashlib
from collections.abc import Mapping
from itertools import count

_NODE = b"\x01"
EMPTY_ROOT = hashlib.sha256().hexdigest()


class PlaceMissing(ValueError):
    """A leaf was put behind a place that has none."""


class MerkleTree:
    """Level by level, the leaves lowest; an odd last node goes up as it is, which is RFC 9162's split."""

    def __init__(self) -> None:
        self._levels: list[list[bytes]] = []

    def __len__(self) -> int:
        return len(self._levels[0]) if self._levels else 0

    def update(self, leaves: Mapping[int, bytes]) -> None:
        """Put leaf hashes at their places, new ones in a row behind the last; raise PlaceMissing for a gap."""
        changed = dict(sorted(leaves.items()))
        for level in count():
            if level == len(self._levels):
                self._levels.append([])
            nodes = self._levels[level]
            for place, node in changed.items():
                if place > len(nodes):
                    raise PlaceMissing(place)
                nodes[place : place + 1] = [node]
            if len(nodes) <= 1:
                return
            changed = {place // 2: _parent(nodes, place // 2) for place in changed}

    def root(self) -> str:
        """Return the root in hex; of no leaves, the hash of nothing."""
        return self._levels[-1][0].hex() if len(self) else EMPTY_ROOT


def _parent(nodes: list[bytes], place: int) -> bytes:
    pair = nodes[2 * place : 2 * place + 2]
    return pair[0] if len(pair) == 1 else hashlib.sha256(_NODE + pair[0] + pair[1]).digest()
