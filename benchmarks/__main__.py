"""python -m benchmarks: measure this machine, our engines and every peer that is installed.

    python -m benchmarks --all --renew              every part; the pages of this checkout
    python -m benchmarks --parts engines,precision  these parts, on the screen
    python -m benchmarks --all --trial              whether everything runs, in minutes
    python -m benchmarks --redraw --renew           the pages again, from docs/performance.json

Each engine runs in a process of its own. They take turns, round by round, so that other work on
the machine slows all of them alike. Their outputs are compared before anything is timed.
"""

import sys


def main(given: list[str] | None = None) -> int:
    """Measure, then write documents and picture.

    Returns
    -------
    int
        The exit code: 1 if a part failed.
    """
    from benchmarks import options as command_line
    from benchmarks import pages, parts, workers
    from benchmarks.results import Results
    from numpy_erniem.backend import settings

    options = command_line.arguments(given)
    settings.set_num_threads(options.threads)
    if options.trial:
        workers.PATIENCE, workers.STARTS = 0.0, 1
    results = Results(options.json, options.threads, options.trial)
    failed = list(parts.measure(options, results))
    for document in options.document:
        text = document.read_text(encoding="utf-8")
        if pages.marks(text) & set(pages.texts(results.machines)):
            document.write_text(pages.fill_in(text, results.machines), encoding="utf-8")
    if options.plot:
        from benchmarks.plot import draw

        draw(results.machines, options.plot)
    for line in failed:
        print(line, file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except ModuleNotFoundError as error:
        if error.name != "numpy_erniem._kernels":
            raise
        sys.exit("the C kernels are not built in this checkout; run pip install -e . first")
