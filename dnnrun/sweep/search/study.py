"""Searches by Optuna: the tree-structured Parzen estimator, and asynchronous successive halving."""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from dnnrun import files
from dnnrun.errors import MissingExtra, ResumeError, RunFailed, SpecError
from dnnrun.metric import higher_is_better
from dnnrun.spec.compare import flatten
from dnnrun.spec.sections import Spec
from dnnrun.spec.space import Halving, Range, Setting, Sweep
from dnnrun.streams import words
from dnnrun.sweep.plan import Trial, pairs
from dnnrun.sweep.results import Outcome, value_of
from dnnrun.sweep.search import Answer, Job, late

if TYPE_CHECKING:
    import optuna

OWNER = "dnnrun:sweep"
SURPLUS = "dnnrun:surplus"
SPEC = "dnnrun:spec"
# What sweeps that share a study may differ in, and what a resume may change.
FREE = ("name", "sweep.trials", "sweep.time", "sweep.storage", "sweep.reference", "sweep.confirm")
BUSY = 100.0  # seconds that SQLite waits for another process that writes
TRIES = 20
ORPHANED = 60.0  # seconds after which a trial that no sweep has put its name on is taken for one cut short


@dataclass
class _Open:
    """A setting that is being tried: Optuna's trial, the rung it runs to, and what has come back of this rung."""

    trial: optuna.Trial
    setting: Setting
    rung: int
    answers: dict[str, tuple[Trial, Answer]] = field(default_factory=dict)
    twins: list[optuna.Trial] = field(default_factory=list)


def check_usable(sweep: Sweep) -> None:
    """Raise MissingExtra without Optuna, SpecError where `sweep.storage` cannot be used."""
    try:
        import optuna
    except ImportError:
        raise MissingExtra(f"sweep.search: {sweep.search}", "optuna", "sweep") from None
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    if sweep.storage is None:
        return
    try:
        _storage(sweep.storage).get_all_studies()
    except Exception as error:  # whatever a database's driver raises
        shown = without_password(sweep.storage)
        what = f"sweep.storage: {shown} cannot be used ({_line(error)}); wanted a URL as sqlite:///study.db"
        raise SpecError([what]) from None


