"""Pre-training from files to folders, and the schedule of its objectives."""

import json
import sys
from collections import Counter

import numpy as np
import pytest

from numpy_erniem import ErnieMConfig, ErnieMForMaskedLM, ErnieMTokenizer
from numpy_erniem.checkpoint.hub import bundled_checkpoint
from numpy_erniem.checkpoint.safetensors_file import read_safetensors
from numpy_erniem.cli import pretrain
from numpy_erniem.cli.main import main
from numpy_erniem.models.padding import batch_mask
from numpy_erniem.training import TrainingConfig, value_and_grad
from numpy_erniem.training.encoder import encode
from numpy_erniem.training.pretraining import (
    Corpus,
    Phase,
    Pretraining,
    SpecialTokens,
    build_batch,
    objectives,
    read_corpora,
    special_tokens,
)
from numpy_erniem.training.pretraining.pretraining import predict_masked
from tests.convert.fast_files import (
    LAYOUTS,
    convert_tokenizer,
    fast_tokenizer,
    pieces_of,
    write,
)
from tests.models.conftest import SMALL, redrawn
from tests.training.conftest import compare_gradients, dense

PAIRS = [("de", "Open the file", "Datei öffnen"), ("ru", "Save all", "Сохранить все")] * 20
SPECIAL = SpecialTokens(0, 1, 2, 98, (4, 96), {"en": 96, "de": 97})
CORPUS = Corpus([((11, 12, 13), (21, 22)), ((31, 32), (41, 42))] * 6, [("en", "de")] * 12)
MONO = Corpus([((11, 12, 13), None), ((41, 42), None)] * 6, [("en", "en"), ("de", "de")] * 6)


@pytest.fixture
def folder(tmp_path):
    """A config, and files of pairs and of sentences."""
    with_tokenizer = bundled_checkpoint()
    size = ErnieMConfig.from_pretrained(with_tokenizer).vocab_size
    ErnieMConfig(
        vocab_size=size,
        hidden_size=24,
        num_hidden_layers=2,
        num_attention_heads=3,
        intermediate_size=32,
        initializer_range=0.05,
    ).save_pretrained(tmp_path)
    (tmp_path / "pairs.tsv").write_text("".join("\t".join(p) + "\n" for p in PAIRS), "utf-8")
    mono = "".join(f"{p[0]}\t{p[2]}\n" for p in PAIRS)
    (tmp_path / "mono.tsv").write_text(mono, "utf-8")
    return tmp_path


def options(folder, *more, out="out"):
    given = {
        "--parallel": folder / "pairs.tsv",
        "--mono": folder / "mono.tsv",
        "--config": folder / "config.json",
        "--tokenizer": bundled_checkpoint(),
        "--out": folder / out,
    }
    flat = [str(part) for pair in given.items() for part in pair]
    return ["pretrain", *flat, "--batch-size", "4", "--threads", "1", *more]


def test_all_objectives_on_the_command_line(folder, capsys):
    phases = ["--phase", "40:camlm,tlm", "--phase", "40:camlm,tlm,mmlm,btmlm"]
    assert main([*options(folder), *phases, "--learning-rate", "0.01"]) == 0
    report = json.loads((folder / "out" / "report.json").read_text())
    losses = [loss for _, loss in report["history"]]
    assert len(losses) == 80
    assert np.mean(losses[-10:]) < 0.6 * np.mean(losses[:10])
    ErnieMForMaskedLM.from_pretrained(folder / "out")
    ErnieMTokenizer.from_pretrained(folder / "out")


