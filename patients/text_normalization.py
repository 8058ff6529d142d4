"""Read a text as a person would who wants to find a name in it: Unicode tricks, encodings and separators undone. Pure.

`readings` returns the text and what it hides, folded to one spelling; `token_sequences` cuts a reading into tokens.
Nothing here decides whether a text may leave (privacy.md: structure is the barrier, detection is the alarm).
"""

import base64
import binascii
import codecs
import html
import re
import unicodedata
from collections.abc import Callable, Iterator
from urllib.parse import unquote

# A text wrapped oftener than this was made to resist, and no number here would be enough.
_DEPTH, _LAYERS = 3, 8
_SHORTEST_ENCODED = 8  # characters; shorter words decode to something by chance

Tokens = tuple[str, ...]

# What looks like a Latin letter, capital and small apart: a capital nu is an N, a small one a v.
_LOOKS = str.maketrans(
    # Cyrillic, then Greek, Armenian and the phonetic small capitals.
    "\u0410\u0412\u0415\u041a\u041c\u041d\u041e\u0420\u0421\u0422\u0423\u0425\u0406\u0408\u0405\u04ae\u0430\u0432\u0435"
    "\u043a\u043c\u043d\u043e\u0440\u0441\u0442\u0443\u0445\u0456\u0458\u0455\u0501\u04bb\u051b\u051d\u0475\u04cf\u0437"
    "\u0391\u0392\u0395\u0396\u0397\u0399\u039a\u039c\u039d\u039f\u03a1\u03a4\u03a5\u03a7\u03b1\u03b2\u03b5\u03b9\u03ba"
    "\u03bd\u03bf\u03c1\u03c4\u03c5\u03c7\u03b3\u03c9\u03b7\u03c3\u03c2\u03f2\u03f3"
    "\u0585\u057d\u0570\u0578\u0581"
    "\u1d00\u0299\u1d04\u1d05\u1d07\ua730\u0262\u029c\u026a\u1d0a\u1d0b\u029f\u1d0d\u0274\u1d0f\u1d18\u0280\ua731\u1d1b"
    "\u1d1c\u1d20\u1d21\u028f\u1d22\u0251\u0261\u0269",
    "ABEKMHOPCTYXIJSYabekmhopctyxijsdhqwvl3ABEZHIKMNOPTYXabeikvoptuxywnoccjouhngabcdefghijklmnoprstuvwyzagi",
)
# How Cyrillic and Greek letters are spelt in Latin, and Latin letters that have no decomposition; all of them small.
_SOUNDS = str.maketrans(
    dict(
        zip(
            "\u0430\u0431\u0432\u0433\u0434\u0435\u0437\u0438\u0439\u043a\u043b\u043c\u043d\u043e\u043f\u0440\u0441"
            "\u0442\u0443\u0444\u044b\u044d\u0456\u03b1\u03b2\u03b3\u03b4\u03b5\u03b6\u03b7\u03b9\u03ba\u03bb\u03bc"
            "\u03bd\u03be\u03bf\u03c0\u03c1\u03c3\u03c4\u03c5\u03c6\u03c9\u0142\u00f8\u0111\u0127\u00f0\u0131",
            "abvgdeziiklmnoprstufyeiavgdeziiklmnxoprstyfolodhdi",
            strict=True,
        )
    )
    | {0x436: "zh", 0x445: "kh", 0x446: "ts", 0x447: "ch", 0x448: "sh", 0x449: "shch", 0x44A: "", 0x44C: ""}
    | {0x44E: "yu", 0x44F: "ya", 0x3B8: "th", 0x3C7: "ch", 0x3C8: "ps", 0xE6: "ae", 0x153: "oe", 0xFE: "th"}
)
# Letters in squares, circles and flags, and invisible tags: they count from A, or from the space.
_COUNTED = {
    **{0x1F150 + n: chr(65 + n) for n in range(26)},
    **{0x1F170 + n: chr(65 + n) for n in range(26)},
    **{0x1F1E6 + n: chr(65 + n) for n in range(26)},
    **{0xE0020 + n: chr(32 + n) for n in range(95)},
}
_BLANKS = dict.fromkeys((0x115F, 0x1160, 0x3164, 0xFFA0), None)  # letters that show nothing

