"""Runs the checks of one client and prints a line of JSON for each.

A check is a function whose name begins with check_; it is given the address of
the server and a topic name of its own, and fails by an exception.
"""

import json
import logging
import sys
import time
import traceback

CODECS = ["none", "gzip", "snappy", "lz4", "zstd"]


# What kafka-python logs of itself where the machine is busy.
OF_ITSELF = "blocking the event loop"


class Complaints(logging.Handler):
    """Keeps what a client logs of the server as a warning or worse."""

    def __init__(self):
        super().__init__(logging.WARNING)
        self.lines = []

    def emit(self, record):
        if OF_ITSELF not in record.getMessage():
            self.lines.append(f"{record.name}: {record.getMessage()}")


def texts(label, n):
    """Returns n different values that compress well."""
    return [f"{label} record {i} {'log line ' * (i % 40)}".encode() for i in range(n)]


def equal(got, want):
    if got != want:
        raise AssertionError(f"{str(got)[:2000]}, want {str(want)[:2000]}")


def run(client, version, module):
    """Runs every check of the module, and exits with 1 if one has failed."""
    address = sys.argv[1]
    complaints = Complaints()
    logging.getLogger().addHandler(complaints)
    failed = False
    for name, check in sorted(vars(module).items()):
        if not name.startswith("check_"):
            continue
        said = ""
        try:
            check(address, f"{client}-{name}-{time.time_ns()}")
            if complaints.lines:
                said = "\n".join(["it has logged:"] + complaints.lines)
        except Exception:
            said = traceback.format_exc()
        complaints.lines.clear()
        failed = failed or said != ""
        print(json.dumps({"client": client, "version": version, "what": module.WHAT, "test": name, "failure": said}), flush=True)
    sys.exit(1 if failed else 0)
