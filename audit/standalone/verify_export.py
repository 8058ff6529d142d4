"""Verify an export of the audit trail without the program that made it: Python 3.11 and `cryptography` are enough.

    python verify_export.py FOLDER --fingerprint SHA256 [--fingerprint ...] [--anchors FILE]

A fingerprint is the SHA-256 of a public key that may have signed: ask for it, do not take it from the export. With
`--anchors` come lines that were kept elsewhere; the export must know each of them. Take this program from where you
trust, too.

Exit 0: everything verifies. Exit 1: something does not; each break is named by stream, position and code. Exit 2: wrong
arguments, or no such folder. Memory grows with the number of streams, and by 40 bytes for each
sealed head. A large export is read by as many processes as there are processors.

How it is hashed (|| joins; every text field stands behind its length in 8 bytes; numbers are decimal text):
  content    = SHA-256(03 02 || at || actor || action || payload)
  digest     = SHA-256(00 02 || stream || position || content || previous digest)
  leaf       = SHA-256(00 || stream || position || digest), the root over all leaves as in RFC 9162
  checkpoint = SHA-256(02 02 || position || at || streams || entries || root || previous checkpoint)
"""

import argparse
import json
import os
import re
import sys
from array import array
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from functools import lru_cache
from hashlib import sha256
from itertools import chain, islice
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

LENGTHS = [length.to_bytes(8, "big") for length in range(256)]  # made once: they are asked for millions of times
GENESIS = "0" * 64
Positions = tuple["array[int]", bytearray]  # positions of a stream that were sealed, and 32 bytes of digest for each
LONGEST_LINE = 1_048_576  # bytes; nothing of ours is a tenth of that
LARGEST_NUMBER = 2**63
LARGEST_LIST = 100  # breaks printed; their number is always told
BATCH = 2_000  # entries that are judged at a time: less than a megabyte
WORTH_PROCESSES = 32_000_000  # bytes of entries; what is smaller is read within seconds by one
DECODE = json.JSONDecoder().raw_decode
ENDS = ("", "\n")  # what may stand behind the object of a line
HEX = {size: re.compile(rf"[0-9a-f]{{{size}}}") for size in (64, 128)}


class Shape:
    """What a line must hold, in this order and nothing besides: text, numbers, or so many hexadecimal digits."""

    def __init__(self, **kinds: Any) -> None:
        self.names = tuple(kinds)
        self.texts = [name for name, kind in kinds.items() if kind is str]
        self.numbers = [name for name, kind in kinds.items() if kind is int]
        self.others = {name: kind for name, kind in kinds.items() if type(kind) is tuple}
        digits = {name: kind for name, kind in kinds.items() if type(kind) is int}
        self.hexes = list(digits)
        self.hex_pattern = re.compile(",".join(rf"[0-9a-f]{{{size}}}" for size in digits.values()))

    def fits(self, found: dict[str, Any]) -> bool:
        """Look at all values of one kind together: there are millions."""
        if tuple(found) != self.names:
            return False
        values = found.__getitem__
        try:
            printable = "".join(map(values, self.texts)).isprintable()  # also: no half of a surrogate pair
            digits = self.hex_pattern.fullmatch(",".join(map(values, self.hexes)))
        except TypeError:
            return False
        for name in self.numbers:
            if type(found[name]) is not int or not 0 <= found[name] < LARGEST_NUMBER:
                return False
        others = all(type(found[name]) in kinds for name, kinds in self.others.items()) if self.others else True
        return printable and digits is not None and others


