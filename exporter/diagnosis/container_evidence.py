"""What the kubelet reports of containers, in sentences for people. Pure."""

from datetime import UTC, datetime

from exporter.model import CauseClass, ContainerState, Lifecycle, PodContainer

_UNITS = ((86400, "days"), (3600, "h"), (60, "min"))
_AT_LEAST = 2


def duration(seconds: float) -> str:
    """A length of time in the largest unit of which there are two: "12 min"."""
    for size, unit in _UNITS:
        if seconds >= _AT_LEAST * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def since(moment: float | None, now: float) -> str:
    """How long something has lasted and since when: "for 12 min, since ..."; empty if unknown."""
    if moment is None:
        return ""
    try:
        date = datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (ValueError, OverflowError, OSError):
        return ""
    return f" for {duration(max(0.0, now - moment))}, since {date}"


def last_run(container: PodContainer, now: float) -> tuple[str, ...]:
    """How the last run of a container ended, how long it was and when; nothing for none."""
    last = container.last_run
    if last is None:
        return ()
    sentence = f"the last run of {container.name} ended: {last}"
    if last.started and last.finished is not None:
        sentence += f", after {duration(max(0.0, last.finished - last.started))}"
    if last.finished is not None:
        sentence += f", {duration(max(0.0, now - last.finished))} ago"
    return (sentence,)


def failures(lifecycle: Lifecycle, now: float, cause_class: CauseClass) -> tuple[str, ...]:
    """The recent failures of containers that explain a cause of this class."""
    proxy = lifecycle.proxy_container
    match cause_class:
        case CauseClass.FAULT | CauseClass.TRANSITION if proxy is not None:
            return last_run(proxy, now) if proxy.failed_recently(now) else ()
        case CauseClass.APPLICATION:
            return tuple(
                sentence
                for row in lifecycle.others
                if row.is_failing or row.failed_recently(now)
                for sentence in _failure(row, now)
            )
    return ()


def _failure(container: PodContainer, now: float) -> tuple[str, ...]:
    """Its state, where it does not run, and its last run."""
    if container.state is ContainerState.RUNNING:
        return last_run(container, now)
    before = last_run(container, now) if container.last else ()
    return (f"the container {container.name} {container.describe()}", *before)
