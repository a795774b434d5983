"""Serve payments: `python -m examples.payments_service`, told where SpiceDB is by SPICEDB_*."""

import os
import signal
from concurrent.futures import ThreadPoolExecutor

import grpc

from examples.payments_service.access import Access, spicedb
from examples.payments_service.payments_pb2_grpc import add_PaymentsServicer_to_server
from examples.payments_service.service import Payments

STOP = (signal.SIGTERM, signal.SIGINT)
GRACE_SECONDS = 2.0


def main() -> None:
    """Serve until SIGTERM or Ctrl-C; calls under way are finished."""
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP)  # before there are threads, which inherit it
    with spicedb() as channel:
        server = grpc.server(ThreadPoolExecutor())
        access = Access(channel, os.environ["SPICEDB_PRESHARED_KEY"])
        add_PaymentsServicer_to_server(Payments(access), server)
        # in front of it stands the product's own login, which alone may say who is calling
        port = server.add_insecure_port(f"127.0.0.1:{os.environ.get('PORT', '0')}")
        server.start()
        print(f"payments on 127.0.0.1:{port}", flush=True)  # noqa: T201 - what one starts it for
        signal.sigwait(STOP)
        server.stop(GRACE_SECONDS).wait()


if __name__ == "__main__":
    main()
