"""Solutions to 17_one_file.ipynb, and wrong answers that its checks must refuse.

The right file is solutions/one_file.py; each wrong one differs from it in one place.
"""

# %% exercise 1
SOURCE = Path("solutions/one_file.py").read_text(encoding="utf-8")


# %% exercise 1, wrong: no [CLS]
RIGHT = Path("solutions/one_file.py").read_text(encoding="utf-8")
SOURCE = RIGHT.replace('[vocab["[CLS]"], *ids[: LONGEST - 2]', "[*ids[: LONGEST - 2]")
assert SOURCE != RIGHT


# %% exercise 1, wrong: digits are not cut off
RIGHT = Path("solutions/one_file.py").read_text(encoding="utf-8")
SOURCE = RIGHT.replace("alone or changes", "alone")
assert SOURCE != RIGHT


# %% exercise 1, wrong: a space that stands alone is always kept
RIGHT = Path("solutions/one_file.py").read_text(encoding="utf-8")
SOURCE = RIGHT.replace(
    "elif 0 < i < len(pieces) - 1 and not pieces[i + 1].startswith(SPACE)", "else"
)
assert SOURCE != RIGHT


# %% exercise 1, wrong: SentencePiece's own numbers
RIGHT = Path("solutions/one_file.py").read_text(encoding="utf-8")
SOURCE = RIGHT.replace('vocab.get(token, vocab["[UNK]"])', 'model["pieces"].piece_to_id(token)')
assert SOURCE != RIGHT


# %% exercise 1, wrong: long texts are not cut off
RIGHT = Path("solutions/one_file.py").read_text(encoding="utf-8")
SOURCE = RIGHT.replace("*ids[: LONGEST - 2]", "*ids")
assert SOURCE != RIGHT


# %% exercise 2
SOURCE = Path("solutions/one_file.py").read_text(encoding="utf-8")


# %% exercise 2, wrong: positions start at 0
RIGHT = Path("solutions/one_file.py").read_text(encoding="utf-8")
SOURCE = RIGHT.replace("FIRST_POSITION = 2", "FIRST_POSITION = 0")
assert SOURCE != RIGHT


# %% exercise 2, wrong: padding is seen
RIGHT = Path("solutions/one_file.py").read_text(encoding="utf-8")
SOURCE = RIGHT.replace("mask[:, None, None, :]", "mask[:, None, None, :] | True")
assert SOURCE != RIGHT


# %% exercise 2, wrong: divided by the root of D
RIGHT = Path("solutions/one_file.py").read_text(encoding="utf-8")
SOURCE = RIGHT.replace("math.sqrt(q.shape[-1])", "math.sqrt(x.shape[-1])")
assert SOURCE != RIGHT


# %% exercise 2, wrong: heads and tokens mixed up
RIGHT = Path("solutions/one_file.py").read_text(encoding="utf-8")
SOURCE = RIGHT.replace(
    ".reshape(*x.shape[:2], H, -1).swapaxes(1, 2)", ".reshape(x.shape[0], H, x.shape[1], -1)"
)
assert SOURCE != RIGHT


# %% exercise 2, wrong: relu
RIGHT = Path("solutions/one_file.py").read_text(encoding="utf-8")
SOURCE = RIGHT.replace(
    'wide = gelu(linear(x, w, f"{name}.linear1"))',
    'wide = np.maximum(linear(x, w, f"{name}.linear1"), 0)',
)
assert SOURCE != RIGHT


# %% exercise 2, wrong: no embeddings in the list
RIGHT = Path("solutions/one_file.py").read_text(encoding="utf-8")
SOURCE = RIGHT.replace("return states\n", "return states[1:]\n")
assert SOURCE != RIGHT


# %% exercise 3
SOURCE = Path("solutions/one_file.py").read_text(encoding="utf-8")


# %% exercise 3, wrong: padding counts in the mean
RIGHT = Path("solutions/one_file.py").read_text(encoding="utf-8")
SOURCE = RIGHT.replace("/ mask.sum(axis=1, keepdims=True)", "/ mask.shape[1]")
assert SOURCE != RIGHT


# %% exercise 3, wrong: the vector of [CLS]
RIGHT = Path("solutions/one_file.py").read_text(encoding="utf-8")
SOURCE = RIGHT.replace(
    "return (x * mask[:, :, None]).sum(axis=1) / mask.sum(axis=1, keepdims=True)", "return x[:, 0]"
)
assert SOURCE != RIGHT


# %% exercise 3, wrong: prints nothing
RIGHT = Path("solutions/one_file.py").read_text(encoding="utf-8")
SOURCE = RIGHT.replace('if __name__ == "__main__":\n    main()', "")
assert SOURCE != RIGHT


# %% exercise 3, wrong: too long
SOURCE = Path("solutions/one_file.py").read_text(encoding="utf-8")
SOURCE += "\n# one more line" * 100


# %% exercise 3, wrong: calls the package
SOURCE = """import numpy_erniem as erniem


def load(folder):
    return folder


def embed(model, texts):
    return erniem.embed(texts)
"""
