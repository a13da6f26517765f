"""What the charts show: data only. ``figures`` draws them."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Bar:
    """A throughput row: median in texts per second with its interval; ``ours`` is the device being
    judged.
    """

    name: str
    detail: str
    value: float
    low: float
    high: float
    ours: bool


@dataclass(frozen=True)
class Bars:
    """Linear bars from zero with whiskers."""

    bars: list[Bar]
    heading: str
    title: str
    description: str
    kind: str = "bars"


@dataclass(frozen=True)
class Rung:
    """A rung of the cause ladder: RMSE between the device and a CPU run, and the share of the error
    it explains.
    """

    name: str
    rmse: float
    share: float | None
    nearest: bool


@dataclass(frozen=True)
class Ladder:
    """Dots with stems on a log axis, and a linear bar for the share."""

    rungs: list[Rung]
    heading: str
    share_heading: str
    none: str
    title: str
    description: str
    language: str
    kind: str = "ladder"


@dataclass(frozen=True)
class Heat:
    """Error ratio per module (rows) and layer (columns); None is no such call, a text one that was
    not covered. ``marked`` cells are where the error enters.
    """

    columns: list[str]
    rows: list[tuple[str, list[float | str | None]]]
    marked: list[tuple[int, int]]
    heading: str
    key: str
    mark: str
    uncovered: str
    title: str
    description: str
    kind: str = "heat"


@dataclass(frozen=True)
class Growth:
    """Error ratio of each state on a log axis, from the first to the last."""

    states: list[tuple[str, float]]
    limit: float
    heading: str
    not_finite: str
    title: str
    description: str
    kind: str = "growth"


@dataclass(frozen=True)
class Quantile:
    """Errors of device and reference at one place in their order, and how often the one goes into
    the other.
    """

    name: str
    candidate: float
    reference: float
    ratio: str


@dataclass(frozen=True)
class Tail:
    """Errors from the median to the largest, device beside reference, on a log axis. ``strong``:
    the last row is out of proportion.
    """

    rows: list[Quantile]
    strong: bool
    heading: str
    ratio_heading: str
    title: str
    description: str
    kind: str = "tail"


@dataclass(frozen=True)
class Margins:
    """Margin against error of decisions, both log. ``bound`` is what the accepted arithmetic can
    move, if known.
    """

    points: list[tuple[float, float]]
    explained: list[tuple[float, float]]
    unexplained: list[tuple[float, float]]
    bound: float | None
    x: str
    y: str
    possible: str
    impossible: str
    title: str
    description: str
    kind: str = "margins"
