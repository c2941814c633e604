"""Progress of one task: a bar on a terminal, plain lines elsewhere."""

import os
import sys
import time

_LINE_SECONDS = 10.0


def _clock(seconds):
    """1:02:03 or 02:03."""
    minutes, seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return (
        f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes:02}:{seconds:02}"
    )


def _values(values):
    """name 1.234 for each value, of one width so that the line stands still."""
    shown = []
    for name, value in values.items():
        text = value if isinstance(value, str) else f"{float(value):#.4g}"
        shown.append(f"{name} {text:<7}")
    return " ".join(shown)


def _bar_width(stream):
    """tqdm's options: a terminal that says its width is 0 would show nothing."""
    try:
        known = os.get_terminal_size(stream.fileno()).columns > 0
    except (OSError, ValueError):
        known = False
    return {"dynamic_ncols": True} if known else {"ncols": 100, "nrows": 24}


class Progress:
    """Progress of one task: a bar on a terminal, plain lines elsewhere.

    Args:
      description: what is done, such as `gan`.
      total: steps of the whole task.
      initial: steps done by earlier runs; the rate does not count them.
      unit: what a step is.
      enabled: False shows nothing (all processes but the first).
      interval: seconds between plain lines.
      stream: where to; None takes standard error.
    """

    def __init__(
        self,
        description,
        total,
        *,
        initial=0,
        unit="step",
        enabled=True,
        interval=_LINE_SECONDS,
        stream=None,
    ):
        self._description, self._total, self._unit = description, total, unit
        self._stream = sys.stderr if stream is None else stream
        self._enabled, self._interval = enabled, interval
        self._done, self._shown, self._postfix = initial, None, {}
        self._start = self._last = (time.monotonic(), initial)
        self._bar = None
        if enabled and self._stream.isatty():
            import tqdm

            self._bar = tqdm.tqdm(
                desc=description,
                total=total,
                initial=initial,
                unit=f" {unit}",
                file=self._stream,
                **_bar_width(self._stream),
                mininterval=0.2,
                # The rate of the last seconds: the first step compiles.
                smoothing=0.1,
                bar_format="{desc} {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt}"
                " {rate_fmt}, {remaining} left{postfix}",
            )

    def update(self, count=1, **values):
        """`count` more steps are done; `values` are shown beside the bar."""
        self._done += count
        self._postfix.update(values)
        if self._bar is not None:
            if values:
                self._bar.set_postfix_str(_values(self._postfix), refresh=False)
            self._bar.update(count)
        elif self._enabled:
            now = time.monotonic()
            if now - self._last[0] >= self._interval:
                self._print_line(now)

    def _print_line(self, now):
        """One plain line: position, rate since the last line, time left."""
        seconds, steps = now - self._last[0], self._done - self._last[1]
        rate = steps / seconds if seconds > 0 else 0.0
        share = 100 * self._done / max(self._total, 1)
        where = f"{self._done}/{self._total} {self._unit}s ({share:.0f} %)"
        parts = [f"{self._description}: {where}"]
        if rate:
            pace = f"{rate:.1f}/s" if rate >= 1 else f"{1 / rate:.1f} s each"
            left = _clock((self._total - self._done) / rate)
            parts.append(f"{pace}, {left} left")
        if self._postfix:
            parts.append(_values(self._postfix).rstrip())
        print(" | ".join(parts), file=self._stream, flush=True)
        self._last, self._shown = (now, self._done), self._done

    def note(self, text):
        """Prints a line of its own without breaking the bar."""
        if self._bar is not None:
            self._bar.write(text, file=self._stream)
        elif self._enabled:
            print(text, file=self._stream, flush=True)

    def close(self):
        """Shows the last state and how long it took."""
        if not self._enabled:
            return
        self._enabled = False
        if self._bar is not None:
            self._bar.close()
            self._bar = None
            return
        begin, initial = self._start
        if self._shown != self._done and self._done != initial:
            self._last = self._start
            self._print_line(time.monotonic())
        took = _clock(time.monotonic() - begin)
        print(f"{self._description}: took {took}", file=self._stream, flush=True)

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.close()


def counted(items, total, description, *, unit="image"):
    """Yields `items` under a `Progress`."""
    with Progress(description, total, unit=unit) as progress:
        for item in items:
            yield item
            progress.update()
