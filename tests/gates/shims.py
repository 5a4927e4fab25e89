"""The preload shims of the fault gates, and their program: every system call behind a name that a shim can take, and named places
at which it can be told to end (crates/vault/src/failpoint.rs).

What a shim does stands in its C file."""

import os
import subprocess

from house import TOP

FOLDER = os.path.join(TOP, "target", "power")


def shim(name):
    """Builds `name`.c; the path of the library."""
    os.makedirs(FOLDER, exist_ok=True)
    library = os.path.join(FOLDER, f"{name}.so")
    source = os.path.join(TOP, "tests", "gates", f"{name}.c")
    if not os.path.exists(library) or os.path.getmtime(library) < os.path.getmtime(source):
        # Another gate may have the old one loaded; calls within a shim stay within it (-Bsymbolic).
        new = f"{library}.{os.getpid()}"
        subprocess.run(["cc", "-O1", "-Wall", "-Werror", "-shared", "-fPIC", "-Wl,-Bsymbolic", "-o", new, source, "-ldl"], check=True)
        os.replace(new, library)
    return library


def program():
    """The release program, built so that no rename goes round the C library; FINELINE_LIBC names one that is there already."""
    there = os.environ.get("FINELINE_LIBC")
    if there:
        return there
    subprocess.run(
        ["cargo", "build", "--release", "--locked", "--quiet", "-p", "fineline", "--target-dir", FOLDER],
        cwd=TOP, check=True, env={**os.environ, "RUSTFLAGS": "--cfg rustix_use_libc --cfg failpoints"},
    )
    return os.path.join(FOLDER, "release", "fineline")
