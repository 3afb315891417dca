"""Further texts of the bundled checkpoint: their rules, how they are read, that they arrive."""

import gzip
import hashlib
import io
import json
import struct
import subprocess
import tarfile
import zipfile

import pytest

from numpy_erniem import ErnieMTokenizer, bundled_checkpoint
from tests.conftest import REPOSITORY

LONG = "The first sentence is here. " * 12
HELD_OUT = "Click the button to open the selected file in a new window."


@pytest.fixture
def tools(monkeypatch):
    if not (REPOSITORY / "tools").is_dir():
        pytest.skip("not in a checkout")
    monkeypatch.syspath_prepend(str(REPOSITORY / "tools"))


@pytest.fixture
def rules(tools):
    import text_rules

    return text_rules


@pytest.fixture
def packages(tools):
    import text_packages

    return text_packages


@pytest.fixture
def corpus_module(tools):
    import tiny_corpus

    return tiny_corpus


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("<b>Open</b>  the &amp;file", "Open the file"),
        ("_Save [the page](x.html) **now**", "Save the page now"),
        ("the *first* one, 2 * 3 * 4", "the first one, 2 * 3 * 4"),
        ("snake_case & more", "snake_case & more"),
        ("\u202bשלום\u202c\n  עולם", "שלום עולם"),
        ("می\u200cخواهم", "می\u200cخواهم"),
        ("O\u0308ffnen", "Öffnen"),
        ("<0>Go</0> to {page}", "Go to {page}"),
    ],
)
def test_texts_are_cleaned(rules, text, want):
    assert rules.clean(text) == want


def test_lines_are_parts_where_both_sides_have_as_many(rules):
    assert list(rules.parts("One.\nTwo.", "Eins.\n\nZwei.")) == [
        ("One.", "Eins."),
        ("Two.", "Zwei."),
    ]
    assert list(rules.parts("One\nTwo", "Eins zwei")) == [("One Two", "Eins zwei")]


def test_long_texts_are_split_at_the_same_number_of_sentences(rules):
    pairs = list(rules.parts(LONG, "第一句话在这里。" * 12))
    assert pairs == [("The first sentence is here.", "第一句话在这里。")] * 12
    assert len(list(rules.parts(LONG, "第一句话在这里。" * 11))) == 1


def test_short_texts_of_two_sentences_are_split_in_half_of_all_cases(rules):
    split = [len(list(rules.parts(f"Open {n}. Close.", f"Auf {n}. Zu."))) for n in range(60)]
    assert set(split) == {1, 2}
    assert 15 < split.count(2) < 45


@pytest.mark.parametrize(
    ("language", "english", "translation", "want"),
    [
        ("de", "Open the file", "Datei öffnen", ""),
        ("zh", "Open", "打开", ""),
        ("fa", "Open 2 files", "باز کردن ۲ فایل", ""),
        ("he", "Go to the main page of HACS", "מעבר אל העמוד הראשי של HACS", ""),
        ("de", "Go", "Geh", "length"),
        ("de", "Open it", "Öffnen " * 61, "length"),
        ("de", "Go to {page}", "Gehe zur Seite", "placeholders"),
        ("de", "Go to %(page)s", "Gehe zu %(side)s", "placeholders"),
        ("de", "Go to %1 and %s", "Gehe zu %1 und %s", ""),
        (
            "de",
            "{a} or {b} or {c} or {d} and more",
            "{a}, {b}, {c}, {d} und weitere",
            "placeholders",
        ),
        ("de", "{n, plural, one {file} other {files}}", "{n, plural, one {Datei}}", "plurals"),
        ("de", "See www.example.com", "Siehe www.example.com", "plurals"),
        ("de", "Wait 10 seconds", "Warte 20 Sekunden", "numbers"),
        ("de", "{name}: - - - x", "{name}: - - - x", "letters"),
        ("ru", "Open the file", "Datei öffnen", "script"),
        ("ar", "Open the file", "打开文件", "script"),
        ("fi", "Open the file", "Открыть файл", "script"),
        ("de", "Open the file", "Open the file", "untranslated"),
        ("de", "Bluetooth device name", "Bluetooth Device Name!", "untranslated"),
    ],
)
def test_pairs_that_break_a_rule_are_left_out(rules, language, english, translation, want):
    assert rules.fault(language, english, translation).split(" ")[0] == want