_TOKEN = re.compile(r"[^\W_]+")
_POSSESSIVE = re.compile(r"(?<=\w)['\u2019]s\b")
_RUN = re.compile(r"[^\W\d_]+|\d+")
_SYMBOLS = str.maketrans("@$!|\u20ac+", "asiiet")  # read as letters when they stand in a word
_SYMBOL_IN_A_WORD = re.compile(r"(?<=\w)[@$!|\u20ac+]|[@$!|\u20ac+](?=\w)")
_DIGITS = str.maketrans("0134579826", "oieastgbzg")
_NUMBER_WORDS = {
    "zero": "0", "one": "1", "two": "2", "three": "3", "four": "4", "five": "5", "six": "6", "seven": "7",
    "eight": "8", "nine": "9",
}  # fmt: skip


def folded(text: str) -> str:
    """Return the text in one spelling: small, without accents, invisible signs and alphabets other than Latin."""
    if text.isascii():
        return _without_controls(text).lower()
    return _folded(unicodedata.normalize("NFKC", text.translate(_COUNTED))).translate(_SOUNDS)


def folded_by_looks(text: str) -> str:
    """Return the same, with each letter that imitates a Latin one read as that one."""
    if text.isascii():
        return _without_controls(text).lower()
    return _folded(unicodedata.normalize("NFKC", text.translate(_COUNTED)).translate(_LOOKS)).translate(_SOUNDS)


def readings(text: str) -> tuple[str, ...]:
    """Return every way to read the text forwards: as it is and as it decodes, by sound and by looks."""
    found: dict[str, None] = {}
    for layer in _layers(text):
        found[folded(layer)] = None
        found[folded_by_looks(layer)] = None
    return tuple(found)


def turned(reading: str) -> tuple[str, ...]:
    """Return the reading backwards, and with its alphabet turned by half: too wild for anything but exact look-ups."""
    return (reading[::-1], codecs.encode(reading, "rot13"))


def token_sequences(reading: str) -> tuple[Tokens, ...]:
    """Cut a reading into words; again into letters and digits apart, with spaced letters joined, with symbols read."""
    reading = _POSSESSIVE.sub("", reading)
    words = tuple(_TOKEN.findall(reading))
    found: dict[Tokens, None] = {words: None, _joined_singles(words): None, tuple(_RUN.findall(reading)): None}
    if _SYMBOL_IN_A_WORD.search(reading):
        found[tuple(_TOKEN.findall(_SYMBOL_IN_A_WORD.sub(lambda sign: sign[0].translate(_SYMBOLS), reading)))] = None
    return tuple(found)


def digit_sequence(reading: str) -> Tokens:
    """Return runs of digits, spelt-out ones included; a `-` stands where letters come between."""
    runs = (_NUMBER_WORDS.get(run, run) for run in _RUN.findall(reading))
    return tuple(run if run.isdigit() else "-" for run in runs)


def word_key(word: str) -> str:
    """Return what a word is compared by: digits that stand in for letters read as letters, l and i as one."""
    if not word.isalpha() and not word.isdigit():
        word = word.translate(_DIGITS)
    return word.replace("l", "i")


def joined(text: str) -> str:
    """Return the letters and digits of a text in one spelling, without anything between them."""
    return "".join(_TOKEN.findall(folded(text)))


# --- One spelling ---
def _folded(text: str) -> str:
    plain = _without_controls(text.translate(_BLANKS)).casefold()
    bare = "".join(_digit(sign) for sign in unicodedata.normalize("NFKD", plain) if unicodedata.category(sign) != "Mn")
    return unicodedata.normalize("NFC", bare)


