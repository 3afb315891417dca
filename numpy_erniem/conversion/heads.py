"""Which head a checkpoint of the XLM-RoBERTa family has, and its tensors under our names.

The class that config.json names decides. Where it names none, or one that is not known, the
tensors decide if they leave no doubt. A head that cannot be kept is an error, unless config.json
names a class without a head.
"""

import re
from collections.abc import Iterable
from typing import Any

import numpy as np

from numpy_erniem.checkpoint.config_files import architecture_of
from numpy_erniem.checkpoint.tensors import Tensor
from numpy_erniem.conversion.report import Report
from numpy_erniem.models.schema import PREFIX, SCHEMAS, TOKEN_TABLE, Schema

OURS = "ErnieMFor"
ENCODERS = ("XLMRobertaModel", "RobertaModel", "CamembertModel", "BertModel")
SCHEMA_OF_TASK = {
    name.removeprefix(OURS): schema for name, schema in SCHEMAS.items() if schema.roberta
}
LM_HEADS = ("lm_head.", "cls.predictions.")
ROWS = 4096  # of a table that are compared at a time
# Parts of the names that leave no doubt about the head; a plain classifier may be one of several.
SIGNS = {
    "SequenceClassification": ("classifier.dense.", "classifier.out_proj."),
    "QuestionAnswering": ("qa_outputs.",),
    "MaskedLM": LM_HEADS,
}


def take_head(
    rest: dict[str, Tensor], ours: dict[str, Tensor], config: dict[str, Any], report: Report
) -> Schema | None:
    """Add the tensors of the head to those of the encoder.

    Parameters
    ----------
    rest : dict of str to Tensor
        The tensors outside of the encoder, by the names of the source.
    ours : dict of str to Tensor
        Those of the encoder, by our names; changed in place.
    config : dict
        The keys of the source's config.json.
    report : Report
        Lines about the head are added.

    Returns
    -------
    Schema or None
        Of our class with this head; None for an encoder alone.

    Raises
    ------
    ValueError
        The head is incomplete, is not known, or is one of two, and config.json does not decide.
    """
    named = architecture_of(config)
    task = _task(named, list(rest))
    if task is None:
        if rest:
            report.drop(rest, f"of a head; config.json names {named}, which has none")
        elif named and named not in ENCODERS:
            report.notes.append(f"config.json names {named}, but the file has no head")
        return None
    schema = SCHEMA_OF_TASK[task]
    is_bert = config["model_type"] == "bert"
    head = dict(rest)
    if task == "MaskedLM":
        _untie(head, ours[TOKEN_TABLE], config)
    table = schema.bert if is_bert else schema.roberta
    missing = [name for name in table if name not in head]
    if missing:
        raise ValueError(
            f"the head of {named or task} lacks {missing[0]}; the file has {_listed(rest)}; "
            + _remedy(is_bert)
        )
    if task == "SequenceClassification" and not is_bert:  # the head's own replaces the encoder's
        for name in [n for n in ours if n.startswith("pooler.")]:
            del ours[name]
            report.drop([name], "the head has a pooler of its own")
    for name, new in table.items():
        ours[new.removeprefix(PREFIX)] = head[name]
        report.renamed[name] = new
    left = [name for name in rest if name not in table and not _is_copy(name)]
    report.drop(left, f"not of the head that was kept, {task}")
    report.drop(filter(_is_copy, rest), "a copy of the word embedding or of the head's bias")
    if named.removeprefix(OURS) != task and not named.endswith(f"For{task}"):
        report.notes.append(f"config.json names {named or 'no class'}; the head is of {task}")
    return schema