ENTRY = Shape(stream=str, seq=int, at=str, actor=str, action=str, payload=str, previous=64, digest=64)
WITHHELD = Shape(stream=str, seq=int, content=64, previous=64, digest=64)
SEALED = Shape(checkpoint=int, place=int, stream=str, seq=int, digest=64)
LEAF = Shape(checkpoint=int, place=int, leaf=64)
CHECKPOINT = Shape(
    checkpoint=int, at=str, streams=int, entries=int, root=64, previous=64, digest=64, public_key=64, signature=128
)
HEAD = Shape(stream=str, first=int, seq=int, digest=64)
LINES = {
    "entries.jsonl": (ENTRY, WITHHELD),
    "heads.jsonl": (HEAD,),
    "checkpoints.jsonl": (CHECKPOINT,),
    "sealed_heads.jsonl": (SEALED, LEAF),
    "anchors.jsonl": (CHECKPOINT,),
}
ALSO = ("README.txt", "verify_export.py")
MANIFEST = Shape(
    format=str, made_at=str, streams=(list, type(None)), since=(str, type(None)), files=(dict,), public_key=64
)
FORMAT = "clinic-billing audit export 1"
EXPORT_PURPOSE, CHECKPOINT_PURPOSE = b"clinic-billing audit export v1\0", b"clinic-billing audit checkpoint v1\0"


class Unreadable(ValueError):
    """A line or a file is not what it must be."""


def framed(text: str) -> bytes:
    """Return the text behind its length."""
    data = text.encode()
    return (LENGTHS[len(data)] if len(data) < 256 else len(data).to_bytes(8, "big")) + data


framed_again = lru_cache(maxsize=4096)(framed)  # for what comes back: names of streams, actors, actions


def hashed(prefix: bytes, *fields: str, then: bytes = b"") -> bytes:
    """Return the SHA-256 of the prefix, the fields behind their lengths, and what follows."""
    return sha256(b"".join([prefix, *map(framed, fields), then])).digest()


def content_of(at: str, actor: str, action: str, payload: str) -> bytes:
    """Return the hash of what an entry says."""
    said = (b"\x03\x02", framed(at), framed_again(actor), framed_again(action), framed(payload))
    return sha256(b"".join(said)).digest()


def digest_of(stream: str, seq: int, content: bytes, previous: str) -> str:
    """Return the digest that chains an entry to the one before it."""
    place = (b"\x00\x02", framed_again(stream), framed(str(seq)), content, bytes.fromhex(previous))
    return sha256(b"".join(place)).hexdigest()


def parsed(line: bytes, *shapes: Shape) -> dict[str, Any]:
    """Return one JSON object of one of these shapes; raise Unreadable."""
    try:
        text = line.decode()
        found, end = DECODE(text)
    except (ValueError, RecursionError):
        raise Unreadable from None
    if type(found) is dict and text[end:] in ENDS:
        for shape in shapes:
            if shape.fits(found):
                return found
    raise Unreadable


Judged = tuple[str, int, str, str, bool, bool]  # stream, position, previous, digest, withheld, as hashed


def judged(lines: list[bytes]) -> list[Judged | None]:
    """Read entries and hash them anew, each by itself, so that processes can share the work; None is no entry."""
    return [_judged(line) for line in lines]


def _judged(line: bytes) -> Judged | None:
    try:
        entry = parsed(line, ENTRY, WITHHELD)
    except Unreadable:
        return None
    stream, seq, previous, digest = entry["stream"], entry["seq"], entry["previous"], entry["digest"]
    withheld = "content" in entry
    if withheld:
        content = bytes.fromhex(entry["content"])
    else:
        content = content_of(entry["at"], entry["actor"], entry["action"], entry["payload"])
    return stream, seq, previous, digest, withheld, digest_of(stream, seq, content, previous) == digest


def is_signed(public_key: str, signature: str, message: bytes) -> bool:
    """Return whether the signature is this key's; garbage is no signature."""
    try:
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(public_key)).verify(bytes.fromhex(signature), message)
    except (InvalidSignature, ValueError):
        return False
    return True


class Findings:
    """Every break, with where it is."""

    def __init__(self) -> None:
        self.breaks: list[tuple[str, int, str]] = []
        self.count = 0

    def add(self, where: str, position: int, code: str) -> None:
        """Keep a break while the list is not too long; count it always."""
        self.count += 1
        if len(self.breaks) < LARGEST_LIST:
            self.breaks.append((where, position, code))


