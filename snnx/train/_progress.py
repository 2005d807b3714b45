"""What a person sees while training goes on."""

import time
from typing import Any

from snnx.train._programs import Compilation


def duration(seconds: float) -> str:
    """Seconds as `0:07`, `12:34` or `1:02:03`."""
    minutes, rest = divmod(int(seconds + 0.5), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def sentence(record: dict[str, Any]) -> str:
    """One epoch or generation as a line: losses and accuracies, or values."""
    if "value" in record:
        parts = [f"{name} {record[name]:#.4g}" for name in ("value", "mean", "best")]
        return "  ".join([*parts, f"{record['failed']} failed"] if record["failed"] else parts)
    parts = [f"loss {record['loss']:#.4g}"]
    if record.get("accuracy") is not None:
        parts.append(f"acc {100 * record['accuracy']:.1f} %")
    if record.get("validation_loss") is not None:
        parts.append(f"valid {record['validation_loss']:#.4g}")
    if record.get("validation_accuracy") is not None:
        parts.append(f"{100 * record['validation_accuracy']:.1f} %")
    return "  ".join(parts)


class Progress:
    """A bar on a terminal; elsewhere a line at the first epoch and at every tenth of them all, or every half minute;
    nothing if `shown` is False.

    **Arguments:** `total`: epochs, each of `steps` steps with `examples` examples; `done`: steps done before; `unit`: what
    is counted, an epoch or a generation; `rate`: what the speed is measured in.
    """

    def __init__(
        self,
        shown: bool,
        total: int,
        steps: int,
        examples: int,
        done: int = 0,
        unit: str = "epoch",
        rate: str = "samples",
    ):
        self.shown, self.total, self.steps, self.examples, self.done = shown, total, steps, examples, done
        self.unit, self.rate, self._last_shown = unit, rate, done // steps
        self._begin = self._last_line = time.perf_counter()
        self._bar = self._task = self._console = None
        self._first = True

    def __enter__(self) -> "Progress":
        if self.shown:
            import rich.console
            import rich.progress

            self._console = rich.console.Console(stderr=True, soft_wrap=True)
            if self._console.is_terminal:
                self._bar = rich.progress.Progress(
                    rich.progress.TextColumn("{task.description}"),
                    rich.progress.BarColumn(bar_width=24),
                    rich.progress.TextColumn("{task.fields[note]}"),
                    console=self._console,
                    transient=False,
                )
                self._task = self._bar.add_task(
                    "compiling", total=self.total * self.steps, completed=self.done, note=""
                )
                self._bar.start()
        return self

    def __exit__(self, *exception: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def compiled(self, compilation: Compilation) -> None:
        """The program is there; from here on the clock measures training."""
        self._begin = self._last_line = time.perf_counter()
        if self._console is not None and compilation.total > 0.5:
            self._console.print(str(compilation), highlight=False)

    def update(self, epoch: int, position: int, record: dict[str, Any] | None, last: bool = False) -> None:
        """Show how far training is; `record` holds the figures of the last finished epoch; `last`: it ends here."""
        if self._console is None:
            return
        steps = epoch * self.steps + position
        now = time.perf_counter()
        rate = (steps - self.done) / max(now - self._begin, 1e-9)
        if self._first and position == 0 and record and "samples_per_second" in record:
            # The first epoch ends with the compilation of the scoring; it counts neither here nor in what follows.
            rate = record["samples_per_second"] * self.steps / self.examples
            self._first, self._begin, self.done = False, now, steps
        last = last or epoch >= self.total
        left = (self.total * self.steps - steps) / rate if rate > 0 and not last else 0.0
        each = rate * self.examples / self.steps
        speed = f"{each:,.0f} {self.rate}/s" if each >= 10 else f"{each:.2g} {self.rate}/s"
        parts = [sentence(record)] if record else []
        shown = min(epoch + (1 if position else 0), self.total)
        if self._bar is not None and self._task is not None:
            note = "  ".join([*parts, speed, f"{duration(left)} left"])
            self._bar.update(self._task, description=f"{self.unit} {shown}/{self.total}", completed=steps, note=note)
        elif position == 0 and (last or self._is_due(epoch) or now - self._last_line > 30.0):
            self._last_line, self._last_shown = now, epoch
            parts += [speed] if last else [speed, f"{duration(left)} left"]
            self._console.print("  ".join([f"{self.unit} {shown}/{self.total}", *parts]), highlight=False)

    def _is_due(self, epoch: int) -> bool:
        """The first, the last, and the first from each tenth on: not every generation is seen."""
        tenth = -(-self.total // 10)
        return epoch in (1, self.total) or epoch // tenth > self._last_shown // tenth
