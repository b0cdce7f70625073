"""Freed memory is used again: the system gives out no new pages for the second array."""

import os
import subprocess
import sys

import pytest

PROGRAM = """
import ctypes, resource
from pinn_cli.basics.allocator import keep_freed_memory
{call}
faults = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_minflt
def fill():
    before = faults()
    b"x" * 64_000_000
    return faults() - before
fill()
print(fill())
"""


def faults_of_the_second_array(call: str, **variables: str) -> int:
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_"))}
    done = subprocess.run([sys.executable, "-c", PROGRAM.format(call=call)], env=plain | variables, check=True,
                          capture_output=True, text=True)  # fmt: skip
    return int(done.stdout)


@pytest.mark.skipif(not sys.platform.startswith("linux") or "glibc" not in str(os.confstr("CS_GNU_LIBC_VERSION")),
                    reason="the GNU C library alone can be asked")  # fmt: skip
def test_freed_memory_is_kept_unless_the_user_has_settings_of_their_own() -> None:
    pages = 64_000_000 // 4096
    assert faults_of_the_second_array("") > pages / 2
    assert faults_of_the_second_array("assert keep_freed_memory()") < pages / 100
    assert faults_of_the_second_array("assert not keep_freed_memory()", MALLOC_TOP_PAD_="1000000") > pages / 2
