"""Every value of a training file replaced by another kind of value: an error, or an example."""

import copy
import json
import warnings

import pytest

from numpy_erniem.cli.finetune import TASKS
from tests.training.tasks import TASKS as EXAMPLES

OTHERS = (
    None,
    True,
    -1,
    10**30,
    0.5,
    float("nan"),
    "",
    " ",
    "x",
    "\ud800",
    [],
    [None],
    {},
    {"x": 1},
)
SQUAD = {
    "data": [
        {
            "paragraphs": [
                {
                    "context": "Ada came.",
                    "qas": [{"question": "Who?", "answers": [{"text": "Ada", "answer_start": 0}]}],
                }
            ]
        }
    ]
}
RESULT = {
    "text": "Ada came.",
    "result": {
        "Person": [
            {"text": "Ada", "start": 0, "end": 3, "relations": {"Mood [a, b]": [{"text": "a"}]}}
        ]
    },
}
DOCUMENTS = [
    *(
        (task.name, "a.jsonl", json.loads(task.lines[0]))
        for task in EXAMPLES
        if task.suffix != "tsv"
    ),
    ("answer", "a.json", SQUAD),
    (
        "answer",
        "a.jsonl",
        {"question": "Who?", "context": "Ada", "answers": {"text": ["Ada"], "answer_start": [0]}},
    ),
    ("extract", "a.jsonl", RESULT),
    ("classify", "a.jsonl", {"text": "a", "text_pair": "b", "label": "c"}),
    ("rerank", "a.jsonl", {"query": "a", "text": "b", "score": 1}),
    ("rerank", "a.jsonl", {"query": "a", "positives": ["b"], "negatives": ["c"]}),
    ("retrieve", "a.jsonl", {"language": "de", "source": "b", "target": "c"}),
]


def places(value, path=()):
    """The path of every value in a document."""
    yield path
    children = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    for key, child in children:
        yield from places(child, (*path, key))


def changed(document, path, other):
    if not path:
        return other
    document = copy.deepcopy(document)
    place = document
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = other
    return document


@pytest.mark.parametrize(("task", "name", "document"), DOCUMENTS)
def test_a_wrong_value_is_a_value_error_that_names_the_file(task, name, document, tmp_path):
    path = tmp_path / name
    for place in places(document):
        for other in OTHERS:
            path.write_text(json.dumps(changed(document, place, other)) + "\n")
            told = name
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                try:
                    TASKS[task].read(str(path))
                except ValueError as error:
                    told = str(error)
            assert name in told, (place, other)
