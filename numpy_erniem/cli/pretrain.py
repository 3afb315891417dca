"""`erniem pretrain`: MMLM, TLM, CAMLM and BTMLM from scratch, or on from a checkpoint."""

import argparse
import sys
from pathlib import Path

from numpy_erniem.cli.finetune import PLAN, add_plan, data_of, plan_of, write_plot
from numpy_erniem.config import ErnieMConfig
from numpy_erniem.models import ErnieMForMaskedLM
from numpy_erniem.tokenizer import ErnieMTokenizer
from numpy_erniem.training.pretraining.objectives import MASKED_SHARE
from numpy_erniem.training.pretraining.pretraining import (
    Phase,
    Pretraining,
    read_corpora,
    save_all,
    special_tokens,
)
from numpy_erniem.training.trainer import Trainer
from numpy_erniem.training.value_and_grad import trainable

PHASES = ("2000:camlm,tlm", "1000:camlm,tlm,mmlm,btmlm")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `erniem pretrain`."""
    parser.add_argument(
        "--parallel", metavar="FILE", help="pairs: TSV of language, English, translation, or JSON"
    )
    parser.add_argument("--mono", metavar="FILE", help="sentences: TSV of language, text, or JSON")
    parser.add_argument(
        "--config", metavar="FILE", required=True, help="config.json, or a folder to go on from"
    )
    parser.add_argument(
        "--tokenizer", metavar="FOLDER", help="tokenizer (the folder of the config)"
    )
    parser.add_argument("--out", metavar="FOLDER", required=True, help="where the run is kept")
    parser.add_argument(
        "--phase",
        action="append",
        metavar="STEPS:OBJECTIVES",
        help=f"one after the other ({' '.join(PHASES)})",
    )
    parser.add_argument("--masked", type=float, default=MASKED_SHARE, help=f"({MASKED_SHARE})")
    parser.add_argument(
        "--max-tokens",
        type=int,
        default=64,
        metavar="N",
        help="of a sentence (64); longer: left out",
    )
    add_plan(parser, {**PLAN, "rate": 1e-3})


def run(options: argparse.Namespace) -> int:
    """Pre-train; returns the exit code."""
    phases = tuple(Phase.parse(text) for text in options.phase or PHASES)
    plan = plan_of(options, sum(phase.steps for phase in phases))
    model, tokenizer = load(Path(options.config), options.tokenizer, options.max_tokens, plan.seed)
    pairs, mono = read_corpora(options.parallel, options.mono, tokenizer, options.max_tokens)
    task = Pretraining(
        pairs,
        mono,
        special_tokens(tokenizer),
        phases,
        plan.batch,
        plan.seed,
        options.masked,
        plan.threads,
        plan.recompute,
    )
    out = Path(options.out)
    data = data_of([options.parallel, options.mono], phases=options.phase, masked=options.masked)
    trainer = Trainer(
        trainable(model),
        task.grade,
        plan,
        out,
        data=data,
        save=save_all(out, tokenizer),
        report=lambda line: print(line, file=sys.stderr, flush=True),
    )
    write_plot(out, trainer.run())
    return 0


def load(
    given: Path, tokenizer_folder: str | None, longest: int, seed: int
) -> tuple[ErnieMForMaskedLM, ErnieMTokenizer]:
    """The model of a config.json, fresh, or of a folder, and a tokenizer that fits it."""
    read = ErnieMConfig.from_pretrained if given.is_dir() else ErnieMConfig.from_json_file
    config, folder = read(given), given if given.is_dir() else given.parent
    tokenizer = ErnieMTokenizer.from_pretrained(tokenizer_folder or folder)
    if 2 * longest + 4 > config.max_length:
        raise ValueError(
            f"--max-tokens {longest}: two sentences with four special tokens are more "
            f"than the {config.max_length} that the model takes"
        )
    if len(tokenizer) > config.vocab_size:
        raise ValueError(
            f"the tokenizer has {len(tokenizer)} tokens, the config a vocab_size of "
            f"{config.vocab_size}; they do not belong together"
        )
    if given.is_dir() and any(given.glob("model*.safetensors*")):
        return ErnieMForMaskedLM.from_pretrained(given, seed=seed), tokenizer
    return ErnieMForMaskedLM(config, seed=seed), tokenizer
