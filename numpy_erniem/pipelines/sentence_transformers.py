"""Methods with the names and arguments of sentence-transformers."""

import sys
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from numpy_erniem.checks import nearest
from numpy_erniem.pipelines.progress import Progress
from numpy_erniem.pipelines.similarity import similarity_matrix

# Argument of SentenceTransformer.encode → the values that ask for what is done anyway.
ACCEPTED: dict[str, tuple[Any, ...]] = {
    "convert_to_numpy": (True,),
    "convert_to_tensor": (False,),
    "device": (None, "cpu"),
    "output_value": ("sentence_embedding",),
    "precision": ("float32",),
}

READ = (  # arguments that Embedder.encode has itself
    "sentences",
    "prompt_name",
    "prompt",
    "batch_size",
    "show_progress_bar",
    "normalize_embeddings",
    "truncate_dim",
)


class SentenceTransformersMethods:
    """Methods of an `Embedder` that a `SentenceTransformer` has too."""

    def similarity(self: Any, a: ArrayLike, b: ArrayLike) -> np.ndarray:
        """Similarity of all vectors of a with all of b, by the function that is recorded.

        Parameters and result are those of `similarity_matrix`: (n, W) and (m, W) give (n, m).
        """
        return similarity_matrix(a, b, self.settings.similarity)

    def encode(
        self: Any,
        sentences: str | Iterable[Any],
        prompt_name: str | None = None,
        prompt: str | None = None,
        batch_size: int | None = None,
        show_progress_bar: bool | None = None,
        *,
        normalize_embeddings: bool = False,
        truncate_dim: int | None = None,
        **others: Any,
    ) -> np.ndarray:
        """Embed texts, with the arguments of sentence-transformers' `SentenceTransformer.encode`.

        Parameters
        ----------
        sentences, prompt_name, prompt, batch_size
            As `texts` and these in a call of the Embedder.
        show_progress_bar : bool, optional
            Tell on standard error how far the work is, if it takes longer than two seconds.
        normalize_embeddings : bool
            Scale every vector to length 1. False: as the checkpoint records.
        truncate_dim : int, optional
            Keep that many numbers of each vector, from its start: before `normalize_embeddings`
            scales it, and after a scaling that the checkpoint records.
        **others
            convert_to_numpy, convert_to_tensor, device, output_value and precision, with the value
            that they have here anyway.

        Returns
        -------
        (number of texts, D) float32 array
            Of one str, a (D,) array. With `truncate_dim`, D is that number.

        Raises
        ------
        ValueError
            As in a call, or an argument of sentence-transformers has a value that is not accepted.
        TypeError
            As in a call, or an argument is unknown.
        """
        check_encode_arguments(others)
        shorter = self if truncate_dim is None else self.with_options(dimensions=truncate_dim)
        embedder = shorter if normalize_embeddings else self  # else a scaled vector is cut
        vectors: np.ndarray = embedder(
            sentences,
            normalize=True if normalize_embeddings else None,
            prompt_name=prompt_name,
            prompt=prompt,
            batch_size=batch_size,
            progress=Progress(sys.stderr, "texts") if show_progress_bar else None,
        )
        return vectors[..., :truncate_dim]


def check_encode_arguments(arguments: dict[str, Any]) -> None:
    """Refuse arguments of `encode` that ask for something else than NumPy vectors in float32.

    Raises
    ------
    TypeError
        An argument is unknown.
    ValueError
        An argument has a value that is not accepted.
    """
    for name, value in arguments.items():
        if name not in ACCEPTED:
            others = nearest(name, [*READ, *ACCEPTED])
            raise TypeError(f"encode() has no argument {name!r}{others}")
        if value not in ACCEPTED[name]:
            allowed = " or ".join(map(repr, ACCEPTED[name]))
            raise ValueError(
                f"{name}={value!r}: encode gives NumPy arrays in float32, computed on the CPU; "
                f"leave it out, or give {allowed}"
            )
