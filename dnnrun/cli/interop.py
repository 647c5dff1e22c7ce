"""The verbs import and export: networks of other frameworks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dnnrun.cli.output import Json, data, data_json, table, talk
from dnnrun.cli.places import RunsDir

if TYPE_CHECKING:
    from dnnrun.imported import Import
    from dnnrun.interop.check import Agreement

KERNELS = ("in-out", "out-in")


def import_(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A file, folder or checkpoint of another framework.")],
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Of the run's spec, as data.source=mnist.")
    ] = None,
    name: Annotated[str | None, typer.Option("--as", help="Name of the run (default: the file's).")] = None,
    model: Annotated[
        Path | None, typer.Option("--model", help="YAML with a model section: what the file does not say.")
    ] = None,
    map: Annotated[
        Path | None, typer.Option("--map", help="YAML that names the tensor of the file for each of ours.")
    ] = None,
    activation: Annotated[
        str | None, typer.Option(help="Activation of the hidden layers of which the file says none.")
    ] = None,
    kernels: Annotated[
        str | None, typer.Option(help="in-out or out-in: how dense kernels lie, where nothing tells.")
    ] = None,
    image: Annotated[str | None, typer.Option(help="The inputs are images, HEIGHTxWIDTHxCHANNELS, flattened.")] = None,
    channel_first: Annotated[
        bool, typer.Option("--channel-first", help="They were flattened with their channels first, as in PyTorch.")
    ] = False,
    divide_by: Annotated[
        float | None, typer.Option("--divide-by", help="Inputs are divided by this before the first layer.", min=1e-30)
    ] = None,
    classes: Annotated[str | None, typer.Option(help="Names of the outputs, joined by commas.")] = None,
    fold_batch_norm: Annotated[
        bool, typer.Option("--fold-batch-norm", help="Fold batch norm into the kernels.")
    ] = False,
    external_data: Annotated[
        bool, typer.Option("--external-data", help="An ONNX file may have its values in others of its folder.")
    ] = False,
    check: Annotated[
        tuple[Path, Path] | None,
        typer.Option("--check", metavar="INPUTS.npy OUTPUTS.npy", help="Compare with the framework's own outputs."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show how each tensor maps and write nothing.")] = False,
    runs_dir: RunsDir = Path("runs"),
    as_json: Json = False,
) -> None:
    """Make a run of a file of another framework."""
    from dnnrun.foreign import Reading
    from dnnrun.imported import Wanted, read_import, write_run

    if kernels is not None and kernels not in KERNELS:
        raise typer.BadParameter(f"--kernels {kernels!r}; wanted {' or '.join(KERNELS)}")
    wanted = Wanted(
        reading=Reading(map, kernels, image, channel_first, external_data),
        model=model,
        activation=activation,
        divide_by=divide_by,
        classes=[entry.strip() for entry in classes.split(",")] if classes is not None else None,
        fold=fold_batch_norm,
    )
    found = read_import(file, name, wanted, overrides or ())
    checked = _check(found, check, channel_first) if check else None
    run = None if dry_run else write_run(found, runs_dir)
    if as_json:
        answer: dict[str, Any] = {"run": run and str(run), "imported": found.account()}
        if checked:
            answer["check"] = {"difference": checked.difference, "rows": checked.rows, "of": checked.of}
        data_json(answer)
        return
    show = data if dry_run else talk
    show("\n".join(table(found.network.rows())))
    for what, names in (("left over", found.network.leftover), ("of the training alone", found.network.passed)):
        if names:
            show(f"{what}: {', '.join(names)}")
    for note in found.notes:
        show(f"note: {note}")
    if checked:
        show(f"check: {checked}")
    if run is None:
        talk("nothing was written (--dry-run)")
    else:
        data(str(run))


def export(
    checkpoint: Annotated[
        str, typer.Argument(metavar="CHECKPOINT", help="A run (runs/NAME), a checkpoint folder, or .../best.")
    ],
    format: Annotated[
        str | None,
        typer.Option("--format", help="safetensors, npz, torch, keras or onnx (default: by the file's ending)."),
    ] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="The file (default: the run's name).")] = None,
    fold_batch_norm: Annotated[
        bool, typer.Option("--fold-batch-norm", help="Fold batch norm into the kernels.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace the file.")] = False,
    as_json: Json = False,
) -> None:
    """Write a network for another framework, and check the file by running it there."""
    from dnnrun.interop.export.bundle import bundle_of
    from dnnrun.interop.export.write import SUFFIXES, format_for
    from dnnrun.interop.export.write import export as write
    from dnnrun.store.find import find_checkpoint

    kind = format_for(output, format)
    bundle = bundle_of(find_checkpoint(checkpoint))
    bundle = bundle.folded() if fold_batch_norm else bundle
    done = write(bundle, output or Path(f"{bundle.name}{SUFFIXES[kind]}"), kind, force=force)
    if as_json:
        data_json(done.as_json())
        return
    talk(f"{kind}: {done.size:,} bytes, sha256 {done.sha256[:16]}...")
    talk(f"check by {done.by}: {done.checked}" if done.checked else done.by)
    for note in done.notes:
        talk(f"note: {note}")
    data(str(done.path))


def _check(found: Import, check: tuple[Path, Path], channel_first: bool) -> Agreement:
    from dnnrun.errors import InteropError
    from dnnrun.interop.check import agreement, read_pair

    network, architecture = found.network, found.architecture
    first = channel_first or any("channel-first" in origin.how for origin in network.layers[0].origins.values())
    x, wanted = read_pair(*check, architecture.features, architecture.outputs, network.image, first)
    inside = network.preprocessing is not None and "preprocessing" not in network.own
    result = agreement(found.logits(x, scaled=not inside), wanted, network.layers[-1].ends)
    if not result.agrees:
        raise InteropError(
            f"{found.path}: the outputs are not those of {check[1]}: {result}; nothing was written. "
            "Look at the activation, the epsilon and position of batch norm, and the order of the inputs"
        )
    return result
