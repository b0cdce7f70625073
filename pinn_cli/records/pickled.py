"""What the pickle in a checkpoint may ask for: tensors, tables and plain values, as torch writes them.

torch's own loader refuses what could run code, but not what fills the memory: 30 bytes ask for a `bytearray` of 3 GB,
or for the rows of a tensor that has 10^9 of them and one number. So only what our states need is allowed, and nothing
is called but on what has just been written out: a tensor on its tuple, an OrderedDict on nothing.
"""

import pickletools
import re

TABLE = "collections OrderedDict"
GLOBALS = re.compile(rf"{TABLE}|torch\._utils _rebuild_tensor_v2|torch \w+Storage")
CODES = set("\x80.(c}])t\x85\x86\x87RbQhjqrXKMJGNasue\x88\x89\x8a")  # the letters of pickle's operations
PUT, PUSHED = "qr", "O"  # keep the last value under a number; an OrderedDict, which has no letter of its own
CALLS = re.compile(r"O(?!\)R)|(?<![)t])R|(?<![su])b")  # those that are otherwise than above; attributes are a dict's


def check(content: bytes) -> None:
    """Raises ValueError for a pickle that holds anything else."""
    letters = bytearray(b".")
    tables: set[int] = set()  # the numbers under which OrderedDict is kept
    for operation, argument, _ in pickletools.genops(content):
        code = operation.code
        if code not in CODES or (code == "c" and not GLOBALS.fullmatch(str(argument))):
            raise ValueError(f"it holds more than tensors and plain values: {argument or operation.name}")
        if code in PUT:
            (tables.add if letters.endswith(b"O") else tables.discard)(int(argument or 0))
            continue
        is_table = argument == TABLE if code == "c" else code in "hj" and argument in tables
        letters += (PUSHED if is_table else code).encode("latin-1")
    if found := CALLS.search(letters.decode("latin-1")):
        raise ValueError(f"it calls what no state calls (operation {found.start()})")
