"""Serve payments: `python -m examples.payments_service`. SPICEDB_* name the SpiceDB to ask."""

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
    """Serve until SIGTERM or Ctrl-C, and finish the calls that have begun."""
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP)  # before the threads start, which inherit it
    with spicedb() as channel:
        server = grpc.server(ThreadPoolExecutor())
        access = Access(channel, os.environ["SPICEDB_PRESHARED_KEY"])
        add_PaymentsServicer_to_server(Payments(access), server)
        # only this machine can connect: the product's own login must be in front of the service
        port = server.add_insecure_port(f"127.0.0.1:{os.environ.get('PORT', '0')}")
        server.start()
        print(f"payments on 127.0.0.1:{port}", flush=True)  # noqa: T201 - shows the port
        signal.sigwait(STOP)
        server.stop(GRACE_SECONDS).wait()


if __name__ == "__main__":
    main()
