"""Random damage to files, by what they hold: bytes, text, tables, trees (YAML, JSON), DICOM slices, NIfTI headers.

`benchmarks/mutated_inputs.py` and a test give what comes of it to the package's readers. The same generator gives the
same damage.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
import struct
from collections.abc import Callable
from typing import Any

import numpy as np
import yaml

Random = np.random.Generator
Mutation = Callable[[bytes, Random], bytes]

WORDS = (
    *("", " ", "NaN", "nan", "inf", "-inf", "1e999", "1e-38", "-1", "0", "00", "1" * 400, "9" * 5000, "0x10", "1_000"),
    *("true", "yes", "null", "~", "None", "abc", "a" * 100_000, "=1+1", "'", '"', '"' * 3, "\\", ",", ";", "\t", "|"),
    *("\x00", "\ufeff", "\u00a0", "\u202e", "\u0661\u0662", "\uff15", "e\u0301", "\U0001f9ea", "\x1b[31m", "\r", "\n"),
    *("../../etc/passwd", "/dev/zero", "/dev/stdin", "file:///etc/passwd", "${HOME}", "$(id)", "`id`", "{0.__class__}"),
    *(
        "%s%n",
        "<b>",
        "C:\\x",
        "con",
        ".",
        "..",
        "-",
        "--help",
        "1,5",
        "1.5e3",
        "12:30:45",
        "2020-13-45",
        "#",
        "&a",
        "*a",
    ),
)
VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 5, 10**30, -(10**30), 1.5, 1e-38, 1e300, float("nan"), float("inf"), -float("inf")),
    *(
        [],
        [None],
        [1, 2, 3, 4, 5, 6, 7],
        [[1]],
        ["a", "b"],
        {},
        {"a": 1},
        {"a": {"b": [1, {"c": 2}]}},
        {1: 2},
        {"": ""},
    ),
    *WORDS,
)
BYTES = (
    b"",
    b"\x00",
    b"\xff",
    b"\xff" * 8,
    b"\x00" * 8,
    b"\x7f\xff",
    b"\x80\x00",
    b"\xfe\xff",
    b"\xed\xa0\x80",
    b"\xc3",
)
PROPERTIES = ("append", "__class__", "extend", "data")


def _pick(random: Random, choices: Any) -> Any:
    return choices[int(random.integers(len(choices)))]


def _between(random: Random, content: bytes) -> tuple[int, int]:
    start = int(random.integers(len(content) + 1))
    return start, min(len(content), start + int(random.integers(1, 64)))


def flip(content: bytes, random: Random) -> bytes:
    """One to eight bytes are other ones."""
    changed = bytearray(content)
    for _ in range(int(random.integers(1, 9)) if changed else 0):
        changed[int(random.integers(len(changed)))] = int(random.integers(256))
    return bytes(changed)


def cut(content: bytes, random: Random) -> bytes:
    """The file breaks off."""
    return content[: int(random.integers(len(content) + 1))]


def remove(content: bytes, random: Random) -> bytes:
    """Some bytes are missing."""
    start, end = _between(random, content)
    return content[:start] + content[end:]


def insert(content: bytes, random: Random) -> bytes:
    """Some bytes too many."""
    start, _ = _between(random, content)
    added = _pick(random, (*BYTES, random.bytes(16), b"\x00" * 4096))
    return content[:start] + added + content[start:]


def repeat(content: bytes, random: Random) -> bytes:
    """A part stands twice."""
    start, end = _between(random, content)
    return content[:end] + content[start:end] + content[end:]


def blank(content: bytes, random: Random) -> bytes:
    """A part is bytes of 0 or of 255, as on a failing disk."""
    start, end = _between(random, content)
    return content[:start] + _pick(random, (b"\0", b"\xff")) * (end - start) + content[end:]


def other_format(content: bytes, random: Random) -> bytes:
    """Nothing, another kind of file, or another encoding of it."""
    text = content.decode("latin-1")
    return _pick(
        random,
        (b"", b"\0" * 5000, b"PK\x03\x04" + content, b"%PDF-1.4", gzip.compress(content), text.encode("utf-16"),
         b"\xef\xbb\xbf" + content, content.replace(b"\n", b"\r\n"), content.replace(b"\n", b"\r"), random.bytes(3000)),
    )  # fmt: skip


DAMAGE: tuple[Mutation, ...] = (flip, cut, remove, insert, repeat, blank, other_format)
"""What may befall any file."""


def lines(content: bytes, random: Random) -> bytes:
    """Lines swapped, dropped or doubled."""
    rows = content.split(b"\n")
    a, b = (int(random.integers(len(rows))) for _ in range(2))
    kind = int(random.integers(3))
    if kind == 0:
        rows[a], rows[b] = rows[b], rows[a]
    elif kind == 1:
        del rows[a]
    else:
        rows.insert(a, rows[b])
    return b"\n".join(rows)


def word(content: bytes, random: Random) -> bytes:
    """A word or number is another one."""
    found = list(re.finditer(rb"[\w.+-]+", content))
    if not found:
        return content
    place = _pick(random, found)
    return content[: place.start()] + _pick(random, WORDS).encode() + content[place.end() :]


TEXT: tuple[Mutation, ...] = (*DAMAGE, lines, word, word)


def cells(content: bytes, random: Random) -> bytes:
    """A table with cells, columns or rows swapped, dropped, doubled or filled with something else."""
    table = [row for row in csv.reader(io.StringIO(content.decode())) if row]
    row, column = int(random.integers(len(table))), int(random.integers(len(table[0])))
    other_row, other = int(random.integers(len(table))), int(random.integers(len(table[0])))
    kind = int(random.integers(6))
    if kind <= 2:
        table[row][column] = _pick(random, WORDS)
    elif kind == 3:
        table[row][column], table[other_row][other] = table[other_row][other], table[row][column]
    elif kind == 4:
        for cells_of in table:
            cells_of[column], cells_of[other] = cells_of[other], cells_of[column]
    elif column % 2:
        for cells_of in table:
            del cells_of[column]
    else:
        table = [[*cells_of, cells_of[column]] for cells_of in table]
    written = io.StringIO()
    csv.writer(written, lineterminator="\n", quoting=_pick(random, (csv.QUOTE_MINIMAL, csv.QUOTE_ALL))).writerows(table)
    return written.getvalue().encode()


TABLE: tuple[Mutation, ...] = (*TEXT, cells, cells, cells, cells)


def edited(tree: Any, random: Random) -> Any:
    """A tree of mappings and lists with one value replaced, removed, renamed, moved or nested."""
    places = list(_places(tree))
    if not places:
        return _pick(random, VALUES)
    parent, key = _pick(random, places)
    kind = int(random.integers(7))
    if kind <= 2:
        parent[key] = _pick(random, VALUES)
    elif kind == 3:
        other, other_key = _pick(random, places)
        parent[key] = json.loads(json.dumps(other[other_key], default=str))
    elif kind == 4:
        del parent[key]
    elif kind == 5 and isinstance(parent, dict):
        parent[_pick(random, (*WORDS, *PROPERTIES, 5, None, 1.5, True))] = parent.pop(key)
    else:
        for _ in range(_pick(random, (1, 3, 200))):
            parent[key] = _pick(random, ({"a": parent[key]}, [parent[key]]))
    return tree


def _places(tree: Any) -> Any:
    keys = list(tree) if isinstance(tree, dict) else range(len(tree)) if isinstance(tree, list) else ()
    for key in keys:
        yield tree, key
        yield from _places(tree[key])


def yaml_values(content: bytes, random: Random) -> bytes:
    """YAML with values of other types."""
    tree = edited(yaml.safe_load(content), random)
    style = _pick(random, (None, False, True))
    return yaml.safe_dump(tree, default_flow_style=style, allow_unicode=True, sort_keys=False).encode(errors="replace")


def _bomb(fan: int, depth: int) -> str:
    levels = [f"a0: &a0 [{', '.join(['x'] * fan)}]"]
    levels += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * fan)}]" for n in range(1, depth)]
    return "\n".join(levels)


YAML_TRICKS = (
    *(_bomb(9, 9), _bomb(2, 40), "a: &a [*a]", "<<: *a", "a: &a {b: 1}\nc: {<<: *a}\n<<: [*a, *a]", "&a a: *a"),
    *("[" * 50_000, "{" * 50_000, "- " * 50_000, "? " * 5000, "a: " * 5000, "{a: " * 400 + "1" + "}" * 400),
    *("!!python/object/apply:os.system [id]", "!!python/none", "!!binary '@'", "!!timestamp x", "!!bool x", "!!int ''"),
    *(
        "!!float x",
        "!!set {a, b}",
        "!!omap [a: 1]",
        "!!pairs [a: 1]",
        "!foo bar",
        "%YAML 9.9\n---\na: 1",
        "---\na: 1\n---\n",
    ),
    *(
        "a: 1:" + ":".join(["59"] * 5000),
        "a: " + "9" * 5000,
        "a: 0b" + "1" * 9000,
        "a: 1e" + "9" * 300,
        "a: 2020-02-30",
    ),
    *(
        "? [1, 2]\n: 3",
        "? {a: 1}\n: 3",
        "a: 1\na: 2",
        "5: 1\n'5': 2",
        "a: |\n\n" + " " * 50_000,
        "\tb: 1",
        "a: 'x",
        "@",
    ),
    *("{" + ", ".join(f"k{n}: 0" for n in range(20_000)) + "}", "# " + "x" * 3_000_000, 'a: "\\ud800"', "a: .nan"),
)


def yaml_tricks(content: bytes, random: Random) -> bytes:
    """What YAML can do that no setting needs: references, tags, depth, several documents, numbers without end."""
    trick = _pick(random, YAML_TRICKS).encode(errors="surrogatepass")
    kind = int(random.integers(4))
    if kind == 0:
        return trick
    if kind == 1:
        return content.rstrip() + b"\n" + trick + b"\n"
    if kind == 2:
        return trick + b"\n" + content
    spots = [place.start() for place in re.finditer(rb": ", content)]
    spot = _pick(random, spots) if spots else 0
    end = content.find(b"\n", spot)
    return content[: spot + 2] + trick.removeprefix(b"a: ").replace(b"\n", b" ") + content[end if end >= 0 else None :]


YAML: tuple[Mutation, ...] = (*TEXT, *[yaml_values] * 6, *[yaml_tricks] * 2)


def json_values(content: bytes, random: Random) -> bytes:
    """JSON with values of other types, NaN and infinity among them."""
    return json.dumps(edited(json.loads(content), random), indent=_pick(random, (None, 1))).encode(errors="replace")


def json_tricks(content: bytes, random: Random) -> bytes:
    """Depth, numbers without end, keys twice."""
    nested = [
        b"[" * 100_000,
        b'{"a":' * 50_000,
        b"[" * 300 + b"]" * 300,
        b"9" * 5000,
        b"1e999",
        b"-1e999",
        b"NaN",
        b"1E5",
    ]
    places = list(re.finditer(rb"(?<=: )[^\s,{\[]+", content))
    place = _pick(random, places)
    if int(random.integers(3)):
        return content[: place.start()] + _pick(random, nested) + content[place.end() :]
    (start,) = [match.start() for match in re.finditer(rb'"[^"]*": $', content[: place.start()])][-1:] or [0]
    return content[:start] + content[start : place.end()] + b", " + content[start:]


JSON: tuple[Mutation, ...] = (*TEXT, *[json_values] * 8, json_tricks, json_tricks)

TAGS = (
    *("00080005", "00080008", "00080016", "00080060", "00100010", "00100020", "0020000D", "0020000E", "00200011"),
    *("00200013", "00200032", "00200037", "00200052", "00280002", "00280004", "00280008", "00280010", "00280011"),
    *("00280030", "00280100", "00280101", "00280102", "00280103", "00281052", "00281053", "00281054", "00283000"),
    *("7FE00010", "00020010", "00180050", "00180088", "00281050", "52009230", "52009229", "00282110", "60003000"),
)
TAG_VALUES = (
    *(b"", b"\0", b"0", b"1", b"-1", b"NaN", b"inf", b"1e-38", b"1e38", b"1e999", b"0,7\\0,8", b"1\\2", b"1\\2\\3\\4"),
    *(
        b"1\\0\\0\\0\\1\\0",
        b"0\\0\\0\\0\\0\\0",
        b"1\\0\\0\\1\\0\\0",
        b"-0.5\\0\\0\\0\\1\\0",
        b"9" * 400,
        b"1 ",
        b"0x1",
        b"1_0",
    ),
    *(
        b"\x08\x00",
        b"\x10\x00",
        b"\x0c\x00",
        b"\x20\x00",
        b"\x00\x00",
        b"\xff\xff",
        b"\x01\x00",
        b"\x04\x00",
        b"\x10\x00\x08\x00",
    ),
    *(b"CT", b"MR", b"MONOCHROME1", b"RGB", b"ISO_IR 192", b"\\ISO 2022 IR 87", b"HU", b"US", b"Z_EFF", b"LOCALIZER"),
    *(b"1.2.840.10008.1.2", b"1.2.840.10008.1.2.2", b"1.2.840.10008.1.2.1.99", b"1.2.840.10008.1.2.5", b"\xff\xfe\xfd"),
    *(b"1.2.840.10008.1.2.4.70", b"1.2.840.10008.1.2.4.90", b"0.5", b"2", b"0.00001", b"1000", b"1e300", b"..\\..\\x"),
)
VRS = (b"CS", b"DS", b"IS", b"US", b"OW", b"SQ", b"UN", b"FD", b"PN", b"UI", b"??", b"\0\0", b"AT", b"LO")


def dicom_tag(content: bytes, random: Random) -> bytes:
    """A slice in which the value of a tag is another one, is missing, has another type or is added; explicit VR."""
    tag = bytes.fromhex(_pick(random, TAGS))
    name = tag[1::-1] + tag[3:1:-1]
    at = content.find(name, 132)
    value = _pick(random, (*TAG_VALUES, random.bytes(int(random.integers(1, 12)))))
    value += b"" if len(value) % 2 == 0 else b" "
    if at < 0:
        # Elements stand in the order of their tags.
        before = content.find(b"\xe0\x7f\x10\x00", 132)
        return content[:before] + name + b"DS" + struct.pack("<H", len(value)) + value + content[before:]
    kind = content[at + 4 : at + 6]
    wide = kind in (b"OW", b"OB", b"SQ", b"UN", b"UT")
    start = at + (12 if wide else 8)
    length = int.from_bytes(content[start - 4 if wide else start - 2 : start], "little")
    how = int(random.integers(8))
    if how == 0:
        return content[:at] + content[start + length :]
    if how == 1:
        return content[: at + 4] + _pick(random, VRS) + content[at + 6 :]
    if how == 2:
        size = struct.pack("<I", _pick(random, (0, 1, 2**31, 2**32 - 1, 2**32 - 2))) if wide else random.bytes(2)
        return content[: start - len(size)] + size + content[start:]
    size = struct.pack("<I" if wide else "<H", len(value))
    return content[: start - len(size)] + size + value + content[start + length :]


DICOM: tuple[Mutation, ...] = (*DAMAGE, *[dicom_tag] * 14)

_INTS = (0, 1, 2, 3, 4, 5, 7, 8, 16, 32, -1, 100, 32767, -32768, 540, 512, 1280, 128, 1536)
_REALS = (
    0.0,
    -0.0,
    1.0,
    -1.0,
    0.5,
    1e-38,
    1e38,
    1e-45,
    3e38,
    np.nan,
    np.inf,
    -np.inf,
    352.0,
    348.0,
    1000.0,
    0.001,
    1e7,
)


def nifti_header(content: bytes, random: Random) -> bytes:
    """A NIfTI-1 header in which sizes, type, edges, scale, units or forms are other ones."""
    packed = content[:2] == b"\x1f\x8b"
    changed = bytearray(gzip.decompress(content) if packed else content)
    for _ in range(int(random.integers(1, 3))):
        if int(random.integers(2)):
            at = _pick(random, (*range(40, 56, 2), 70, 72, 252, 254, 123, 344))
            struct.pack_into("<h", changed, at, _pick(random, (*_INTS, int(random.integers(-32768, 32768)))))
        else:
            at = _pick(random, (*range(76, 108, 4), 108, 112, 116, *range(256, 328, 4)))
            struct.pack_into("<f", changed, at, _pick(random, (*_REALS, float(random.normal()))))
    return gzip.compress(bytes(changed), 1) if packed else bytes(changed)


def nifti_packing(content: bytes, random: Random) -> bytes:
    """A compressed file that is cut, wrong in a byte of its stream, or of two streams; or far longer than it says."""
    packed = content if content[:2] == b"\x1f\x8b" else gzip.compress(content, 1)
    kind = int(random.integers(300))
    if kind == 0:  # 2 GB of nothing behind the voxels
        more = gzip.compress(bytes(1 << 24), 9)
        return gzip.compress(gzip.decompress(packed), 1) + more * 128
    if kind == 1:  # 2,048 voxels along each axis that all compress to nothing
        header = bytearray(gzip.decompress(packed)[:352])
        struct.pack_into("<4h", header, 40, 3, 2048, 2048, 2048)
        return gzip.compress(bytes(header), 1) + gzip.compress(bytes(1 << 24), 9) * 64
    if kind < 30:
        return packed + packed
    return _pick(random, DAMAGE)(packed, random)


NIFTI: tuple[Mutation, ...] = (*DAMAGE, *[nifti_header] * 10, nifti_packing, nifti_packing)


def mutated(content: bytes, mutations: tuple[Mutation, ...], random: Random) -> bytes:
    """A file after one or two of the mutations."""
    for mutation in [_pick(random, mutations) for _ in range(1 + int(random.integers(4) == 0))]:
        try:
            content = mutation(content, random)
        except Exception:
            # The first damage left nothing that the second could take apart.
            content = flip(content, random)
    return content
