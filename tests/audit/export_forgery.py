"""Tampered exports, drawn from a seed: what somebody with the folder does to it, with and without the signing key.

An outsider changes files. An insider may sign the manifest anew, so that only chains, roots and checkpoints stand in
the way. A forger has a key of his own and makes everything fit it.
"""

import hashlib
import json
import random
from collections.abc import Callable, Mapping

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from audit import seal, signing
from audit.merkle import MerkleTree
from audit.models import GENESIS

Files = dict[str, bytes]
DATA = ("entries.jsonl", "heads.jsonl", "checkpoints.jsonl", "sealed_heads.jsonl")
FORGERS_KEY = Ed25519PrivateKey.from_private_bytes(b"f" * 32)


# --- Single files ---
def flip_a_bit(files: Files, name: str, draw: random.Random) -> None:
    content = bytearray(files[name])
    content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
    files[name] = bytes(content)


def cut_out(files: Files, name: str, draw: random.Random) -> None:
    content = files[name]
    start = draw.randrange(len(content))
    files[name] = content[:start] + content[start + draw.randint(1, 40) :]


def cut_off(files: Files, name: str, draw: random.Random) -> None:
    files[name] = files[name][: draw.randrange(len(files[name]))]


def put_in(files: Files, name: str, draw: random.Random) -> None:
    content = files[name]
    place = draw.randrange(len(content) + 1)
    files[name] = content[:place] + draw.randbytes(draw.randint(1, 8)) + content[place:]


def drop_a_line(files: Files, name: str, draw: random.Random) -> None:
    lines = files[name].splitlines(keepends=True)
    del lines[draw.randrange(len(lines))]
    files[name] = b"".join(lines)


def double_a_line(files: Files, name: str, draw: random.Random) -> None:
    lines = files[name].splitlines(keepends=True)
    lines.insert(draw.randrange(len(lines) + 1), draw.choice(lines))
    files[name] = b"".join(lines)


def swap_lines(files: Files, name: str, draw: random.Random) -> None:
    lines = files[name].splitlines(keepends=True)
    one, other = draw.randrange(len(lines)), draw.randrange(len(lines))
    lines[one], lines[other] = lines[other], lines[one]
    files[name] = b"".join(lines)


def edit_a_value(files: Files, name: str, draw: random.Random) -> None:
    rows = read(files, name)
    row = draw.choice(rows)
    field = draw.choice(list(row))
    value = row[field]
    row[field] = value + draw.choice([-1, 1, 7]) if type(value) is int else edited(value, draw)
    write(files, name, rows)


def edited(text: str, draw: random.Random) -> str:
    place = draw.randrange(len(text) + 1)
    return text[:place] + draw.choice("0a9f") + text[place + draw.randint(0, 1) :]


IN_A_FILE = [flip_a_bit, cut_out, cut_off, put_in, drop_a_line, double_a_line, swap_lines, edit_a_value]


# --- What only somebody does who knows how it hangs together ---
def chain_again(files: Files, old: Files, draw: random.Random) -> None:
    """Change an entry and everything after it in its stream, up to the head."""
    rows = read(files, "entries.jsonl")
    start = draw.randrange(len(rows))
    rows[start]["action" if "action" in rows[start] else "content"] = "f" * 64
    rehash(rows, rows[start]["stream"])
    write(files, "entries.jsonl", rows)
    refit_heads(files, rows)


def cut_a_tail(files: Files, old: Files, draw: random.Random) -> None:
    """Take the last entries of a stream away and let its head say so."""
    rows = read(files, "entries.jsonl")
    stream = draw.choice(rows)["stream"]
    length = sum(row["stream"] == stream for row in rows)
    keep = draw.randrange(length)
    rows = [row for row in rows if row["stream"] != stream or row["seq"] <= keep]
    write(files, "entries.jsonl", rows)
    refit_heads(files, rows)


def drop_a_stream(files: Files, old: Files, draw: random.Random) -> None:
    rows = read(files, "entries.jsonl")
    stream = draw.choice(rows)["stream"]
    for name in draw.choice([("entries.jsonl", "heads.jsonl"), ("entries.jsonl", "heads.jsonl", "sealed_heads.jsonl")]):
        write(files, name, [row for row in read(files, name) if row["stream"] != stream])


def replay_files(files: Files, old: Files, draw: random.Random) -> None:
    """Put files of an older export in the place of today's."""
    for name in draw.sample(DATA, draw.randint(1, 3)):
        files[name] = old[name]


def seal_again(files: Files, old: Files, draw: random.Random) -> None:
    """Forge an entry, and fit chain, heads, sealed heads, roots and checkpoints, all but the signatures."""
    chain_again(files, old, draw)
    digests = {(row["stream"], row["seq"]): row["digest"] for row in read(files, "entries.jsonl")}
    heads = read(files, "sealed_heads.jsonl")
    for head in heads:
        head["digest"] = digests[head["stream"], head["seq"]]
    write(files, "sealed_heads.jsonl", heads)
    checkpoints, tree, previous = read(files, "checkpoints.jsonl"), MerkleTree(), GENESIS
    for row in checkpoints:
        sealed = [head for head in heads if head["checkpoint"] == row["checkpoint"]]
        tree.update({each["place"]: leaf(each) for each in sealed})
        row |= {"root": tree.root(), "previous": previous}
        row["digest"] = previous = checkpoint_digest(row)
    write(files, "checkpoints.jsonl", checkpoints)
    write(files, "anchors.jsonl", checkpoints)


