"""What pipelines and commands do without a model: the bundled checkpoint has three heads."""

import json
import warnings

import numpy as np
import pytest

import numpy_erniem as erniem
from numpy_erniem import (
    ErnieMConfig,
    ErnieMForMaskedLM,
    ErnieMForMultipleChoice,
    ErnieMForQuestionAnswering,
    ErnieMForSequenceClassification,
    ErnieMForTokenClassification,
    ErnieMModel,
    MaskFiller,
    TextClassifier,
    bundled_checkpoint,
)
from numpy_erniem.checkpoint.folder import read_folder, write_folder
from numpy_erniem.cli.main import main

SENTENCES = {
    "en": "Click the button to open the file in a new window.",
    "de": "Klicken Sie auf die Schaltfläche, um die Datei zu öffnen.",
    "fr": "Cliquez sur le bouton pour ouvrir le fichier dans une fenêtre.",
    "es": "Pulse el botón para abrir el archivo en una ventana nueva.",
    "it": "Fare clic sul pulsante per aprire il file in una nuova finestra.",
    "pl": "Kliknij przycisk, aby otworzyć plik w nowym oknie.",
    "tr": "Dosyayı yeni bir pencerede açmak için düğmeye tıklayın.",
    "ru": "Нажмите кнопку, чтобы открыть файл в новом окне.",
    "uk": "Натисніть кнопку, щоб відкрити файл у новому вікні.",
    "zh": "单击该按钮以在新窗口中打开文件。",
    "ja": "ボタンをクリックすると、ファイルが新しいウィンドウで開きます。",
    "ko": "새 창에서 파일을 열려면 단추를 누르십시오.",
}
OTHERS = {  # command → its arguments, a published checkpoint with the head
    "tag": (["Open it"], "FacebookAI/xlm-roberta-large-finetuned-conll03-english"),
    "answer": (["--question", "Where?", "Here."], "deepset/xlm-roberta-large-squad2"),
    "extract": (["Steve is here.", "--schema", "Person"], "PaddlePaddle/uie-m-base"),
    "choose": (["Open the", "file", "weather"], "erniem finetune choose"),
    "rerank": (["--query", "open", "Open it"], "BAAI/bge-reranker-v2-m3"),
    "zero-shot": (["Open it", "--labels", "a", "b"], "MoritzLaurer/ernie-m-base-mnli-xnli"),
}


@pytest.fixture
def run(capsys):
    """Run a command line; the exit code, the output, and what is told beside it."""

    def call(*arguments):
        code = main(list(arguments))
        return (code, *capsys.readouterr())

    return call


def test_a_classifier_without_a_model_names_the_language():
    found = TextClassifier.from_pretrained()(list(SENTENCES.values()))
    assert [row["label"] for row in found] == list(SENTENCES)


def test_classify_without_a_model_gives_languages_with_scores(run):
    code, out, err = run("classify", *SENTENCES.values(), "--top-k", "2")
    rows = [json.loads(line) for line in out.splitlines()]
    assert (code, err) == (0, "")
    assert [row["labels"][0] for row in rows] == list(SENTENCES)
    assert all(1 >= row["scores"][0] > row["scores"][1] > 0 for row in rows)


def test_a_filler_without_a_model_fills_with_words_that_fit():
    filler = MaskFiller.from_pretrained(top_k=5)
    for text, word in (
        ("Save the [MASK].", "file"),
        ("Open [MASK] file.", "a"),
    ):
        assert word in [filling["token"] for filling in filler(text)]


def test_fill_without_a_model_gives_fillings(run):
    code, out, err = run("fill", "Save the [MASK].", "--top-k", "3")
    fillings = json.loads(out)["fillings"]
    assert (code, err, len(fillings)) == (0, "", 3)
    assert fillings[0]["score"] > fillings[2]["score"] > 0