def test_an_english_text_has_one_translation_in_a_language(rules):
    first = ("a", "de", "Open it!", "Öffne es")
    rows = [first, ("b", "de", "open it", "Mach es auf"), ("b", "fr", "open it", "Ouvre-le")]
    assert rules.chosen(rows) == [first, rows[2]]


def test_a_translation_of_many_english_texts_is_left_out(rules):
    many = [
        ("a", "de", f"Open {word} now", "Jetzt öffnen") for word in ("it", "this", "that", "all")
    ]
    assert rules.chosen(many) == []
    assert rules.chosen(many[:3]) == many[:3]


def test_a_translation_of_an_unusual_length_is_left_out(rules):
    rows = [("a", "de", f"Open {word} now", f"Öffne {word}") for word in ("it", "this", "that")]
    odd = ("a", "de", "Open all", "Öffne alles, was da ist, und noch viel mehr dazu")
    assert rules.chosen([*rows, odd]) == rows


def test_large_languages_keep_translations_of_the_same_texts(rules, monkeypatch):
    monkeypatch.setattr(rules, "MOST_SHORT", 3)
    monkeypatch.setattr(rules, "MOST_LONGER", 5)
    texts = [f"Open file {n}" for n in range(9)] + [f"Open the file {n} now" for n in range(9)]
    rows = [("a", language, text, text) for language in ("de", "fr", "he") for text in texts]
    kept = rules.limited(rows)
    of = {name: {row[2] for row in kept if row[1] == name} for name in ("de", "fr", "he")}
    assert of["de"] == of["fr"]
    assert sum(len(text.split()) < 4 for text in of["de"]) == 3
    assert len(of["de"]) == 8
    assert len(of["he"]) == 18
    assert kept == sorted(kept)


@pytest.mark.parametrize(
    ("language", "text", "want"),
    [
        ("en", HELD_OUT.upper().rstrip("."), True),
        ("en", "Now click the button to open the selected file in an old window", True),
        ("en", "Click the button to close this window of the program", False),
        ("en", "Do not click.", False),
        ("de", HELD_OUT, False),
        ("zh", "请打开所选的文件并保存到新位置", True),
        ("zh", "请打开所选的目录", False),
    ],
)
def test_texts_with_most_of_a_held_out_sentence_are_found(rules, language, text, want):
    leaks = rules.Leaks([("en", HELD_OUT), ("zh", "打开所选的文件并保存到新位置。")])
    assert leaks.has(language, text) is want


def test_every_package_has_a_licence_and_a_hash(packages, corpus_module):
    kinds = tuple(name for names in corpus_module.KINDS.values() for name in names)
    for package in packages.PACKAGES:
        assert package.name.startswith(tuple(corpus_module.LICENCES))
        assert not package.name.startswith(kinds)
        assert len(bytes.fromhex(package.sha256)) == 32
        assert package.catalogues.count("LANGUAGE") == 1


@pytest.mark.parametrize(
    ("code", "language"),
    [
        *(("de", "de"), ("he_IL", "he"), ("zh-Hans", "zh"), ("zh-CN", "zh"), ("pt-BR", "pt")),
        *(("zh-TW", None), ("zh_Hant", None), ("es-419", None), ("fr-CA", None), ("sw", None)),
    ],
)
def test_codes_of_catalogues(packages, code, language):
    assert packages.language_of(code) == language


def package_of(packages, catalogues, english="en"):
    return packages.Package("pip", "wagtail", "1", "0" * 64, catalogues, english)


def wheel(path, files):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content if isinstance(content, bytes) else json.dumps(content))
    return path


def test_json_catalogues_are_joined_by_their_keys(packages, tmp_path):
    files = {
        "a/en.json": {"en": {"menu": {"open": "Open it now", "close": "Close"}, "title": "Menu"}},
        "a/de.json": {"de": {"menu": {"open": "Jetzt öffnen", "old": "Alt"}}},
        "b/en.json": {"title": "File", "menu": {"open": "Read"}},
        "b/de.json": {"menu": {"open": "Lesen"}},
        "b/zh-TW.json": {"title": "檔案"},
    }
    path = wheel(tmp_path / "a.whl", files)
    rows = list(packages.read_package(package_of(packages, r"\w/LANGUAGE\.json"), path))
    assert rows == [
        ("wagtail", "de", "Open it now", "Jetzt öffnen"),
        ("wagtail", "de", "Read", "Lesen"),
    ]


