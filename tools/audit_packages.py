"""Check wheels and sdists before anybody installs them: names, contents, checksums, sizes, links.

    python tools/audit_packages.py dist/*           one line for each fault; exit code 1 if any
    python tools/audit_packages.py --release dist/* and what an index or a stranger would refuse

A wheel is compared with the sources of this checkout, so a file that is missing, or one that was
left behind by an earlier build, is found. It needs nothing but Python.
"""

import argparse
import base64
import hashlib
import re
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from email import message_from_bytes
from email.message import Message
from itertools import product
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "numpy_erniem"
LARGEST = 20_000_000  # bytes of a wheel or sdist; most of it is the bundled checkpoint
WHEEL_NAME = re.compile(rf"{PACKAGE}-([^-]+)-([^-]+)-([^-]+)-([^-]+)\.whl")
KERNELS = re.compile(rf"{PACKAGE}/_kernels(\.[\w.-]+)?\.(so|pyd)")
LIBRARIES = re.compile(rf"{PACKAGE}\.libs/libgomp-[0-9a-f]+\.so[\d.]*")  # auditwheel adds OpenMP
DIST_INFO = {"METADATA", "WHEEL", "RECORD", "entry_points.txt", "top_level.txt"}
LICENCES = {"LICENSE", "THIRD_PARTY_LICENSES.md"}
NEEDED_METADATA = [
    *("Summary", "Author", "Keywords", "Requires-Python", "License-Expression"),
    *("Description-Content-Type", "Project-URL", "Classifier"),
]
RELATIVE_LINK = re.compile(r"\]\((?!\w+:|#)([^)\s]+)\)")
GENERATED = re.compile(r"PKG-INFO|setup\.cfg|numpy_erniem\.egg-info(/.*)?")  # by setuptools


def audit_wheel(path: Path, release: bool = False) -> Iterator[str]:
    """Yield the faults of a wheel.

    Parameters
    ----------
    path : Path
    release : bool
        Whether a wheel that must not be published, or a placeholder of an address, is a fault.

    Yields
    ------
    str
    """
    name = WHEEL_NAME.fullmatch(path.name)
    if name is None:
        yield "the name is not that of a wheel of this package"
        return
    version, python, abi, platform = name.groups()
    with zipfile.ZipFile(path) as archive:
        infos = [info for info in archive.infolist() if not info.is_dir()]
        files = {info.filename: archive.read(info) for info in infos}
        if len(files) != len(infos):
            yield "a file is there twice"
    info = f"{PACKAGE}-{version}.dist-info"
    for needed in ("WHEEL", "METADATA", "RECORD"):
        if f"{info}/{needed}" not in files:
            yield f"{info}/{needed} is missing"
            return
    yield from _tag_faults(message_from_bytes(files[f"{info}/WHEEL"]), python, abi, platform)
    yield from _kernel_faults(files, python, abi, platform)
    yield from _content_faults(files, info)
    yield from _record_faults(files, f"{info}/RECORD")
    yield from _metadata_faults(message_from_bytes(files[f"{info}/METADATA"]), version, release)
    if release and platform.startswith("linux"):
        yield f"the platform {platform} is for this machine alone; run auditwheel repair"
    if release and platform == "any":
        yield "pip would take it where it can build kernels from the sdist; do not publish it"


def _tag_faults(wheel: Message, python: str, abi: str, platform: str) -> Iterator[str]:
    parts = (part.split(".") for part in (python, abi, platform))
    from_name = {"-".join(tag) for tag in product(*parts)}
    told = set(wheel.get_all("Tag", []))
    if told != from_name:
        yield f"WHEEL says {', '.join(sorted(told))}; the name says {', '.join(sorted(from_name))}"
    pure = "true" if platform == "any" else "false"
    if wheel.get("Root-Is-Purelib") != pure:
        yield f"Root-Is-Purelib is {wheel.get('Root-Is-Purelib')}, not {pure}"


def _kernel_faults(files: dict[str, bytes], python: str, abi: str, platform: str) -> Iterator[str]:
    """The name has to say whether there are kernels, and for which Pythons."""
    kernels = [name for name in files if KERNELS.fullmatch(name)]
    if platform == "any":
        if kernels or (python, abi) != ("py3", "none"):
            yield f"{python}-{abi}-any is no name for a wheel with {kernels or 'no kernels'}"
        return
    if len(kernels) != 1:
        yield f"the name says that there are kernels, but there are {len(kernels)}"
    is_abi3 = (python, abi) == ("cp310", "abi3")
    if not is_abi3 and not (python == abi.removesuffix("t") and abi.endswith("t")):
        yield f"{python}-{abi} is neither cp310-abi3 nor that of a free-threaded Python"
    for name in kernels:
        if name.endswith(".so") and is_abi3 != name.endswith(".abi3.so"):
            yield f"{name} does not fit the tag {python}-{abi}"


