"""The texts that the bundled checkpoint is trained on, and its vocabulary."""

import gzip
import hashlib
import io
import itertools
import json
import random
from collections.abc import Iterator
from pathlib import Path

import sentencepiece

from numpy_erniem import ErnieMTokenizer
from numpy_erniem.tokenizer.pieces import cut_piece

LANGUAGES = (
    *("ar", "bg", "cs", "de", "el", "es", "fa", "fi", "fr", "he", "hi", "hu", "id", "it", "ja"),
    *("ko", "nl", "pl", "pt", "ro", "ru", "sv", "th", "tr", "uk", "vi", "zh"),
)
LABELS = tuple(sorted(("en", *LANGUAGES)))  # the classes of the language head
LICENCES = {  # of the rows taken, by the beginning of their source; none is under the GPL alone
    "libreoffice-": "MPL-2.0",
    "Django": "BSD-3-Clause",
    "CLDR": "Unicode licence",
    "audacity": "CC-BY-3.0",
    "debian-handbook": "CC-BY-SA-3.0",
    "gnome-user-docs": "CC-BY-SA-3.0",
    "evolution": "LGPL, its help CC-BY-SA-3.0",
    "libgtk": "LGPL-2.1",
    "libc-l10n": "LGPL-2.1",
    "marble": "LGPL-2.1",
    "homeassistant": "Apache-2.0",  # from here on rows of more_texts.py
    "home-assistant-frontend": "Apache-2.0",
    "matrix-react-sdk": "Apache-2.0",
    "apache-superset": "Apache-2.0",
    "scratch-l10n": "BSD-3-Clause",
    "django-cms": "BSD-3-Clause",
    "wagtail": "BSD-3-Clause",
    "jupyterlab-language-pack": "BSD-3-Clause",
    "sphinx": "BSD-2-Clause",
    "django-allauth": "MIT",
    "kolibri": "MIT",
    "@docusaurus/theme-translations": "MIT",
    "@openstreetmap/id": "ISC",
}
KINDS = {  # texts of other programs: read to measure, never to train
    "help pages": ("mate-user-guide", "debian-faq"),
    "manuals": ("debian-reference", "installation-guide", "util-linux"),
    "games": ("wesnoth", "freeciv"),
}
PAIRS_OF_A_KIND = 300  # for each language, at most
PIECES = 20000
VOCABULARY_BALANCE = 0.5
SPECIALS = ("[CLS]", "[PAD]", "[SEP]", "[UNK]")
CUT = "\x02"  # where the tokenizer will cut, so no piece should go across


def rows_of(corpus: Path) -> Iterator[tuple[str, str, str, str]]:
    """Source, language, English and translation of all rows in the languages of the model."""
    with (
        gzip.open(corpus / "parallel.tsv.gz", "rt", encoding="utf-8") as rows,
        gzip.open(corpus / "parallel.source.txt.gz", "rt", encoding="utf-8") as sources,
    ):
        for row, source in zip(rows, sources, strict=True):
            language, english, translation = row.rstrip("\n").split("\t")
            if language in LANGUAGES:
                yield source.strip(), language, english, translation


def more_rows(path: Path) -> Iterator[tuple[str, str, str, str]]:
    """Source, language, English and translation of all rows of a file of `more_texts.py`.

    Raises
    ------
    ValueError
        If a row has not these four columns, another language, or a source without a licence.
    """
    with gzip.open(path, "rt", encoding="utf-8", newline="\n") as rows:
        for number, row in enumerate(rows, 1):
            cells = row.rstrip("\n").split("\t")
            if len(cells) != 4 or cells[1] not in LANGUAGES or not all(cells):
                raise ValueError(
                    f"{path}, line {number}: {row[:80]!r} is not source, language, English and "
                    "translation in a language of LANGUAGES; make the file with more_texts.py"
                )
            if not cells[0].startswith(tuple(LICENCES)):
                raise ValueError(
                    f"{path}, line {number}: the licence of {cells[0]!r} is not in LICENCES; add "
                    "it, if it is known to permit this use"
                )
            yield cells[0], cells[1], cells[2], cells[3]


def write_corpus(corpus: Path, work: Path, more: Path | None = None) -> dict[str, int]:
    """Write the texts of a run into `work`; returns rows by source.

    parallel.tsv and mono.tsv have both sides of the same rows; `more` has further ones, of which
    those are dropped whose English text has a translation. dev.tsv and the files of KINDS are read
    to measure.
    """
    counts = dict.fromkeys(LICENCES, 0)
    sentences: dict[tuple[str, str], None] = {}
    translated = set()
    others: dict[str, list[tuple[str, str, str]]] = {kind: [] for kind in KINDS}
    with (work / "parallel.tsv").open("w", encoding="utf-8", newline="\n") as parallel:
        for row in itertools.chain(rows_of(corpus), more_rows(more) if more else ()):
            source, language, english, translation = row
            for kind, sources in KINDS.items():
                if source.startswith(sources):
                    others[kind].append((language, english, translation))
            if source.startswith(tuple(LICENCES)) and (language, english) not in translated:
                translated.add((language, english))
                counts[next(name for name in LICENCES if source.startswith(name))] += 1
                parallel.write(f"{language}\t{english}\t{translation}\n")
                sentences |= {("en", english): None, (language, translation): None}
    with (work / "mono.tsv").open("w", encoding="utf-8", newline="\n") as mono:
        mono.writelines(f"{language}\t{text}\n" for language, text in sentences)
    with gzip.open(corpus / "dev.tsv.gz", "rt", encoding="utf-8") as rows:
        kept = [tuple(row.rstrip("\n").split("\t")) for row in rows]
    _write_rows(work / "dev.tsv", [row for row in kept if row[0] in LANGUAGES])
    for kind, rows in others.items():
        _write_rows(work / f"{kind}.tsv", _sample(rows, sentences))
    return counts