class Study:
    """Settings that Optuna proposes, each over every seed and fold; what is optimised is the mean over them.

    With `asha` all seeds of a setting run to the epochs of a rung, then the pruner says whether it goes on. A study is
    shared by whoever names its storage: together they run the trials planned. `owner` marks those of this sweep, so
    that it goes on with them after it was cut short. Raises ResumeError where the study is another spec's, RunFailed
    where the storage fails; the runs are kept, and a resume goes on with them.
    """

    def __init__(
        self,
        base: Spec,
        sweep: Sweep,
        done: Mapping[str, Outcome],
        storage: str,
        owner: str,
        deadline: float | None = None,
    ):
        import optuna

        self.base, self.sweep, self.done, self.owner, self.deadline = base, sweep, done, owner, deadline
        self.pairs = pairs(base, sweep)
        self.rungs: list[int | None] = [None]
        halving = sweep.halving or Halving()
        if sweep.search == "asha":
            self.rungs = [*halving.rungs(base.train.epochs)[:-1], None]
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self.url = without_password(storage)
        self.waiting: deque[Job] = deque()
        self.open: dict[int, _Open] = {}
        self.place: dict[str, int] = {}
        self.closing: list[tuple[optuna.Trial, float | None, optuna.trial.TrialState]] = []
        with self._reached():
            self.study = optuna.create_study(
                study_name=base.name,
                storage=_storage(storage),
                load_if_exists=True,
                direction="maximize" if higher_is_better(sweep.metric) else "minimize",
                pruner=optuna.pruners.SuccessiveHalvingPruner(halving.first, halving.factor),
            )
            self._same_spec()
            self._seed()
            for left in self._cut_short():
                self._go_on(left)

    def _seed(self) -> None:
        """A sampler for this process: of an unshared study a function of the spec's seed and what was proposed."""
        import optuna

        sweep = self.sweep
        # Neither sweeps that share a study, nor one that is gone on with, may propose what was proposed before.
        seed = words(self.base.seed, "study", self.owner if sweep.storage else "", len(self.study.trials))[0]
        if sweep.search == "tpe":
            self.study.sampler = optuna.samplers.TPESampler(seed=seed, constant_liar=True, multivariate=True)
        else:
            self.study.sampler = optuna.samplers.RandomSampler(seed=seed)

    def _same_spec(self) -> None:
        """Let the study be this spec's. Raises ResumeError where it is another one's: nothing could be compared."""
        mine = {key: value for key, value in flatten(self.base.model_dump(mode="json")).items() if not _free(key)}
        if (theirs := self.study.user_attrs.get(SPEC)) is None:
            self.study.set_user_attr(SPEC, json.dumps(mine))
            return
        old = json.loads(theirs)
        if changed := sorted(key for key in old.keys() | mine.keys() if old.get(key) != mine.get(key)):
            lines = "\n".join(f"  {key}: {old.get(key, '(unset)')} -> {mine.get(key, '(unset)')}" for key in changed)
            raise ResumeError(
                f"{self.url}: the study {self.base.name!r} there is another spec's:\n{lines}\n"
                "undo this, or give the spec another name or another sweep.storage"
            )

    @contextmanager
    def _reached(self) -> Iterator[None]:
        """What the storage cannot do, as an error of ours."""
        from optuna.exceptions import StorageInternalError
        from sqlalchemy.exc import SQLAlchemyError

        try:
            yield
        except (SQLAlchemyError, StorageInternalError) as error:
            raise RunFailed(f"{self.url}: the study's storage fails ({_line(error)}); go on with --resume") from None

    @property
    def total(self) -> int | None:
        return None if self.sweep.trials is None else self.sweep.trials * len(self.pairs)

    def __str__(self) -> str:
        name = {"tpe": "TPE", "asha": "successive halving"}[self.sweep.search or ""]
        rungs = ", ".join(str(rung) for rung in self.rungs if rung is not None)
        halving = f", compared after {rungs} of {self.base.train.epochs} epochs" if rungs else ""
        shared = f", shared in {self.url}" if self.sweep.storage else ""
        return f"{name} by Optuna{halving}{shared}"

    def take(self) -> Job | None:
        # What ended is kept by the sweep by now; told the other way round, a kill between would lose its results.
        with self._reached():
            self._tell()
            while not self.waiting:
                if late(self.deadline) or not self._ask():
                    return None
        return self.waiting.popleft()

    def tell(self, job: Job, answer: Answer) -> list[Outcome]:
        number = self.place[job.trial.name]
        entry = self.open[number]
        entry.answers[job.trial.name] = job.trial, answer
        with self._reached():
            return self._rung(number, entry) if len(entry.answers) == len(self.pairs) else []

    def _tell(self) -> None:
        while self.closing:
            self.study.tell(*self.closing.pop())

    def _rung(self, number: int, entry: _Open) -> list[Outcome]:
        """Every seed has come as far as the rung: on to the next one, or the end of the setting."""
        from optuna.trial import TrialState

        answers = list(entry.answers.values())
        values = [value_of(answer.get("result"), self.sweep.metric) for _, answer in answers]
        ended = [
            Outcome(t, a["status"], a.get("result"), a.get("error")) for t, a in answers if a["status"] != "paused"
        ]
        paused = [(trial, answer) for trial, answer in answers if answer["status"] == "paused"]
        until = self.rungs[entry.rung]
        if any(value is None for value in values):  # a seed has failed: the setting is no good
            cut = [Outcome(trial, "pruned", answer["result"]) for trial, answer in paused]
            self._close(number, None, TrialState.FAIL)
            return [*ended, *cut]
        mean = sum(value for value in values if value is not None) / len(values)
        if not paused:
            self._close(number, mean, TrialState.COMPLETE)
            return ended
        assert until is not None
        entry.trial.report(mean, until)
        if entry.trial.should_prune():
            self._close(number, None, TrialState.PRUNED)
            return [*ended, *(Outcome(trial, "pruned", answer["result"]) for trial, answer in paused)]
        entry.rung += 1
        entry.answers = {name: found for name, found in entry.answers.items() if found[1]["status"] != "paused"}
        self.waiting += [Job(trial, self.rungs[entry.rung]) for trial, _ in paused]
        return []

    def _close(self, number: int, value: float | None, state: optuna.trial.TrialState) -> None:
        entry = self.open.pop(number)
        self.closing += [(trial, value, state) for trial in (entry.trial, *entry.twins)]

    def _ask(self) -> bool:
        """Begin another setting; whether there was one to begin."""
        from optuna.trial import TrialState

        if self.sweep.trials is not None and self._count() >= self.sweep.trials:
            return False
        trial = self.study.ask()
        trial.set_user_attr(OWNER, self.owner)
        if self.sweep.trials is not None and self._count(trial.number) >= self.sweep.trials:
            trial.set_user_attr(SURPLUS, True)  # another process was faster with the last one
            self.study.tell(trial, state=TrialState.FAIL)
            return False
        self._begin(trial, 0)
        return True

    def _count(self, before: int | None = None) -> int:
        """How many settings the study has, of all who share it; only those begun `before` this number."""
        trials = self.study.get_trials(deepcopy=False)
        return sum(SURPLUS not in t.user_attrs for t in trials if before is None or t.number < before)

    def _begin(self, trial: optuna.Trial, rung: int) -> None:
        setting = {key: _suggest(trial, key, found) for key, found in sorted(self.sweep.ranges.items())}
        for entry in self.open.values():
            if entry.setting == setting:  # nothing is run twice
                entry.twins.append(trial)
                return
        entry = self.open[trial.number] = _Open(trial, setting, rung)
        for seed, fold in self.pairs:
            run = Trial(setting, seed, fold=fold)
            self.place[run.name] = trial.number
            if (known := self.done.get(run.name)) is None:
                self.waiting.append(Job(run, self.rungs[rung]))
            else:
                entry.answers[run.name] = run, {"status": known.status, "result": known.result, "error": known.error}
        if len(entry.answers) == len(self.pairs):
            self._again(trial.number, entry)

    def _again(self, number: int, entry: _Open) -> None:
        """A setting that was run before: it is not run again, and Optuna is told what came of it then."""
        from optuna.trial import TrialState

        answers = [answer for _, answer in entry.answers.values()]
        values = [value_of(answer["result"], self.sweep.metric) for answer in answers]
        statuses = {answer["status"] for answer in answers}
        if "failed" in statuses or None in values:
            self._close(number, None, TrialState.FAIL)
        elif "pruned" in statuses:
            self._close(number, None, TrialState.PRUNED)
        else:
            self._close(number, sum(value for value in values if value is not None) / len(values), TrialState.COMPLETE)
        self._tell()

    def _cut_short(self) -> list[optuna.trial.FrozenTrial]:
        """The settings that this sweep was running when it ended."""
        from datetime import datetime

        from optuna.trial import TrialState

        found = []
        for trial in self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            owner, began = trial.user_attrs.get(OWNER), trial.datetime_start
            nobody = owner is None and (
                not self.sweep.storage or began is None or (datetime.now() - began).total_seconds() > ORPHANED
            )
            if owner == self.owner or nobody:
                found.append(trial)
        return found

    def _go_on(self, left: optuna.trial.FrozenTrial) -> None:
        import optuna

        trial = optuna.trial.Trial(self.study, left._trial_id)
        trial.set_user_attr(OWNER, self.owner)
        passed = [step for step in left.intermediate_values if step in self.rungs]
        self._begin(trial, max(0, len(passed) - 1))  # whether it went on from the last one is asked again