def drop_checkpoints(files: Files, old: Files, draw: random.Random) -> None:
    """Roll back to an earlier checkpoint; the anchors of the folder stay."""
    rows = read(files, "checkpoints.jsonl")
    keep = draw.randrange(len(rows))
    write(files, "checkpoints.jsonl", rows[:keep])
    sealed = read(files, "sealed_heads.jsonl")
    write(files, "sealed_heads.jsonl", [row for row in sealed if row["checkpoint"] <= keep])


KNOWING = [chain_again, cut_a_tail, drop_a_stream, replay_files, seal_again, drop_checkpoints]


# --- Who does it ---
def outsider(files: Files, old: Files, draw: random.Random) -> None:
    if draw.random() < 0.6:
        change = draw.choice(IN_A_FILE)
        change(files, draw.choice(list(files if change is not edit_a_value else DATA)), draw)
    elif draw.random() < 0.1:
        del files[draw.choice(list(files))]
    else:
        draw.choice(KNOWING)(files, old, draw)
        if draw.random() < 0.5:
            files["manifest.json"], _ = manifest(files)


def insider(files: Files, old: Files, draw: random.Random) -> None:
    """May sign a manifest that fits: no digest of a file tells."""
    if draw.random() < 0.5:
        draw.choice(IN_A_FILE)(files, draw.choice(DATA), draw)
    else:
        draw.choice(KNOWING)(files, old, draw)
    files["manifest.json"], text = manifest(files)
    files["manifest.sig"] = signing.sign(signing.EXPORT, text)[1].encode() + b"\n"


def forger(files: Files, old: Files, draw: random.Random) -> None:
    """Signs everything, with a key of his own."""
    draw.choice([chain_again, seal_again, seal_again])(files, old, draw)
    public = FORGERS_KEY.public_key().public_bytes_raw().hex()
    checkpoints = read(files, "checkpoints.jsonl")
    for row in checkpoints if draw.random() < 0.7 else []:
        row["public_key"] = public
        row["signature"] = FORGERS_KEY.sign(signing.CHECKPOINT + bytes.fromhex(row["digest"])).hex()
    write(files, "checkpoints.jsonl", checkpoints)
    write(files, "anchors.jsonl", checkpoints)
    files["manifest.json"], text = manifest(files, **({"public_key": public} if draw.random() < 0.7 else {}))
    files["manifest.sig"] = FORGERS_KEY.sign(signing.EXPORT + text).hex().encode() + b"\n"


WHO: Mapping[str, Callable[[Files, Files, random.Random], None]] = {
    "outsider": outsider, "insider": insider, "forger": forger,
}  # fmt: skip


# --- Reading, writing, fitting ---
def read(files: Files, name: str) -> list[dict]:
    return [json.loads(line) for line in files[name].splitlines()]


def same_facts(files: Files, clean: Files) -> bool:
    """Return whether the data say the same, only with a space more or without the last line's end."""
    try:
        return all(read(files, name) == read(clean, name) for name in (*DATA, "anchors.jsonl"))
    except ValueError:
        return False


def write(files: Files, name: str, rows: list[dict]) -> None:
    files[name] = b"".join(json.dumps(row, separators=(",", ":")).encode() + b"\n" for row in rows)


def manifest(files: Files, **changes: str) -> tuple[bytes, bytes]:
    told = json.loads(files["manifest.json"]) | changes
    told["files"] = {name: hashlib.sha256(files[name]).hexdigest() for name in told["files"] if name in files}
    text = (json.dumps(told, indent=2) + "\n").encode()
    return text, text


def rehash(rows: list[dict], stream: str) -> None:
    previous = GENESIS
    for row in rows:
        if row["stream"] != stream:
            continue
        row["previous"] = previous
        content = row.get("content")
        if content is None:
            said = (row[name] for name in ("at", "actor", "action", "payload"))
            content = seal._hashed(seal._CONTENT, *said).hexdigest()
        then = bytes.fromhex(content + previous)
        row["digest"] = previous = seal._hashed(seal._ENTRY, stream, str(row["seq"]), then=then).hexdigest()


def refit_heads(files: Files, rows: list[dict]) -> None:
    last = {row["stream"]: row for row in rows}
    heads = [head for head in read(files, "heads.jsonl") if head["stream"] in last]
    for head in heads:
        head |= {name: last[head["stream"]][name] for name in ("seq", "digest")}
    write(files, "heads.jsonl", heads)


def leaf(head: dict) -> bytes:
    return seal.leaf_hash(stream=head["stream"], seq=head["seq"], digest=head["digest"])


def checkpoint_digest(row: dict) -> str:
    fields = [str(row[name]) for name in ("checkpoint", "at", "streams", "entries", "root")]
    return seal._hashed(seal._CHECKPOINT, *fields, then=bytes.fromhex(row["previous"])).hexdigest()
