"""Event files for TensorBoard, in the run directory, so that `tensorboard --logdir runs` finds every run."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from dnnrun import files
from dnnrun.nn.architecture import is_kernel
from dnnrun.track import About, Tracker, Tracking, scalars, signal_scalars

if TYPE_CHECKING:
    import numpy as np

FILTERS = 64  # in the picture of the first layer


class TensorBoard(Tracker):
    """Scalars, histograms of the kernels, hyperparameters and the first layer's filters, for TensorBoard.

    Written into the run directory: `tensorboard --logdir runs` shows every run. Wants the package tensorboard.
    """

    type: Literal["tensorboard"] = "tensorboard"

    def begin(self, about: About) -> Tracking:
        return _Events(about)


class _Appending:
    """What TensorBoard's record writer writes to: a file, by way of the seam."""

    closed = False

    def __init__(self, path: Path):
        self.path = path

    def write(self, data: bytes) -> None:
        files.append(self.path, data)

    def flush(self) -> None:
        pass

    def close(self) -> None:
        pass


class _Events(Tracking):
    wants_tensors: ClassVar[bool] = True

    def __init__(self, about: About):
        from tensorboard.compat.proto import event_pb2, summary_pb2  # pyright: ignore
        from tensorboard.summary.writer.record_writer import RecordWriter  # pyright: ignore

        self.event, self.summary, self.about = event_pb2, summary_pb2, about
        name = f"events.out.tfevents.{time.time_ns() // 10**3}.{os.uname().nodename}.{os.getpid()}"
        self.records: Any = RecordWriter(_Appending(about.run / name))
        self._write(file_version="brain.Event:2")
        # What was written for steps that a resume computes again is no longer shown from here on.
        status = event_pb2.SessionLog.START
        self._write(step=about.step + bool(about.step), session_log=event_pb2.SessionLog(status=status))
        self._hyperparameters()

    def epoch(self, record: Mapping[str, Any], tensors: Mapping[str, np.ndarray]) -> None:
        values = [self._scalar(name, value) for name, value in scalars(record).items()]
        values += [self._histogram(name, value) for name, value in tensors.items() if is_kernel(name)]
        self._summary(record["step"], values)

    def signals(self, record: Mapping[str, Any]) -> None:
        self._summary(record["step"], [self._scalar(name, value) for name, value in signal_scalars(record).items()])

    def end(self, status: str, metrics: Mapping[str, Mapping[str, float]], tensors: Mapping[str, np.ndarray]) -> None:
        from tensorboard.plugins.hparams import api_pb2, metadata, plugin_data_pb2  # pyright: ignore

        values = [
            self._scalar(f"final/{split}_{metric}", value)
            for split, found in metrics.items()
            for metric, value in found.items()
        ]
        if picture := self._filters(tensors):
            values.append(picture)
        how = api_pb2.STATUS_SUCCESS if status == "done" else api_pb2.STATUS_FAILURE
        ended = plugin_data_pb2.SessionEndInfo(status=how, end_time_secs=time.time())
        data = plugin_data_pb2.HParamsPluginData(session_end_info=ended)
        about = metadata.create_summary_metadata(data)
        values.append(self._value(tag=metadata.SESSION_END_INFO_TAG, metadata=about, tensor=metadata.NULL_TENSOR))
        self._summary(0, values)

    def _hyperparameters(self) -> None:
        from tensorboard.plugins.hparams.summary_v2 import hparams_pb  # pyright: ignore

        kept = {key: value for key, value in self.about.spec.items() if isinstance(value, (bool, int, float, str))}
        name = f"{self.about.name}/{self.about.run.name}"
        self._write(step=0, summary=hparams_pb(kept, trial_id=name).SerializeToString())

    def _value(self, **what: Any) -> Any:
        return self.summary.Summary.Value(**what)

    def _scalar(self, tag: str, value: float) -> Any:
        return self._value(tag=tag, simple_value=value)

    def _histogram(self, tag: str, values: np.ndarray) -> Any:
        import numpy as np

        flat = np.asarray(values, np.float64).ravel()
        counts, edges = np.histogram(flat, bins=30)
        return self._value(
            tag=tag,
            histo=self.summary.HistogramProto(
                min=flat.min(),
                max=flat.max(),
                num=flat.size,
                sum=flat.sum(),
                sum_squares=float(flat @ flat),
                bucket_limit=edges[1:].tolist(),
                bucket=counts.tolist(),
            ),
        )

    def _filters(self, tensors: Mapping[str, np.ndarray]) -> Any:
        """The first layer's filters side by side, where the inputs are images."""
        import numpy as np

        from dnnrun.data.picture import as_filter, png

        name = next((name for name in tensors if is_kernel(name)), None)
        image = self.about.image
        if name is None or image is None or tensors[name].shape[0] != int(np.prod(image)):
            return None
        kernel = tensors[name]
        columns = np.argsort(-np.linalg.norm(kernel, axis=0), kind="stable")[:FILTERS]
        tiles = [np.pad(as_filter(kernel[:, c], image), ((0, 1), (0, 1), (0, 0))) for c in columns]
        across = min(8, len(tiles))
        tiles += [np.zeros_like(tiles[0])] * (-len(tiles) % across)
        pixels = np.vstack([np.hstack(tiles[at : at + across]) for at in range(0, len(tiles), across)])
        picture = self.summary.Summary.Image(
            height=pixels.shape[0], width=pixels.shape[1], colorspace=3, encoded_image_string=png(pixels)
        )
        return self._value(tag=f"{name}/filters", image=picture)

    def _summary(self, step: int, values: list[Any]) -> None:
        self._write(step=step, summary=self.summary.Summary(value=values).SerializeToString())

    def _write(self, summary: bytes | None = None, **what: Any) -> None:
        event = self.event.Event(wall_time=time.time(), **what)
        if summary is not None:
            event.summary.ParseFromString(summary)
        self.records.write(event.SerializeToString())