def _suggest(trial: optuna.Trial, key: str, found: Range) -> Any:
    """A value of a range; what was suggested for this trial before stays."""
    if found.choice is not None:
        names = [json.dumps(value) for value in found.choice]  # Optuna keeps plain values only
        return found.choice[names.index(trial.suggest_categorical(key, names))]
    if found.integer is not None:
        return trial.suggest_int(key, *found.integer)
    low, high = found.log or found.uniform or (0.0, 1.0)
    return trial.suggest_float(key, low, high, log=found.log is not None)


def _storage(url: str) -> Any:
    """Optuna's storage at a URL; a SQLite file that is not there yet appears with all its tables or not at all.

    SQLite commits each statement on tables by itself, and Optuna, the next time, looks for tables but not for their
    indices: a process killed before a unique index would leave a file that takes many studies of one name.
    """
    from optuna.storages import RDBStorage, get_storage
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import IntegrityError, OperationalError

    waiting = {"connect_args": {"timeout": BUSY}} if url.startswith("sqlite") else None
    name = make_url(url).database if waiting else None
    if name and not name.startswith((":", "file:")) and Path(name).parent.is_dir() and not Path(name).exists():
        files.write_once(name, _empty())
    for left in reversed(range(TRIES)):
        try:
            return get_storage(RDBStorage(url, waiting) if waiting else url)
        except (IntegrityError, OperationalError) as error:
            # Two processes that make the tables of a new study at once: the slower one finds them the next time.
            if not left or not ("already exists" in str(error) or "UNIQUE" in str(error)):
                raise
            time.sleep(0.1)
    raise AssertionError


def _empty() -> bytes:
    """A SQLite file with Optuna's tables and no study."""
    from optuna.storages import RDBStorage

    with TemporaryDirectory() as folder:
        RDBStorage(f"sqlite:///{folder}/study.db").engine.dispose()
        return Path(folder, "study.db").read_bytes()


def without_password(url: str) -> str:
    """A URL as it may be shown."""
    account, at, place = url.rpartition("@")
    scheme, mark, name = account.partition("://")
    return f"{scheme}{mark}{name.partition(':')[0]}{at}{place}" if at and mark else url


def _free(key: str) -> bool:
    return any(key == free or key.startswith(f"{free}.") for free in FREE)


def _line(error: BaseException) -> str:
    error = error.__cause__ or error  # Optuna's own words are the same for whatever the database's driver raises
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
