"""Standard output and error that neither a closed pipe nor an encoding can break."""

import io
import os
import sys
from typing import Any

from teamaccess.common.text import ESCAPE


def harden_streams() -> None:
    """Replace `sys.stdout` and `sys.stderr`, so that no command fails or changes its answer by printing.

    Characters that the terminal's encoding lacks are escaped. What a closed pipe no longer takes is
    dropped, and the command goes on: its exit code is its answer, and a change is completed.
    """
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # the caller closed it
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: PTH123, SIM115
        elif stream is getattr(sys, f"__{name}__"):  # otherwise another program reads the output
            setattr(sys, name, _hardened(stream))


def _hardened(stream: Any) -> io.TextIOWrapper:
    stream.flush()
    return io.TextIOWrapper(
        io.BufferedWriter(_Output(stream.fileno(), "w", closefd=False)),
        encoding=stream.encoding,
        errors=ESCAPE,
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )


class _Output(io.FileIO):
    """A file that accepts everything once it has failed."""

    def write(self, data: Any, /) -> int:
        """Write the bytes, or drop them if the pipe is closed. Raises OSError for other failures."""
        try:
            return super().write(data)
        except OSError as failure:
            # Python writes what is left at its exit, and would replace the exit code if that failed too
            nothing = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nothing, self.fileno())
            os.close(nothing)
            if not isinstance(failure, BrokenPipeError):
                raise
            return memoryview(data).nbytes