def _content_faults(files: dict[str, bytes], info: str) -> Iterator[str]:
    binary = [name for name in files if KERNELS.fullmatch(name) or LIBRARIES.fullmatch(name)]
    wanted = {f"{info}/{name}" for name in DIST_INFO}
    licences = [*LICENCES, *(f"licenses/{path.name}" for path in (ROOT / "licenses").iterdir())]
    wanted |= {f"{info}/licenses/{name}" for name in licences} | package_files()
    there = files.keys() - {f"{info}/sboms/auditwheel.cdx.json", *binary}  # auditwheel's list
    for name in sorted(there - wanted):
        yield f"{name} does not belong there"
    for name in sorted(wanted - there):
        yield f"{name} is missing"


def package_files() -> set[str]:
    """Names of the files of the package in this checkout, those of the kernels left out."""
    files = (path for path in (ROOT / PACKAGE).rglob("*") if path.is_file())
    names = {path.relative_to(ROOT).as_posix() for path in files}
    return {name for name in names if not (KERNELS.fullmatch(name) or "__pycache__" in name)}


def _record_faults(files: dict[str, bytes], record: str) -> Iterator[str]:
    lines = [line.rsplit(",", 2) for line in files[record].decode("utf-8").splitlines()]
    sums = {name: checksum for name, checksum, _ in lines}
    for name, content in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).decode().rstrip("=")
        if name != record and sums.get(name) != f"sha256={digest}":
            yield f"{name} has another checksum in RECORD, or none"
    yield from (f"{name} of RECORD is missing" for name in sorted(sums.keys() - files.keys()))


def _metadata_faults(metadata: Message, version: str, release: bool) -> Iterator[str]:
    if metadata.get("Version") != version:
        yield f"METADATA is of version {metadata.get('Version')}"
    for key in NEEDED_METADATA:
        if key not in metadata:
            yield f"METADATA has no {key}"
    for link in RELATIVE_LINK.findall(str(metadata.get_payload())):
        yield f"the link {link} of the description leads nowhere on an index"
    if release and ".example/" in str(metadata.get_all("Project-URL")):
        yield "the addresses of [project.urls] in pyproject.toml are placeholders; set them"


def audit_sdist(path: Path, release: bool = False) -> Iterator[str]:
    """Yield the faults of an sdist; arguments as of `audit_wheel`."""
    with tarfile.open(path) as archive:
        members = archive.getmembers()
        names = [PurePosixPath(m.name) for m in members if not m.isdir()]
        top = path.name.removesuffix(".tar.gz")
        yield from (f"{m.name} is no plain file" for m in members if not (m.isfile() or m.isdir()))
        if {name.parts[0] for name in names} != {top}:
            yield f"there is something outside the folder {top}"
            return
        metadata = archive.extractfile(f"{top}/PKG-INFO")
        parsed = message_from_bytes(metadata.read() if metadata else b"")
    yield from _metadata_faults(parsed, top.rpartition("-")[2], release)
    there = {"/".join(name.parts[1:]) for name in names}
    there = {name for name in there if not GENERATED.fullmatch(name)}
    if (wanted := tracked_files()) is not None:
        yield from (f"{name} does not belong there" for name in sorted(there - wanted))
        yield from (f"{name} is missing" for name in sorted(wanted - there))


def tracked_files() -> set[str] | None:
    """Names of the files under version control; None where this is no checkout."""
    if not (ROOT / ".git").exists():
        return None
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True)
    return set(done.stdout.decode("utf-8").split("\0")) - {""}


def audit(path: Path, release: bool = False) -> list[str]:
    """List the faults of a wheel or an sdist; arguments as of `audit_wheel`."""
    if not path.is_file():
        return ["there is no such file"]
    faults = audit_sdist if path.name.endswith(".tar.gz") else audit_wheel
    found = list(faults(path, release))
    if path.stat().st_size > LARGEST:
        found.append(f"{path.stat().st_size} bytes are more than {LARGEST}")
    return found


def main() -> int:
    """Audit the files of the command line; returns the exit code."""
    parser = argparse.ArgumentParser(description="Check wheels and sdists.")
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
    parser.add_argument("--release", action="store_true", help="the files are to be published")
    options = parser.parse_args()
    faults = [f"{p.name}: {fault}" for p in options.files for fault in audit(p, options.release)]
    for fault in faults:
        print(fault)
    if not faults:
        print(f"no fault in {len(options.files)} files")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