class Tree:
    """RFC 9162, level by level; an odd last node goes up as it is."""

    def __init__(self) -> None:
        self.levels: list[list[bytes]] = []

    def put(self, leaves: dict[int, bytes]) -> None:
        """Put leaves at their places, in ascending order; raise Unreadable for a gap."""
        level = 0
        while True:
            if level == len(self.levels):
                self.levels.append([])
            nodes = self.levels[level]
            for place, node in leaves.items():
                if not 0 <= place <= len(nodes):
                    raise Unreadable
                nodes[place : place + 1] = [node]
            if len(nodes) <= 1:
                return
            pairs = {place // 2: nodes[place - place % 2 : place - place % 2 + 2] for place in leaves}
            leaves = {up: pair[0] if len(pair) == 1 else _node(*pair) for up, pair in pairs.items()}
            level += 1

    def root(self) -> tuple[str, int]:
        """Return the root in hex and the number of leaves."""
        return (self.levels[-1][0].hex(), len(self.levels[0])) if self.levels and self.levels[0] else ("", 0)


def _node(left: bytes, right: bytes) -> bytes:
    return sha256(b"\x01" + left + right).digest()


class Export:
    """The folder: its manifest, and each of its files line by line while it is hashed."""

    def __init__(self, folder: Path, findings: Findings) -> None:
        self.folder, self.findings = folder, findings
        self.manifest: dict[str, Any] = {"files": {}, "streams": None, "since": None}

    def read_manifest(self, fingerprints: set[str]) -> None:
        """Read the manifest and judge its signature; without one, nothing of the folder passes."""
        try:
            text = (self.folder / "manifest.json").read_bytes()
            signature = (self.folder / "manifest.sig").read_bytes()
            manifest = parsed(text, MANIFEST)
        except (OSError, Unreadable):
            self.findings.add("manifest.json", 0, "manifest_unreadable")
            return
        self.manifest = manifest
        if manifest["format"] != FORMAT:
            self.findings.add("manifest.json", 0, "format_unknown")
        if fingerprint(manifest["public_key"]) not in fingerprints:
            self.findings.add("manifest.json", 0, "key_not_expected")
        plain = signature.decode("latin-1").removesuffix("\n")
        exact = len(signature) == 129 and HEX[128].fullmatch(plain) is not None
        if not exact or not is_signed(manifest["public_key"], plain, EXPORT_PURPOSE + text):
            self.findings.add("manifest.json", 0, "manifest_signature_invalid")

    def check_names(self) -> None:
        """Every file of the list is there, whole, and there is no other."""
        expected = {*LINES, *ALSO}
        found = {path.name for path in self.folder.iterdir()} - {"manifest.json", "manifest.sig"}
        for name in sorted(found ^ expected | set(self.manifest["files"]) ^ expected):
            self.findings.add(name, 0, "file_missing" if name in expected else "file_unexpected")
        for name in ALSO:
            deque(self._raw(name), maxlen=0)

    def lines(self, name: str) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield (line number, what it says); a line that says something else is a finding."""
        for number, line in enumerate(self._raw(name), start=1):
            try:
                yield number, parsed(line, *LINES[name])
            except Unreadable:
                self.findings.add(name, number, "line_malformed")

    def entries(self) -> Iterator[Judged]:
        """Yield each entry, hashed anew; of a large export by several processes, in the order of its lines."""
        batches = self._batches("entries.jsonl")
        of_batches = spread(judged, batches) if self._is_large() else map(judged, batches)
        for number, entry in enumerate(chain.from_iterable(of_batches), start=1):
            if entry is None:
                self.findings.add("entries.jsonl", number, "line_malformed")
            else:
                yield entry

    def _is_large(self) -> bool:
        file = self.folder / "entries.jsonl"
        return file.is_file() and file.stat().st_size > WORTH_PROCESSES

    def _batches(self, name: str) -> Iterator[list[bytes]]:
        lines = self._raw(name)
        while batch := list(islice(lines, BATCH)):
            yield batch

    def _raw(self, name: str) -> Iterator[bytes]:
        hasher = sha256()
        try:
            with (self.folder / name).open("rb") as file:
                while line := file.readline(LONGEST_LINE):
                    hasher.update(line)
                    yield line
        except OSError:
            return  # `check_names` tells
        if self.manifest["files"].get(name) != hasher.hexdigest():
            self.findings.add(name, 0, "file_changed")


def spread(work: Callable[[Any], Any], batches: Iterable[Any]) -> Iterator[Any]:
    """Yield what comes of each batch, in order, from as many processes as there are processors."""
    with ProcessPoolExecutor() as pool:
        waiting: deque[Future[Any]] = deque()
        for batch in batches:
            waiting.append(pool.submit(work, batch))
            if len(waiting) > 2 * (os.cpu_count() or 1):  # no more than that in memory
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def fingerprint(public_key: str) -> str:
    """Return the SHA-256 of a public key."""
    return sha256(bytes.fromhex(public_key)).hexdigest()


class Checkpoints:
    """Walks checkpoints and sealed heads together; keeps for each stream which positions were sealed with what."""

    def __init__(self, export: Export, fingerprints: set[str]) -> None:
        self.export, self.findings, self.fingerprints = export, export.findings, fingerprints
        self.sealed: dict[str, Positions] = {}
        self.marks: dict[int, bytes] = {}
        self.last = 0

    def walk(self, wanted: Callable[[int], bool]) -> None:
        """Verify every checkpoint; remember a mark of those that an anchor speaks of."""
        tree, previous, held = Tree(), GENESIS, self._leaves()
        pending = next(held, None)
        for _, checkpoint in self.export.lines("checkpoints.jsonl"):
            seq, leaves = checkpoint["checkpoint"], {}
            while pending is not None and pending[0] <= seq:
                leaves[pending[1]] = pending[2]
                pending = next(held, None)
            self._check(checkpoint, previous)
            self._grow(tree, leaves, checkpoint)
            if wanted(seq):
                self.marks[seq] = _mark(checkpoint)
            previous, self.last = checkpoint["digest"], seq
        if pending is not None:
            self.findings.add("checkpoints", self.last + 1, "checkpoint_missing")
            deque(held, maxlen=0)  # to its end, so that the whole file is hashed

    def _check(self, checkpoint: dict[str, Any], previous: str) -> None:
        seq = checkpoint["checkpoint"]
        if seq != self.last + 1:
            self.findings.add("checkpoints", self.last + 1, "checkpoint_missing")
        elif checkpoint["previous"] != previous:
            self.findings.add("checkpoints", seq, "checkpoint_chain_broken")
        if code := self._fault(checkpoint):
            self.findings.add("checkpoints", seq, code)

    def _fault(self, checkpoint: dict[str, Any]) -> str | None:
        fields = [str(checkpoint[name]) for name in ("checkpoint", "at", "streams", "entries", "root")]
        digest = hashed(b"\x02\x02", *fields, then=bytes.fromhex(checkpoint["previous"]))
        if digest.hex() != checkpoint["digest"]:
            return "checkpoint_edited"
        if fingerprint(checkpoint["public_key"]) not in self.fingerprints:
            return "key_not_expected"
        signed = is_signed(checkpoint["public_key"], checkpoint["signature"], CHECKPOINT_PURPOSE + digest)
        return None if signed else "checkpoint_signature_invalid"

    def _grow(self, tree: Tree, leaves: dict[int, bytes], checkpoint: dict[str, Any]) -> None:
        try:
            tree.put(dict(sorted(leaves.items())))
            grown = tree.root() == (checkpoint["root"], checkpoint["streams"])
        except Unreadable:
            grown = False
        if not grown:
            self.findings.add("checkpoints", checkpoint["checkpoint"], "checkpoint_root_differs")

    def _leaves(self) -> Iterator[tuple[int, int, bytes]]:
        """Yield (checkpoint, place, leaf) and keep what was sealed of the streams that are named."""
        last = (0, -1)
        for number, head in self.export.lines("sealed_heads.jsonl"):
            if (head["checkpoint"], head["place"]) <= last:
                self.findings.add("sealed_heads.jsonl", number, "out_of_order")
            last = (head["checkpoint"], head["place"])
            if "leaf" in head:
                if self.export.manifest["streams"] is None:  # all streams were promised
                    self.findings.add("sealed_heads.jsonl", number, "line_malformed")
                yield head["checkpoint"], head["place"], bytes.fromhex(head["leaf"])
                continue
            seqs, digests = self.sealed.setdefault(head["stream"], (array("q"), bytearray()))
            seqs.append(head["seq"])
            digests += bytes.fromhex(head["digest"])
            leaf = hashed(b"\x00", head["stream"], str(head["seq"]), head["digest"])
            yield head["checkpoint"], head["place"], leaf


def _mark(facts: dict[str, Any]) -> bytes:
    """Return what stands for an anchor or a checkpoint when they are compared."""
    return sha256(json.dumps(facts, sort_keys=True).encode()).digest()


class Chains:
    """Walks the entries, stream by stream, against what checkpoints sealed and where the heads say they end."""

    def __init__(self, export: Export, sealed: dict[str, Positions]) -> None:
        self.findings, self.sealed, self.export = export.findings, sealed, export
        self.heads: dict[str, tuple[int, int, str]] = {}
        self.since = export.manifest["since"] is not None
        self.count = self.withheld = 0

    def walk(self) -> None:
        """Verify every entry and head."""
        last = ""
        for number, head in self.export.lines("heads.jsonl"):
            if head["stream"] <= last:
                self.findings.add("heads.jsonl", number, "out_of_order")
            last = head["stream"]
            if not self.since and head["first"] != 1:
                self.findings.add(last, head["first"], "position_missing")
            self.heads[last] = (head["first"], head["seq"], head["digest"])
        stream, seq, digest, at = "", 0, GENESIS, 0
        for entry in self.export.entries():
            if entry[0] != stream:
                self._end(stream, seq, digest, at)
                stream, at = entry[0], 0
                first = self.heads.get(stream, (1, 0, ""))[0] if self.since else 1
                seq, digest = first - 1, GENESIS if first <= 1 else entry[2]
                at = self._skip(stream, seq)
            self._check(entry, seq, digest)
            seq, digest = entry[1], entry[3]
            at = self._compare(stream, at, seq, digest)
        self._end(stream, seq, digest, at)
        self._leftover()

    def _skip(self, stream: str, before: int) -> int:
        """Return how many sealed positions lie before the first exported one."""
        seqs = self.sealed.get(stream, (array("q"), b""))[0]
        return sum(1 for seq in seqs if seq <= before)

    def _check(self, entry: Judged, last_seq: int, last_digest: str) -> None:
        stream, seq, previous, _, withheld, as_hashed = entry
        self.count += 1
        self.withheld += withheld
        if seq != last_seq + 1:
            self.findings.add(stream, seq, "position_missing")
        elif previous != last_digest:
            self.findings.add(stream, seq, "chain_broken")
        if not as_hashed:
            self.findings.add(stream, seq, "entry_edited")

    def _compare(self, stream: str, at: int, seq: int, digest: str) -> int:
        """Compare with what was sealed at this position; return how many sealed positions are done."""
        seqs, digests = self.sealed.get(stream, (array("q"), bytearray()))
        while at < len(seqs) and seqs[at] <= seq:
            if seqs[at] < seq:
                self.findings.add(stream, seqs[at], "sealed_entry_missing")
            elif digests[32 * at : 32 * at + 32].hex() != digest:
                self.findings.add(stream, seq, "sealed_entry_differs")
            at += 1
        return at

    def _end(self, stream: str, seq: int, digest: str, at: int) -> None:
        if not stream:
            return
        if self.heads.pop(stream, (0, 0, ""))[1:] != (seq, digest):
            self.findings.add(stream, seq, "head_differs_from_last_entry")
        seqs = self.sealed.pop(stream, (array("q"), b""))[0]
        if at < len(seqs):
            self.findings.add(stream, seqs[-1], "tail_cut")

    def _leftover(self) -> None:
        """Streams of which no entry was in the export: right only when the export begins after their end."""
        for stream, (first, seq, digest) in self.heads.items():
            seqs, digests = self.sealed.pop(stream, (array("q"), bytearray()))
            if not self.since or first != seq + 1:
                self.findings.add(stream, seq, "stream_missing")
            elif seqs and (seqs[-1] > seq or (seqs[-1] == seq and digests[-32:].hex() != digest)):
                self.findings.add(stream, seq, "sealed_entry_differs")
        for stream, (seqs, _) in self.sealed.items():
            self.findings.add(stream, seqs[-1], "stream_missing")


def held_anchors(file: Path, findings: Findings) -> dict[int, bytes]:
    """Return the anchors that were kept elsewhere, by the position of their checkpoint."""
    held = {}
    for number, line in enumerate(file.read_bytes().splitlines(), start=1):
        try:
            anchor = parsed(line, CHECKPOINT)
            held[anchor["checkpoint"]] = _mark(anchor)
        except Unreadable:
            findings.add(file.name, number, "line_malformed")
    return held


def verify(folder: Path, fingerprints: set[str], anchors: Path | None = None) -> tuple[Findings, dict[str, int]]:
    """Return what was found and how much was looked at; raise OSError when something cannot be read at all."""
    findings = Findings()
    export = Export(folder, findings)
    export.read_manifest(fingerprints)
    export.check_names()
    own = {anchor["checkpoint"]: _mark(anchor) for _, anchor in export.lines("anchors.jsonl")}
    held = held_anchors(anchors, findings) if anchors else {}
    checkpoints = Checkpoints(export, fingerprints)
    checkpoints.walk(lambda seq: seq in own or seq in held)
    for anchor, text in [*own.items(), *held.items()]:
        if checkpoints.marks.get(anchor) != text:
            code = "anchor_differs" if anchor in checkpoints.marks else "checkpoint_missing"
            findings.add("checkpoints", anchor, code)
    chains = Chains(export, checkpoints.sealed)
    chains.walk()
    counts = {"entries": chains.count, "withheld": chains.withheld, "checkpoints": checkpoints.last,
              "anchors": len(own) + len(held)}  # fmt: skip
    return findings, counts


def arguments_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(description="Verify an export of the audit trail.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--fingerprint", action="append", required=True, metavar="SHA256")
    parser.add_argument("--anchors", type=Path, metavar="FILE", help="anchors that were kept elsewhere")
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Verify, print, and return the exit code."""
    parser = arguments_parser()
    options = parser.parse_args(arguments)
    if not all(HEX[64].fullmatch(each) for each in options.fingerprint):
        parser.error("a fingerprint is 64 hexadecimal digits, in lower case")
    if not options.folder.is_dir() or (options.anchors and not options.anchors.is_file()):
        parser.error("there is no such folder or file of anchors")
    findings, counts = verify(options.folder, set(options.fingerprint), options.anchors)
    for name, count in counts.items():
        print(f"{name}: {count:,}")
    for where, position, code in findings.breaks:
        print(f"! {where}, position {position}: {code}")
    if findings.count > len(findings.breaks):
        print(f"! and {findings.count - len(findings.breaks):,} more")
    print(f"NOT VERIFIED: {findings.count:,} breaks." if findings.count else "Verified.")
    return 1 if findings.count else 0


if __name__ == "__main__":
    sys.exit(main())