@pytest.mark.parametrize("command", OTHERS)
def test_other_commands_name_a_checkpoint_with_their_head(run, command):
    arguments, published = OTHERS[command]
    code, out, err = run(command, *arguments)
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert published in err


@pytest.mark.parametrize("kind", [ErnieMModel, ErnieMForMaskedLM, ErnieMForSequenceClassification])
def test_each_class_of_the_bundled_checkpoint_loads_without_a_warning(kind):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _, info = kind.from_pretrained(bundled_checkpoint(), output_loading_info=True)
    assert not any(info.values())


@pytest.mark.parametrize("kind", [ErnieMForTokenClassification, ErnieMForMultipleChoice])
def test_a_class_that_the_config_does_not_name_gets_a_new_head(kind):
    with pytest.warns(UserWarning, match="drawn at random.*classifier"):
        model = kind.from_pretrained(bundled_checkpoint())
    assert model.config.num_labels == 2
    trained = read_folder(bundled_checkpoint())["classifier.weight"].numpy()
    assert not np.isin(model.weights["classifier"]["weight"], trained).any()


def test_a_class_that_the_config_does_not_name_takes_no_labels_from_it():
    with pytest.warns(UserWarning, match="drawn at random"):
        model = ErnieMForQuestionAnswering.from_pretrained(bundled_checkpoint())
    assert model.config.problem_type is None
    assert ErnieMConfig.from_pretrained(bundled_checkpoint()).num_labels == 28


def test_tensors_of_no_named_class_are_still_told(tmp_path):
    tensors = {name: tensor.numpy() for name, tensor in read_folder(bundled_checkpoint()).items()}
    write_folder(tmp_path, tensors | {"qa_outputs.bias": np.zeros(2, np.float32)})
    ErnieMConfig.from_pretrained(bundled_checkpoint()).save_pretrained(tmp_path)
    with pytest.warns(UserWarning, match="not used: qa_outputs.bias$"):
        ErnieMForMaskedLM.from_pretrained(tmp_path)


def test_a_checkpoint_of_one_class_tells_the_head_that_is_not_used(tmp_path):
    model = ErnieMForSequenceClassification.from_pretrained(bundled_checkpoint())
    model.save_pretrained(tmp_path)
    with pytest.warns(UserWarning, match="not used: classifier"):
        ErnieMModel.from_pretrained(tmp_path)


def test_all_heads_survive_a_conversion_to_int8(tmp_path):
    erniem.convert(bundled_checkpoint(), tmp_path / "int8", dtype="int8")
    texts = list(SENTENCES.values())
    found = TextClassifier.from_pretrained(tmp_path / "int8")(texts)
    assert [row["label"] for row in found] == list(SENTENCES)
    a, b = (MaskFiller.from_pretrained(m)("Open the [MASK].") for m in (None, tmp_path / "int8"))
    assert a[0]["token"] == b[0]["token"]


def test_info_names_all_heads(run):
    out = run("info")[1]
    assert "ErnieMForMaskedLM, 5 tensors; ErnieMForSequenceClassification, 2 tensors" in out
    heads = json.loads(run("info", "--json")[1])["heads"]
    assert [head["class"] for head in heads] == [
        "ErnieMForMaskedLM",
        "ErnieMForSequenceClassification",
    ]
    assert heads[1]["labels"] == sorted(heads[1]["labels"])


def test_load_takes_the_first_class_that_the_config_names():
    assert type(erniem.load(bundled_checkpoint())) is ErnieMModel


@pytest.mark.parametrize("command", ["embed", "classify", "fill", *OTHERS])
def test_the_help_says_which_model_is_used_or_needed(capsys, command):
    with pytest.raises(SystemExit):
        main([command, "--help"])
    told = "".join(capsys.readouterr().out.split())  # lines are broken anywhere
    if command in OTHERS:
        assert OTHERS[command][1].replace(" ", "") in told
    else:
        assert "(thebundledone)" in told