def _sample(
    rows: list[tuple[str, str, str]], trained: dict[tuple[str, str], None]
) -> list[tuple[str, str, str]]:
    """Pairs of 6 to 35 English words that are not trained on, at most so many for each language."""
    chosen = []
    for language in LANGUAGES:
        fit = [
            row
            for row in rows
            if row[0] == language
            and 6 <= len(row[1].split()) <= 35
            and ("en", row[1]) not in trained
            and (language, row[2]) not in trained
        ]
        step = max(1, len(fit) // PAIRS_OF_A_KIND)
        chosen += fit[::step][:PAIRS_OF_A_KIND]
    return chosen


def _write_rows(path: Path, rows: list[tuple[str, ...]]) -> None:
    text = "".join("\t".join(row) + "\n" for row in rows)
    path.write_text(text, encoding="utf-8", newline="\n")


def read_rows(path: Path) -> list[tuple[str, str, str]]:
    """Language, English and translation of the rows of a file."""
    return [tuple(line.split("\t")) for line in path.read_text("utf-8").splitlines()]


def vocabulary_texts(work: Path) -> Iterator[str]:
    """Sentences, cut where the tokenizer cuts: at ideographs, punctuation and digits.

    Those of small languages are repeated: a language with n characters has a part of all characters
    in proportion to n ** VOCABULARY_BALANCE. Else its words would have few pieces of their own.
    """
    lines = (work / "mono.tsv").read_text(encoding="utf-8").splitlines()
    rows = [line.split("\t") for line in lines]
    characters: dict[str, int] = {}
    for language, text in rows:
        characters[language] = characters.get(language, 0) + len(text)
    most, rng = max(characters.values()), random.Random(0)
    for language, text in rows:
        times = (most / characters[language]) ** (1 - VOCABULARY_BALANCE)
        words = text.split()
        cut = " ".join(CUT.join(word[a:b] for a, b in cut_piece(word)) for word in words)
        for _ in range(int(times + rng.random())):  # its mean is `times`
            yield cut


def train_vocabulary(work: Path) -> None:
    """Write the tokenizer's files: SentencePiece (unigram), special tokens, placeholders."""
    out, model = work / "tokenizer", io.BytesIO()
    out.mkdir(exist_ok=True)
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=vocabulary_texts(work),
        model_writer=model,
        model_type="unigram",
        vocab_size=PIECES,
        character_coverage=0.9996,
        pretokenization_delimiter=CUT,
        num_threads=1,
        minloglevel=1,
    )
    (out / "sentencepiece.bpe.model").write_bytes(model.getvalue())
    pieces = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
    ordinary = [pieces.id_to_piece(i) for i in range(3, pieces.get_piece_size())]  # 0-2: <unk> ...
    masks = [f"[MASK:{language}]" for language in ("en", *LANGUAGES)]
    lines = "\n".join([*SPECIALS, *ordinary, *masks, "[MASK]"]) + "\n"
    (out / "vocab.txt").write_text(lines, encoding="utf-8", newline="\n")
    names = {f"{t.strip('[]').lower()}_token": t for t in (*SPECIALS, "[MASK]")}
    inputs = {"model_input_names": ["input_ids", "attention_mask"]}
    settings = {"tokenizer_class": "ErnieMTokenizer", **inputs, "model_max_length": 512}
    write_json(out / "special_tokens_map.json", names)
    write_json(out / "tokenizer_config.json", {**settings, "do_lower_case": False, **names})


def write_json(path: Path, values: dict) -> None:
    """Write a JSON file as the other files of a checkpoint are written."""
    path.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8", newline="\n")


def hash_of_added_rows(work: Path) -> str | None:
    """The SHA-256 of the file of further rows that the folder was made with; None without one."""
    inputs = work / "inputs.json"
    return json.loads(inputs.read_text("utf-8"))["more"] if inputs.is_file() else None


def prepare(corpus: Path, work: Path, more: Path | None = None) -> ErnieMTokenizer:
    """The tokenizer of a run; texts and vocabulary are written if they are not there.

    Raises
    ------
    ValueError
        If the folder was made with other further rows than `more`.
    """
    found = hashlib.sha256(more.read_bytes()).hexdigest() if more else None
    if not (work / "tokenizer" / "tokenizer_config.json").is_file():
        write_json(work / "rows.json", write_corpus(corpus, work, more))
        write_json(work / "inputs.json", {"more": found})
        train_vocabulary(work)
    made = hash_of_added_rows(work)
    if made != found:
        names = [f"--more with SHA-256 {name}" if name else "no --more" for name in (made, found)]
        raise ValueError(
            f"{work} was made with {names[0]}, but the command has {names[1]}; go on with the "
            "same file or take another folder"
        )
    return ErnieMTokenizer.from_pretrained(work / "tokenizer")