def test_it_goes_on_from_a_checkpoint(folder, capsys):
    assert main([*options(folder), "--phase", "3:tlm"]) == 0
    trained = folder / "out"
    again = [*options(folder, out="more"), "--phase", "1:tlm", "--learning-rate", "1e-9"]
    at = again.index("--config")
    again[at : at + 2] = ["--model", str(trained)]
    assert main(again) == 0
    name = "ernie_m.encoder.layers.0.linear1.weight"
    first, second = (
        read_safetensors(path / "model.safetensors")[name].numpy()
        for path in (trained, folder / "more")
    )
    np.testing.assert_allclose(first, second, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--phase", "many:tlm"], "'many:tlm' is not STEPS:OBJECTIVE"),
        (["--phase", "5:tlm,mlm"], "is not STEPS:OBJECTIVE"),
        (["--mask-probability", "1.5"], "mask_probability 1.5"),
        (["--max-length", "400"], "two sentences with 4 special tokens are 804"),
        (["--max-length", "1"], "no example of 1 to 1 tokens"),
    ],
)
def test_bad_options_are_one_line(folder, more, message, capsys):
    assert main(options(folder, *more)) == 2
    assert message in capsys.readouterr().err


def test_an_objective_without_its_file(folder, capsys):
    without = options(folder, "--phase", "5:camlm,btmlm")
    at = without.index("--mono")
    assert main(without[:at] + without[at + 2 :]) == 2
    assert "btmlm needs sentences: give --mono" in capsys.readouterr().err


def test_what_is_too_long_is_left_out_and_told(folder):
    tokenizer = ErnieMTokenizer.from_pretrained(bundled_checkpoint())
    lines = (folder / "mono.tsv").read_text("utf-8") + "de\t" + "Datei " * 30 + "\n"
    (folder / "mono.tsv").write_text(lines, "utf-8")
    with pytest.warns(UserWarning, match="1 of 41 examples"):
        _, mono = read_corpora(None, folder / "mono.tsv", tokenizer, 20)
    assert len(mono.sentences) == 40
    assert mono.languages[0] == ("de", "de")


def task(*phases, **changed):
    phases = tuple(Phase.parse(text) for text in phases)
    steps = sum(phase.steps for phase in phases)
    config = TrainingConfig(steps=steps, batch_size=4, seed=5, threads=1)
    return Pretraining(CORPUS, MONO, SPECIAL, phases, config, **changed)


def test_phases_follow_each_other():
    mine = task("100:camlm,tlm", "200:mmlm")
    names = [mine.objective(n, np.random.default_rng([5, n])) for n in range(300)]
    assert set(names[:100]) == {"camlm", "tlm"}
    assert set(names[100:]) == {"mmlm"}


def test_an_objective_named_twice_comes_twice_as_often():
    mine = task("3000:camlm,camlm,tlm")
    drawn = Counter(mine.objective(n, np.random.default_rng([5, n])) for n in range(3000))
    assert drawn["camlm"] / 3000 == pytest.approx(2 / 3, abs=0.03)


def model():
    return redrawn(ErnieMForMaskedLM(ErnieMConfig(**SMALL), seed=3))


@pytest.mark.parametrize("name", objectives.OBJECTIVES)
def test_a_step_is_decided_by_seed_and_number(name):
    generators = (np.random.default_rng([5, 4]) for _ in range(2))
    one, other = (task(f"9:{name}").masked_batch(model(), 4, rng) for rng in generators)
    np.testing.assert_array_equal(one.ids, other.ids)
    np.testing.assert_array_equal(one.labels, other.labels)


@pytest.mark.parametrize(("layout", "first"), [("xlm-roberta", 4), ("camembert", 7)])
def test_no_special_token_of_a_converted_tokenizer_is_a_word(layout, first, tmp_path):
    write(tmp_path, fast_tokenizer(*pieces_of(most=600), LAYOUTS[layout]))
    tokenizer, _ = convert_tokenizer(tmp_path, tmp_path / "out", model_type=layout)
    special = special_tokens(tokenizer)
    assert special.words == (first, tokenizer.mask_token_id)
    ids = tokenizer.encode("Ouvrez le fichier", add_special_tokens=False)
    batch = build_batch([(ids, None)], [("fr", "fr")], special)
    assert batch.word[0].tolist() == [False, *[True] * len(ids), False]


