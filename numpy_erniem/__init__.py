"""ERNIE-M in readable NumPy, with a C fast path: multilingual text in, vectors out, no torch.

>>> import numpy_erniem as erniem
>>> folder = erniem.bundled_checkpoint()
"""

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # what type checkers and editors see
    from numpy_erniem import ops, plots, training
    from numpy_erniem.backend.dispatch import (
        backend_report,
        get_num_threads,
        get_strassen,
        get_threading,
        reset_backend_report,
        set_num_threads,
        set_strassen,
        set_threading,
        use_backend,
    )
    from numpy_erniem.backend.versions import show_versions
    from numpy_erniem.checkpoint.hub import bundled_checkpoint
    from numpy_erniem.checkpoint.sentence_settings import SentenceSettings
    from numpy_erniem.config import ErnieMConfig
    from numpy_erniem.explorer import explain
    from numpy_erniem.models import (
        ErnieMForInformationExtraction,
        ErnieMForMaskedLM,
        ErnieMForMultipleChoice,
        ErnieMForQuestionAnswering,
        ErnieMForSequenceClassification,
        ErnieMForTokenClassification,
        ErnieMModel,
        load,
    )
    from numpy_erniem.models.outputs import (
        BaseModelOutput,
        InformationExtractionModelOutput,
        MaskedLMOutput,
        ModelOutput,
        MultipleChoiceModelOutput,
        QuestionAnsweringModelOutput,
        SequenceClassifierOutput,
        TokenClassifierOutput,
    )
    from numpy_erniem.models.packed_batch import pack_texts
    from numpy_erniem.models.pretrained import ErnieMPreTrainedModel
    from numpy_erniem.parity.compare import check_parity
    from numpy_erniem.pipelines.answer import QuestionAnswerer
    from numpy_erniem.pipelines.choose import ChoiceRanker
    from numpy_erniem.pipelines.classify import TextClassifier
    from numpy_erniem.pipelines.embed import Embedder, embed
    from numpy_erniem.pipelines.extract import InformationExtractor
    from numpy_erniem.pipelines.fill import MaskFiller
    from numpy_erniem.pipelines.hybrid import HybridEmbedder
    from numpy_erniem.pipelines.rerank import Reranker
    from numpy_erniem.pipelines.search import SearchIndex
    from numpy_erniem.pipelines.tag import TokenTagger
    from numpy_erniem.pipelines.zero_shot import ZeroShotClassifier
    from numpy_erniem.quantization.conversion import convert
    from numpy_erniem.tokenizer import AddedToken, BatchEncoding, ErnieMTokenizer

__version__ = "0.2.0.dev0"
__all__ = [
    "AddedToken",
    "BaseModelOutput",
    "BatchEncoding",
    "ChoiceRanker",
    "Embedder",
    "ErnieMConfig",
    "ErnieMForInformationExtraction",
    "ErnieMForMaskedLM",
    "ErnieMForMultipleChoice",
    "ErnieMForQuestionAnswering",
    "ErnieMForSequenceClassification",
    "ErnieMForTokenClassification",
    "ErnieMModel",
    "ErnieMPreTrainedModel",
    "ErnieMTokenizer",
    "HybridEmbedder",
    "InformationExtractionModelOutput",
    "InformationExtractor",
    "MaskFiller",
    "MaskedLMOutput",
    "ModelOutput",
    "MultipleChoiceModelOutput",
    "QuestionAnswerer",
    "QuestionAnsweringModelOutput",
    "Reranker",
    "SearchIndex",
    "SentenceSettings",
    "SequenceClassifierOutput",
    "TextClassifier",
    "TokenClassifierOutput",
    "TokenTagger",
    "ZeroShotClassifier",
    "__version__",
    "backend_report",
    "bundled_checkpoint",
    "check_parity",
    "convert",
    "embed",
    "explain",
    "get_num_threads",
    "get_strassen",
    "get_threading",
    "load",
    "ops",
    "pack_texts",
    "plots",
    "reset_backend_report",
    "set_num_threads",
    "set_strassen",
    "set_threading",
    "show_versions",
    "training",
    "use_backend",
]

# Module -> names, imported when they are first used, so `import numpy_erniem` costs nothing.
_SUBMODULES = ("ops", "plots", "training")
_MODULES = {
    "backend.dispatch": (
        "backend_report",
        "get_num_threads",
        "get_strassen",
        "get_threading",
        "reset_backend_report",
        "set_num_threads",
        "set_strassen",
        "set_threading",
        "use_backend",
    ),
    "backend.versions": ("show_versions",),
    "checkpoint.hub": ("bundled_checkpoint",),
    "checkpoint.sentence_settings": ("SentenceSettings",),
    "config": ("ErnieMConfig",),
    "explorer": ("explain",),
    "models": (
        "ErnieMForInformationExtraction",
        "ErnieMForMaskedLM",
        "ErnieMForMultipleChoice",
        "ErnieMForQuestionAnswering",
        "ErnieMForSequenceClassification",
        "ErnieMForTokenClassification",
        "ErnieMModel",
        "load",
    ),
    "models.outputs": (
        "BaseModelOutput",
        "InformationExtractionModelOutput",
        "MaskedLMOutput",
        "ModelOutput",
        "MultipleChoiceModelOutput",
        "QuestionAnsweringModelOutput",
        "SequenceClassifierOutput",
        "TokenClassifierOutput",
    ),
    "models.packed_batch": ("pack_texts",),
    "models.pretrained": ("ErnieMPreTrainedModel",),
    "parity.compare": ("check_parity",),
    "pipelines.choose": ("ChoiceRanker",),
    "pipelines.classify": ("TextClassifier",),
    "pipelines.answer": ("QuestionAnswerer",),
    "pipelines.embed": ("Embedder", "embed"),
    "pipelines.hybrid": ("HybridEmbedder",),
    "pipelines.extract": ("InformationExtractor",),
    "pipelines.fill": ("MaskFiller",),
    "pipelines.rerank": ("Reranker",),
    "pipelines.search": ("SearchIndex",),
    "pipelines.zero_shot": ("ZeroShotClassifier",),
    "pipelines.tag": ("TokenTagger",),
    "quantization.conversion": ("convert",),
    "tokenizer": ("AddedToken", "BatchEncoding", "ErnieMTokenizer"),
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}


if not TYPE_CHECKING:  # else a checker would accept any name

    def __getattr__(name: str) -> Any:
        if name in _SUBMODULES:
            return import_module(f"{__name__}.{name}")
        if name not in _MODULE_OF:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted(__all__)


if find_spec(f"{__name__}._kernels") is None:
    import_module(f"{__name__}.backend.missing").warn_not_built()
