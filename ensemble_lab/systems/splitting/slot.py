"""Some layers, and the process that computes them now."""

from __future__ import annotations

from ensemble_lab.systems.splitting.connection import Connection
from ensemble_lab.systems.splitting.failures import StageFailed
from ensemble_lab.systems.splitting.link import Link
from ensemble_lab.systems.splitting.process import StageProcess

HELLO_TIME = 60.0  # seconds to read weights and hash them


class Slot:
    """A process that was greeted, and the connection to it."""

    def __init__(self, process: StageProcess, connection: Connection):
        self.process, self.connection = process, connection

    def end(self) -> None:
        """Close the connection and end the process."""
        self.connection.close()
        self.process.kill()


def greeted(
    process: StageProcess,
    link: Link | None,
    ask: dict,
    right: dict,
    patience: float,
    timeout: float,
) -> Slot:
    """A process that was asked for some layers, if it has the `right` ones; else it is ended.

    Raises
    ------
    StageFailed
        It did not start, gives no answer, or has others.
    """
    connection = None
    try:
        connection = Connection(process.address(), link, patience, timeout)
        check_hello(connection.hello(ask, HELLO_TIME), right)
    except BaseException:
        if connection:
            connection.close()
        process.kill()
        raise
    return Slot(process, connection)


def right_hello(shape: dict, digests: list[str], first: int, last: int) -> dict:
    """What a stage says at hello that has layers `first` to `last` (not included) of a model."""
    from ensemble_lab.systems.splitting.layers import combined

    return {
        "first": first,
        "last": last,
        "width": shape["width"],
        "dtype": shape["dtype"],
        "checksum": combined(shape, digests[first:last]),
    }


def check_hello(told: dict, right: dict) -> None:
    """Raise `StageFailed` where a stage has other layers, shapes or weights than are asked for."""
    for name, value in right.items():
        if told.get(name) != value:
            kind = "weights" if name == "checksum" else name
            raise StageFailed(
                f"a stage has other {kind}: {str(told.get(name))[:16]} instead of {str(value)[:16]}"
            )
