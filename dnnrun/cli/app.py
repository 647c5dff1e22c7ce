"""The command `dnnrun`: its verbs, and how it ends.

A verb is a function in a small module beside this one, named in `VERBS`. These modules are imported at every start,
also for `--help`: they import typer and each other, and everything else inside their functions.
"""

from __future__ import annotations

import errno
import gc
import os
import sys
from collections.abc import Callable
from typing import Annotated, Any, NoReturn

import typer

from dnnrun import __version__
from dnnrun.cli import (
    compare,
    diagnose,
    interop,
    measure,
    new,
    predict,
    pretrain,
    report,
    reuse_search,
    runs,
    show,
    specs,
    sweep,
    train,
    transfer,
    zoo,
)
from dnnrun.cli.output import data, mute, stand_in, talk, told
from dnnrun.cli.signals import exit_code

# New objects between two searches for garbage. At 700, which is what Python has, imports take a sixth longer.
YOUNG = 50_000

VERBS: dict[str, Callable[..., Any]] = {
    "new": new.new,
    "train": train.train,
    "transfer": transfer.transfer,
    "sweep": sweep.sweep,
    "reuse-search": reuse_search.reuse_search,
    "pretrain": pretrain.pretrain,
    "eval": train.evaluate,
    "predict": predict.predict,
    "import": interop.import_,
    "export": interop.export,
    "diagnose": diagnose.diagnose,
    "find-lr": measure.find_lr,
    "profile": measure.profile,
    "runs": runs.runs,
    "compare": compare.compare,
    "report": report.report,
    "show": show.show,
    "validate": specs.validate,
    "ls": specs.ls,
    "cp": specs.cp,
    "schema": specs.schema,
}

GROUPS: dict[str, typer.Typer] = {"zoo": zoo.app}

# rich would make the help take 0.2 s longer and colour it; plain text it is
app = typer.Typer(name="dnnrun", no_args_is_help=True, rich_markup_mode=None, pretty_exceptions_enable=False)


def _version(wanted: bool) -> None:
    if wanted:
        data(f"dnnrun {__version__}")
        raise typer.Exit


@app.callback()
def dnnrun(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Train and reuse deep networks that a spec in YAML describes."""


for _name, _verb in VERBS.items():
    app.command(_name)(_verb)
for _name, _group in GROUPS.items():
    app.add_typer(_group, name=_name)


def main() -> NoReturn:
    """The console entry point. Ends the process: 0 done, 1 a run failed, 2 the user's input, 130 or 143 interrupted."""
    from dnnrun.errors import DnnrunError

    gc.set_threshold(YOUNG)
    # polars' allocator keeps what is freed, for ever where the system does not ask for it: a third more at the peak
    os.environ.setdefault("_RJEM_MALLOC_CONF", "dirty_decay_ms:10,muzzy_decay_ms:0")
    stand_in()
    try:
        try:
            app(prog_name="dnnrun")  # also where it was started as `python -m dnnrun`
        except BaseException:
            if (code := exit_code()) is not None:
                mute(sys.stdout)  # half a line may be in it
                sys.exit(code)
            raise
        finally:
            sys.stdout.flush()
    except DnnrunError as error:
        sys.exit(told(error))
    except KeyboardInterrupt:
        sys.exit(130)
    except OSError as error:
        mute(sys.stdout)  # nothing more can be written, not even at exit
        if not isinstance(error, BrokenPipeError):  # whoever read our output has enough
            talk(f"error: {error.filename or 'the output'}: {error.strerror or error}")
        sys.exit(2 if error.errno == errno.ENAMETOOLONG else 1)  # no such path can be, whatever the disk
    sys.exit(0)