def test_npm_packages_are_read_and_european_portuguese_comes_first(packages, tmp_path):
    path = tmp_path / "a.tgz"
    texts = {"base": "Screen", "pt-BR": "Tela", "pt-PT": "Ecrã"}
    with tarfile.open(path, "w:gz") as archive:
        for name, text in texts.items():
            data = json.dumps({"key": text}).encode()
            member = tarfile.TarInfo(f"package/{name}.json")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    package = package_of(packages, r"package/LANGUAGE\.json", "base")
    assert [row[3] for row in packages.read_package(package, path)] == ["Ecrã", "Tela"]


def mo_file(pairs):
    sides = [[text.encode() for text in side] for side in zip(*pairs, strict=True)]
    head, tables, data = 28, b"", b""
    start = head + 16 * len(pairs)
    for side in sides:
        for text in side:
            tables += struct.pack("<2I", len(text), start + len(data))
            data += text + b"\0"
    second = head + 8 * len(pairs)
    return struct.pack("<7I", 0x950412DE, 0, len(pairs), head, second, 0, start) + tables + data


def test_gettext_catalogues_are_read_without_headers_contexts_and_plurals(packages, tmp_path):
    pairs = [
        ("", "Language: de"),
        ("%d file\0%d files", "%d Datei\0%d Dateien"),
        ("menu\4Open", "Öffnen"),
        ("Close", "Schließen"),
    ]
    path = wheel(tmp_path / "a.whl", {"a/de_DE/x.mo": mo_file(pairs)})
    rows = list(packages.read_package(package_of(packages, r"a/LANGUAGE/\w+\.mo"), path))
    assert [row[1:] for row in rows] == [("de", "Open", "Öffnen"), ("de", "Close", "Schließen")]


@pytest.mark.parametrize("client", ["pip", "npm"])
def test_another_file_than_the_one_that_was_read_is_refused(
    packages, tmp_path, monkeypatch, client
):
    commands = []

    def run(command, cwd, **options):
        commands.append(command)
        (cwd / "a.whl").write_bytes(b"other")

    monkeypatch.setattr(subprocess, "run", run)
    right = hashlib.sha256(b"other").hexdigest()
    package = packages.Package(client, "wagtail", "1.2", "0" * 64, "")
    with pytest.raises(SystemExit, match=r"a\.whl has SHA-256.*read the licence"):
        packages.download(package, tmp_path)
    assert packages.download(package._replace(sha256=right), tmp_path) == tmp_path / "a.whl"
    assert commands[0][-1] == ("wagtail==1.2" if client == "pip" else "wagtail@1.2")
    assert client in commands[0]


CORPUS = [
    ("libreoffice-ui", "de", "Open the file", "Datei öffnen"),
    ("libreoffice-ui", "he", "Open the file", "פתיחת הקובץ"),
    (
        "wesnoth-1",
        "de",
        "You have to defeat all enemy leaders.",
        "Besiegt alle feindlichen Anführer.",
    ),
]
MORE = [
    ("wagtail", "de", "Close the window", "Fenster schließen"),
    ("wagtail", "de", "Open the file", "Öffne die Datei"),
    ("wagtail", "fr", "Open the file", "Ouvrir le fichier"),
]


def write_rows(path, rows):
    with gzip.open(path, "wt", encoding="utf-8", newline="\n") as file:
        file.writelines("\t".join(row) + "\n" for row in rows)
    return path


@pytest.fixture
def corpus(tmp_path):
    folder = tmp_path / "corpus"
    folder.mkdir()
    write_rows(folder / "parallel.tsv.gz", [row[1:] for row in CORPUS])
    write_rows(folder / "parallel.source.txt.gz", [row[:1] for row in CORPUS])
    write_rows(folder / "dev.tsv.gz", [("de", HELD_OUT, "Klicken Sie hier.")])
    return folder


