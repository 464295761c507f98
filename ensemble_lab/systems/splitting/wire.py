"""What client and stage say to each other: a header of 48 bytes, and one raw buffer.

Nothing here is a pickle: a header has numbers in fixed places, a buffer holds hidden states row by
row, and only the greeting is JSON. So the bytes of a message are known before it is sent: those of
the header, and rows x width x itemsize.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

from ensemble_lab.core.errors import shown

if TYPE_CHECKING:
    import torch

MAGIC = b"SPL1"
HELLO, READY, STEP, STATES, REFUSED, FORGOTTEN = range(1, 7)  # kinds of messages
_LAYOUT = struct.Struct("<4sBBHIIIIIIdd")
HEADER = _LAYOUT.size  # 48 bytes
DTYPES = ("float64", "float32", "float16", "bfloat16")
SCALE = 2  # bytes of the scale of a row in 8 bits, a bfloat16


class WireError(ValueError):
    """A message that is not in this form."""


class Header(NamedTuple):
    """The numbers before a buffer."""

    kind: int
    dtype: int = 0  # place in `DTYPES`, of the states before they are rounded
    bits: int = 0  # 8: the rows are bytes with a scale each; 0: they are in `dtype`
    text: int = 0  # the text that the tokens belong to; a stage has a cache for each
    call: int = 0  # a reply has its request's number
    position: int = 0  # tokens of the text before these
    rows: int = 0  # tokens in the buffer
    width: int = 0  # numbers a token
    want: int = 0  # how many of the last tokens' states to send back
    due: float = 0.0  # when an imitated link delivers the message, on the monotonic clock
    seconds: float = 0.0  # computed for it, in a reply

    def pack(self) -> bytes:
        """The 48 bytes."""
        return _LAYOUT.pack(MAGIC, *self)

    @property
    def size(self) -> int:
        """Bytes of the buffer that must follow, if it holds states."""
        row = self.width + SCALE if self.bits == 8 else self.width * itemsize(self.dtype)
        return self.rows * row


def unpack(frames: list) -> tuple[Header, memoryview]:
    """Header and buffer of the frames of a message.

    Raises
    ------
    WireError
        There are not two frames, or the first is no header.
    """
    if len(frames) != 2 or len(frames[0]) != HEADER:
        raise WireError(f"{len(frames)} frames of {[len(one) for one in frames][:4]} bytes")
    magic, *numbers = _LAYOUT.unpack(frames[0])
    if magic != MAGIC:
        raise WireError(f"a message that begins with {shown(magic)}")
    return Header(*numbers), memoryview(frames[1])


def itemsize(code: int) -> int:
    """Bytes a number of the dtype with this place in `DTYPES`."""
    if code >= len(DTYPES):
        raise WireError(f"dtype number {code}")
    return (8, 4, 2, 2)[code]


def states_to_bytes(states: torch.Tensor, bits: int | None) -> bytes:
    """The buffer of states (n, D): raw numbers, or for 8 bits the scales (n,) and then the rows."""
    from ensemble_lab.systems.splitting.cuts import round_rows

    if bits is None:
        return _raw(states)
    scales, whole = round_rows(states)  # (n,) bfloat16, (n, D) int8
    return _raw(scales) + _raw(whole)


def bytes_to_states(header: Header, buffer) -> torch.Tensor:
    """States (n, D) of a buffer.

    Raises
    ------
    WireError
        The buffer is longer or shorter than the header says.
    """
    import torch

    if len(buffer) != header.size:
        raise WireError(f"{len(buffer):,} bytes where the header says {header.size:,}")
    kind = getattr(torch, DTYPES[header.dtype])
    raw = torch.frombuffer(bytearray(buffer), dtype=torch.uint8) if len(buffer) else None
    if raw is None:
        return torch.empty(0, header.width, dtype=kind)
    if header.bits != 8:
        return raw.view(kind).view(header.rows, header.width)
    cut = SCALE * header.rows
    scales = raw[:cut].view(torch.bfloat16)
    whole = raw[cut:].view(torch.int8).view(header.rows, header.width)
    return (whole.float() * scales.float()[:, None]).to(kind)


def joined(pieces: list[bytes], width: int, bits: int | None) -> bytes:
    """One buffer of all the rows of several."""
    if bits is None:
        return b"".join(pieces)
    cuts = [SCALE * (len(one) // (width + SCALE)) for one in pieces]
    scales = [one[:cut] for one, cut in zip(pieces, cuts, strict=True)]
    return b"".join(scales + [one[cut:] for one, cut in zip(pieces, cuts, strict=True)])


def _raw(tensor: torch.Tensor) -> bytes:
    import torch

    return tensor.contiguous().view(torch.uint8).numpy().tobytes()
