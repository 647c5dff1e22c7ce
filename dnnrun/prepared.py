"""The streamed rows of processes that train together: the first one prepares them, those that see its disk map them."""

from __future__ import annotations

import json
import secrets
import socket
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

from dnnrun.assemble import read_data, room_for
from dnnrun.data.dataset import Dataset
from dnnrun.data.published import described, encoded, opened
from dnnrun.data.room import Room
from dnnrun.data.source import Places
from dnnrun.spec.sections import Spec
from dnnrun.train.team import Team

TOKEN = "token"  # a file that holds what nobody else can have written
SEEN = 0  # said when a process has looked for the token, whatever it found
HERE, AWAY, OWN = range(3)  # where a process has its rows: beside process 0; from another machine; prepared by itself


def reader(team: Team) -> Callable[[Spec, Places], Dataset]:
    """What gives every process of the team the rows of their run. Raises DataError, ProcessLost."""
    return partial(_read, team)


def _read(team: Team, spec: Spec, places: Places) -> Dataset:
    if spec.data.stream is None or team.count == 1:
        return read_data(spec, places)
    return _give(team, spec, places) if team.lead else _take(team, spec, places)


def _give(team: Team, spec: Spec, places: Places) -> Dataset:
    """Say where the rows will be, so that who does not see that place can begin by itself; put them there."""
    room, token = room_for(spec, places), secrets.token_hex(16)
    assert room is not None  # they are streamed
    try:
        room.append(room.folder / TOKEN, token.encode())
        team.first(json.dumps([str(room.folder.resolve()), token]))
        team.highest(SEEN)  # a failure here must not take the place away before the others have looked
        room.stays = "features"
        dataset = read_data(spec, replace(places, room=room))
        _publish(dataset, room)
        team.first(_machine())
        found = team.highest(HERE)
    except BaseException:
        room.close()
        raise
    if found == HERE:
        room.close()  # all have opened the files: on one machine they stay until nobody maps them
    else:
        team.leavings.append(room.close)
    if found == OWN:
        told = f"not every process sees {room.folder.parent}: who does not has prepared rows of its own"
        dataset = replace(dataset, notes=(*dataset.notes, told))
    return dataset


def _take(team: Team, spec: Spec, places: Places) -> Dataset:
    """The rows of process 0 where its token is to be seen, else those that are prepared here."""
    folder, token = json.loads(team.first(""))
    dataset, where = None, OWN
    seen = _token(Path(folder)) == token
    team.highest(SEEN)
    if not seen:
        dataset = read_data(spec, places)
    machine = team.first("")  # its rows are there
    if seen:
        with suppress(OSError, ValueError):
            dataset = opened(Path(folder))
            where = HERE if machine == _machine() else AWAY
    if dataset is None:  # not to be mapped, or not to be seen any more
        dataset = read_data(spec, places)
    team.highest(where)
    return dataset


def _publish(dataset: Dataset, room: Room) -> None:
    """Put into the room what belongs to the rows that are there already."""
    arrays, what = described(dataset)
    del arrays[str(room.stays)]
    for name, pieces in encoded(arrays, what).items():
        for piece in [pieces] if isinstance(pieces, bytes) else pieces:
            room.append(room.folder / name, piece)


def _token(folder: Path) -> str | None:
    try:
        return (folder / TOKEN).read_text()
    except (OSError, ValueError):
        return None


def _machine() -> str:
    """What no other machine has; a host's name may be taken twice."""
    boot = Path("/proc/sys/kernel/random/boot_id")
    return boot.read_text() if boot.exists() else f"{socket.gethostname()} {uuid.getnode()}"