def _digit(sign: str) -> str:
    return sign if sign.isascii() else str(unicodedata.digit(sign, sign))


def _without_controls(text: str) -> str:
    """Take out what shows nothing (soft hyphens, zero-width signs, changes of direction); white space stays a space."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        " " if sign.isspace() else sign for sign in text if sign.isspace() or unicodedata.category(sign)[0] != "C"
    )


# --- Layers of encoding ---
def _layers(text: str) -> tuple[str, ...]:
    """Return the text and what it decodes to, at most `_DEPTH` times over."""
    found, fresh = {text: None}, [text]
    for _ in range(_DEPTH):
        fresh = [decoded for layer in fresh for decoded in _decoded(layer) if decoded not in found]
        for decoded in fresh:
            if len(found) < _LAYERS:
                found[decoded] = None
    return tuple(found)


def _decoded(text: str) -> Iterator[str]:
    yield unquote(text, errors="ignore")
    yield html.unescape(text)
    yield _ESCAPE.sub(_unescaped, text)
    yield _QUOTED.sub(lambda found: _as_text(bytes.fromhex(found[0].replace("=", ""))) or found[0], text)
    for pattern, decode in _CODECS:
        yield pattern.sub(_decoder(decode), text)


_ESCAPE = re.compile(r"\\u\{([0-9a-fA-F]{1,6})\}|(?:\\u|[uU]\+|%u)([0-9a-fA-F]{4})|\\x([0-9a-fA-F]{2})")
_QUOTED = re.compile(r"(?:=[0-9A-Fa-f]{2})+")


def _unescaped(found: re.Match[str]) -> str:
    number = int(found[1] or found[2] or found[3], 16)
    return chr(number) if number < 0x110000 and not 0xD800 <= number < 0xE000 else found[0]


def _decoder(decode: Callable[[str], bytes]) -> Callable[[re.Match[str]], str]:
    def decoded(found: re.Match[str]) -> str:
        try:
            return _as_text(decode(found[0])) or found[0]
        except (binascii.Error, ValueError):
            return found[0]

    return decoded


def _as_text(data: bytes) -> str:
    """Return the text that the bytes are, or nothing when they are no printable text."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return ""
    return text if text.isprintable() else ""


def _hex(text: str) -> bytes:
    return bytes.fromhex(re.sub(r"0x|[\s:,-]", "", text))


def _base64(text: str) -> bytes:
    bare = text.rstrip("=").translate(str.maketrans("-_", "+/"))
    return base64.b64decode(bare + "=" * (-len(bare) % 4), validate=True)


def _base32(text: str) -> bytes:
    bare = text.rstrip("=")
    return base64.b32decode(bare + "=" * (-len(bare) % 8))


_CODECS: tuple[tuple[re.Pattern[str], Callable[[str], bytes]], ...] = (
    (re.compile(r"(?<![0-9a-zA-Z])(?:(?:0x)?[0-9a-fA-F]{2}[\s:,-]?){4,}(?![0-9a-zA-Z])"), _hex),
    (re.compile(rf"(?<![\w+/=-])[A-Za-z0-9+/_-]{{{_SHORTEST_ENCODED},}}={{0,2}}(?![\w+/=-])"), _base64),
    (re.compile(rf"(?<![\w+/=-])[A-Z2-7]{{{_SHORTEST_ENCODED},}}={{0,6}}(?![\w+/=-])"), _base32),
)


# --- Tokens ---
def _joined_singles(words: Tokens) -> Tokens:
    """Join runs of three and more single letters or digits: `J o h n` is a word."""
    found: list[str] = []
    run: list[str] = []
    for word in (*words, ""):
        if len(word) == 1:
            run.append(word)
            continue
        found.extend(["".join(run)] if len(run) > 2 else run)
        run = []
        if word:
            found.append(word)
    return tuple(found)
