"""Collect translations of programs under permissive licences, as more rows for `train_tiny.py`.

    python tools/more_texts.py CORPUS OUT

Downloads packages of fixed versions with pip and npm, reads their catalogues and writes
OUT/more.tsv.gz: source, language, English, translation. No row has most of a sentence that
`train_tiny.py` reads from CORPUS to measure. The same CORPUS gives the same file.
"""

import argparse
import gzip
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from text_packages import PACKAGES, download, read_package
from text_rules import Leaks, Row, chosen, fault, limited
from tiny_corpus import KINDS, LANGUAGES, rows_of


def held_out(corpus: Path) -> Iterator[tuple[str, str]]:
    """Language and text of all sentences that `train_tiny.py` may measure on."""
    with gzip.open(corpus / "dev.tsv.gz", "rt", encoding="utf-8") as rows:
        pairs = [row.rstrip("\n").split("\t") for row in rows]
    sources = tuple(name for names in KINDS.values() for name in names)
    pairs += [row[1:] for row in rows_of(corpus) if row[0].startswith(sources)]
    for language, english, translation in pairs:
        if language in LANGUAGES and len(english.split()) >= 6:
            yield from (("en", english), (language, translation))


def collect(corpus: Path) -> list[Row]:
    """Rows of all packages that keep all rules."""
    leaks, rows, broken = Leaks(held_out(corpus)), [], Counter()
    for package in PACKAGES:
        with tempfile.TemporaryDirectory() as folder:
            path = download(package, Path(folder))
            pairs = list(dict.fromkeys(read_package(package, path)))
        faults = [fault(*pair[1:]) for pair in pairs]
        broken.update(faults)
        rows += [pair for pair, found in zip(pairs, faults, strict=True) if not found]
    kept = chosen(rows)
    broken["repeated or of an unusual length"] = len(rows) - len(kept)
    clear = [row for row in kept if not (leaks.has("en", row[2]) or leaks.has(row[1], row[3]))]
    broken["held out"] = len(kept) - len(clear)
    rows = limited(clear)
    broken["too many"] = len(clear) - len(rows)
    print("left out:", ", ".join(f"{name} {n}" for name, n in broken.most_common() if name))
    return rows


def main() -> None:
    """Write OUT/more.tsv.gz."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpus", type=Path)
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    try:
        rows = collect(options.corpus)
    except (OSError, subprocess.CalledProcessError) as error:
        raise SystemExit(f"more_texts.py: {error}") from None
    options.out.mkdir(parents=True, exist_ok=True)
    data = "".join("\t".join(row) + "\n" for row in rows).encode()
    (options.out / "more.tsv.gz").write_bytes(gzip.compress(data, mtime=0))
    for language in LANGUAGES:
        counts = Counter(row[0] for row in rows if row[1] == language)
        print(language, counts.total(), ", ".join(f"{name} {n}" for name, n in counts.items()))


if __name__ == "__main__":
    main()