def test_rows_of_a_package_that_leak_are_left_out(tools, packages, corpus, tmp_path, monkeypatch):
    import more_texts

    english = {
        "a": HELD_OUT,
        "b": "You have to defeat all enemy leaders here.",
        "c": "Click here, please",
        "d": "Close the window",
    }
    german = {
        "a": "Auf den Knopf klicken, um die gewählte Datei zu öffnen.",
        "b": "Alle Anführer der Gegner sind hier zu besiegen.",
        "c": "Klicken Sie hier!",
        "d": "Fenster schließen",
    }
    path = wheel(tmp_path / "a.whl", {"en.json": english, "de.json": german})
    package = package_of(packages, r"LANGUAGE\.json")
    monkeypatch.setattr(more_texts, "PACKAGES", (package,))
    monkeypatch.setattr(more_texts, "download", lambda package, folder: path)
    outs = [tmp_path / "one", tmp_path / "two"]
    for out in outs:
        monkeypatch.setattr("sys.argv", ["more_texts.py", str(corpus), str(out)])
        more_texts.main()
    files = [(out / "more.tsv.gz").read_bytes() for out in outs]
    assert files[0] == files[1]
    assert (
        gzip.decompress(files[0]).decode() == "wagtail\tde\tClose the window\tFenster schließen\n"
    )


def test_further_rows_arrive_once_in_the_texts_of_a_run(corpus_module, corpus, tmp_path):
    counts = corpus_module.write_corpus(corpus, tmp_path, write_rows(tmp_path / "m.gz", MORE))
    assert {name: n for name, n in counts.items() if n} == {"libreoffice-": 2, "wagtail": 2}
    rows = corpus_module.read_rows(tmp_path / "parallel.tsv")
    assert rows == [CORPUS[0][1:], CORPUS[1][1:], MORE[0][1:], MORE[2][1:]]
    assert "fr\tOuvrir le fichier\n" in (tmp_path / "mono.tsv").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (("wagtail", "de", "Open"), "line 1: .* is not source"),
        (("wagtail", "sw", "Open it", "Fungua"), "line 1: .* is not source"),
        (("wagtail", "de", "", "Offen"), "line 1: .* is not source"),
        (("some-program", "de", "Open it", "Öffne es"), "licence of 'some-program'"),
    ],
)
def test_further_rows_that_are_not_understood_are_refused(corpus_module, tmp_path, row, message):
    with pytest.raises(ValueError, match=message):
        list(corpus_module.more_rows(write_rows(tmp_path / "m.gz", [row])))


def test_a_run_goes_on_only_with_the_same_further_rows(
    corpus_module, corpus, tmp_path, monkeypatch
):
    def train_vocabulary(work):
        ErnieMTokenizer.from_pretrained(bundled_checkpoint()).save_pretrained(work / "tokenizer")

    monkeypatch.setattr(corpus_module, "train_vocabulary", train_vocabulary)
    more, other = (write_rows(tmp_path / f"{n}.gz", MORE[: n + 1]) for n in range(2))
    for made in (None, more):
        work = tmp_path / f"made with {made.name if made else 'none'}"
        work.mkdir()
        for _ in range(2):
            corpus_module.prepare(corpus, work, made)
        for asked in {None, more, other} - {made}:
            with pytest.raises(ValueError, match=r"was made with .*, but the command has .*--more"):
                corpus_module.prepare(corpus, work, asked)


def test_a_folder_without_a_record_was_made_without_further_rows(corpus_module, tmp_path):
    assert corpus_module.hash_of_added_rows(tmp_path) is None


def test_the_card_names_the_command_and_the_sources_with_rows(tools, corpus_module, tmp_path):
    import tiny_card

    assert "--more" not in tiny_card.command(tmp_path)
    corpus_module.write_json(tmp_path / "inputs.json", {"more": "0" * 64})
    assert "WORK --more FILE --out" in tiny_card.command(tmp_path)
    assert "more_texts.py CORPUS OUT" in tiny_card.command(tmp_path)
    rows = {"libreoffice-": 2000, "wagtail": 3, "kolibri": 0}
    assert (
        tiny_card.used_rows(rows) == "2,000 of libreoffice (MPL-2.0), 3 of wagtail (BSD-3-Clause)"
    )


def test_the_command_hands_on_the_further_rows(tools, monkeypatch, tmp_path, capsys):
    import train_tiny

    asked = []

    def prepare(*arguments):
        asked.append(arguments)
        raise ValueError("made with another file")

    monkeypatch.setattr(train_tiny, "prepare", prepare)
    work, more = tmp_path / "work", tmp_path / "more.tsv.gz"
    command = ["train_tiny.py", str(tmp_path), str(work), "--more", str(more)]
    monkeypatch.setattr("sys.argv", command)
    with pytest.raises(SystemExit) as stop:
        train_tiny.main()
    assert stop.value.code == 2
    assert "made with another file" in capsys.readouterr().err
    assert asked == [(tmp_path, work, more)]