def _task(named: str, names: list[str]) -> str | None:
    """The task of the head that is kept; None if there is none. ValueError where it is unclear."""
    if not names or named in ENCODERS:
        return None
    known = "MaskedLM" if named.endswith("ForPreTraining") else named.partition("For")[2]
    if known in SCHEMA_OF_TASK:
        return known
    tasks = [task for task, signs in SIGNS.items() if any(n.startswith(signs) for n in names)]
    if len(tasks) == 1:
        return tasks[0]
    found = f"the heads of {' and '.join(tasks)}" if tasks else f"a head of {_listed(names)}"
    raise ValueError(
        f"the file has {found}, and config.json names {named or 'no class'} in architectures; "
        + _remedy(False)
    )


def _remedy(is_bert: bool) -> str:
    """What to write into config.json."""
    family = "Bert" if is_bert else "XLMRoberta"
    return (
        f"name in architectures {family}For with one of {', '.join(SCHEMA_OF_TASK)}, "
        f"or {family}Model for the encoder alone"
    )


def _listed(names: Iterable[str]) -> str:
    """The first three names, and the number of the others."""
    names = list(names)
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more


def _is_copy(name: str) -> bool:
    return re.fullmatch(r"(?:lm_head|cls\.predictions)\.decoder\.(?:weight|bias)", name) is not None


def _untie(head: dict[str, Tensor], table: Tensor, config: dict[str, Any]) -> None:
    """Check that the last step of a masked-LM head is the word embedding and one bias."""
    if config["model_type"] == "bert" and config.get("hidden_act", "gelu") != "gelu":
        raise ValueError(
            f"the masked-LM head has hidden_act {config['hidden_act']!r}, ours has 'gelu'; "
            "name BertModel in architectures to convert the encoder alone"
        )
    for start in LM_HEADS:
        weight, bias = f"{start}decoder.weight", f"{start}decoder.bias"
        if weight in head and not _equal(head[weight], table):
            raise ValueError(
                f"{weight} differs from {TOKEN_TABLE}: the head is not tied to the word "
                "embedding, as ours is; name a class without a head, such as XLMRobertaModel, in "
                "architectures to convert the encoder alone"
            )
        is_untied = config.get("tie_word_embeddings") is False
        if is_untied and weight not in head and f"{start}bias" in head:
            raise ValueError(
                f"tie_word_embeddings is false in config.json, and the weights lack {weight}; "
                "correct one of them"
            )
        if bias in head and not _equal(head[bias], head.setdefault(f"{start}bias", head[bias])):
            raise ValueError(f"{bias} and {start}bias differ, and they must be one; remove one")


def _equal(a: Tensor, b: Tensor) -> bool:
    """Whether two tensors hold the same numbers, read a few rows at a time."""
    if a.shape != b.shape or not a.shape:
        return False
    x, y = a.data, b.data
    if a.dtype == b.dtype and x.__array_interface__ == y.__array_interface__:
        return True  # one storage
    same = all(
        np.array_equal(x[at : at + ROWS], y[at : at + ROWS], equal_nan=False)
        for at in range(0, len(x), ROWS)
    )
    a.release_pages()
    b.release_pages()
    return same and a.dtype == b.dtype


def settle_labels(
    new: dict[str, Any], schema: Schema, ours: dict[str, Tensor], report: Report
) -> None:
    """Take the number of labels from the classifier, where config.json does not name it.

    Parameters
    ----------
    new : dict
        The keys of our config; changed in place.
    schema : Schema
        Of the class.
    ours : dict of str to Tensor
        By our names.
    report : Report
        A line about a number that was added.

    Raises
    ------
    ValueError
        config.json has another number.
    """
    if schema.name not in ("ErnieMForSequenceClassification", "ErnieMForTokenClassification"):
        return
    weight = ours["classifier.weight"].shape
    names = new.get("id2label")
    given = len(names) if isinstance(names, dict) else new.get("num_labels")
    if given is None:
        given = 2 if weight[:1] == (2,) else None
    if given is None and weight:
        report.derive(new, "num_labels", weight[0])
    elif weight[:1] != (given,):
        key = "id2label" if isinstance(names, dict) else "num_labels"
        raise ValueError(
            f"{key} of config.json has {given} labels, the classifier of the checkpoint has shape "
            f"{weight}; correct config.json"
        )