def test_pseudo_tokens_are_what_the_model_says():
    mine = model()
    _, given = objectives.add_placeholders(
        [(11, 12, 13), (31,)], ["en"] * 2, ["de"] * 2, [2, 3], SPECIAL
    )
    scores = mine(given.ids, given.attention_mask).logits
    words = predict_masked(mine, given, SPECIAL.words)
    want = 4 + scores[..., 4:96].argmax(axis=-1)
    np.testing.assert_array_equal(words, np.where(given.masked, want, given.ids))


def test_btmlm_teaches_words_of_the_sentence_beside_pseudo_tokens():
    given = task("9:btmlm", mask_probability=0.9).masked_batch(model(), 0, np.random.default_rng(1))
    learned = given.labels[given.labels != -100]
    assert set(learned) <= {11, 12, 13, 41, 42}
    assert given.ids.shape[1] == 3 + 3 + 4
    second = given.ids[:, 6:]
    assert not np.isin(second, [96, 97, 98]).any()


@pytest.mark.parametrize(
    ("steps", "objectives", "message"),
    [
        (0, ("tlm",), "steps is 0, not a whole number"),
        (2.5, ("tlm",), "steps is 2.5, not a whole number"),
        (2, (), r"objectives is \(\), not a tuple"),
        (2, "tlm", "objectives is 'tlm', not a tuple"),
        (2, ("mlm",), "'mlm' is no objective; did you mean 'mmlm'"),
    ],
)
def test_a_phase_that_is_none_is_refused(steps, objectives, message):
    with pytest.raises(ValueError, match=message):
        Phase(steps, objectives)


def test_the_special_tokens_of_a_tokenizer():
    tokenizer = ErnieMTokenizer.from_pretrained(bundled_checkpoint())
    special = special_tokens(tokenizer)
    assert (special.cls, special.pad, special.sep) == (0, 1, 2)
    assert special.mask == tokenizer.mask_token_id
    assert special.words[0] == 4
    last = tokenizer.convert_ids_to_tokens(special.words[1])
    assert last.startswith("[MASK")


def test_pseudo_tokens_are_predicted_without_the_training_path(monkeypatch):
    def never(*arguments, **options):
        raise AssertionError("the training path ran")

    monkeypatch.setattr(sys.modules["numpy_erniem.training.value_and_grad"], "encode", never)
    _, given = objectives.add_placeholders([(11, 12)], ["en"], ["de"], [2], SPECIAL)
    assert predict_masked(model(), given, SPECIAL.words).shape == (1, 8)


def test_the_layout_is_the_tokenizer_s():
    tokenizer = ErnieMTokenizer.from_pretrained(bundled_checkpoint())
    special = special_tokens(tokenizer)
    for x, y in (([11, 12, 13], None), ([11, 12], [21, 22, 23])):
        batch = build_batch([(x, y)], [("en", "de")], special)
        assert batch.ids[0].tolist() == tokenizer.build_inputs_with_special_tokens(x, y)


def test_the_phases_have_the_steps_of_the_config():
    with pytest.raises(ValueError, match="the phases have 9 steps, the config 8"):
        Pretraining(CORPUS, MONO, SPECIAL, (Phase(9, ("tlm",)),), TrainingConfig(steps=8))


@pytest.mark.parametrize(
    "option", [["--mask-probability", "0.6"], ["--max-length", "2"], ["--phase", "2:camlm"]]
)
def test_an_option_changes_the_run_and_its_record(folder, option, capsys):
    rows = [("de", "a", "b"), *PAIRS]
    (folder / "pairs.tsv").write_text("".join("\t".join(p) + "\n" for p in rows), "utf-8")
    runs = []
    for out, more in (("a", []), ("b", option)):
        phases = [] if "--phase" in more else ["--phase", "2:tlm"]
        assert main([*options(folder, *phases, out=out), *more]) == 0
        runs.append(
            [json.loads((folder / out / f"{name}.json").read_text()) for name in ("run", "report")]
        )
    assert runs[0][0] != runs[1][0]
    assert runs[0][1]["history"] != runs[1][1]["history"]


