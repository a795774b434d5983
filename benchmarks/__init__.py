"""The cost of operations, and of their bare parts."""

import os

# gRPC reads it when it is loaded. Without it, each process that a benchmark starts would print a warning
# about forking between the lines of the progress. The children run other programs and use no gRPC.
os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "false"