def test_a_run_is_not_resumed_with_another_tokenizer(folder, capsys):
    command = [*options(folder), "--phase", "1:tlm"]
    assert main(command) == 0
    other = ErnieMTokenizer.from_pretrained(bundled_checkpoint())
    other.save_pretrained(folder / "other")
    lines = (folder / "other" / "vocab.txt").read_text("utf-8").splitlines()
    lines[5:7] = reversed(lines[5:7])
    (folder / "other" / "vocab.txt").write_text("\n".join(lines) + "\n", "utf-8")
    command[command.index("--tokenizer") + 1] = str(folder / "other")
    assert main(command) == 2
    assert "holds a run with other options: vocabulary" in capsys.readouterr().err


@pytest.mark.parametrize("given", [[], ["--config", "c", "--model", "m"]])
def test_a_config_or_a_checkpoint_has_to_be_given(given, folder, capsys):
    with pytest.raises(SystemExit):
        main(["pretrain", "--mono", str(folder / "mono.tsv"), "--out", str(folder), *given])


def test_the_options_of_the_hub_reach_it(folder, monkeypatch, capsys):
    def refuse_and_tell(model, **options):
        raise ValueError(f"asked for {model} with {options}")

    monkeypatch.setattr(pretrain, "resolve_folder", refuse_and_tell)
    command = options(folder)
    at = command.index("--config")
    command[at : at + 2] = ["--model", "someone/model", "--revision", "v2", "--cache-dir", "kept"]
    assert main([*command, "--local-files-only"]) == 2
    told = capsys.readouterr().err
    assert "asked for someone/model with {'revision': 'v2', 'cache_dir': 'kept', " in told
    assert "'local_files_only': True" in told


@pytest.mark.parametrize("convention", ["padding", "paddle"])
@pytest.mark.parametrize("name", objectives.OBJECTIVES)
def test_a_packed_batch_has_the_gradients_of_the_padded_one(name, convention, backend):
    config = ErnieMConfig(**SMALL, attention_mask_convention=convention)
    mine = redrawn(ErnieMForMaskedLM(config, seed=3))
    mixed, lengths, step = task(f"9:{name}", mask_probability=0.4), [], 0
    while len(set(lengths)) < 2:  # not all batches have rows of different lengths
        given = mixed.masked_batch(mine, step, np.random.default_rng(2))
        lengths, step = (given.ids != SPECIAL.pad).sum(axis=1), step + 1
    arguments = given.arguments(config)
    assert np.diff(arguments["starts"]).tolist() == lengths.tolist()
    assert not (arguments["input_ids"] == SPECIAL.pad).any()
    N, axes = lengths.sum(), 3 if name == "camlm" else 2
    assert arguments["input_ids"].shape == (1, N)
    assert arguments["attention_mask"].shape == (1, N, lengths.max())[:axes]
    mask = batch_mask(config, given.ids, given.attention_mask)
    padded = {"input_ids": given.ids, "attention_mask": mask, "labels": given.labels}
    loss, gradients = value_and_grad(mine, arguments)
    want, wanted = value_and_grad(mine, padded)
    assert loss == pytest.approx(want, rel=1e-6)
    compare_gradients(gradients, dense(wanted))


@pytest.mark.parametrize("name", objectives.OBJECTIVES)
def test_no_padding_is_computed(name, monkeypatch):
    texts = []

    def spy(inputs, *arguments, **options):
        texts.append(inputs)
        return encode(inputs, *arguments, **options)

    monkeypatch.setattr(sys.modules["numpy_erniem.training.value_and_grad"], "encode", spy)
    mine, rng = model(), np.random.default_rng(1)
    loss, _ = task(f"9:{name}").loss_and_grad(mine, 3, rng)
    (inputs,) = texts
    assert len(inputs.starts) == 5
    assert (inputs.input_ids != SPECIAL.pad).all()
    assert np.isfinite(loss)
