"""What the programs that are one member of a consumer group have in common.

compat/go/script_members_test.go starts them with the address of the server and a
JSON object of options, tells them what to do by lines to standard input and reads
what they have done, a line of JSON for each thing, from standard output:

    client     once: the client and its version
    assigned   partitions: all that the member has now
    revoked    partitions that were taken from it
    read       a record, by partition, offset and value
    committed  all that was read is committed: "commit" was told
    complaint  text: what the client has logged as a warning or worse

The end of standard input tells it to leave the group and to end.
"""

import json
import logging
import queue
import sys
import threading

import checks


def say(event, **what):
    # One write, since several threads and other members of a pipe may speak.
    sys.stdout.write(json.dumps({"event": event, **what}) + "\n")
    sys.stdout.flush()


class Complain(logging.Handler):
    """Says what a client logs of the server as a warning or worse."""

    def __init__(self):
        super().__init__(logging.WARNING)

    def emit(self, record):
        if checks.OF_ITSELF not in record.getMessage():
            say("complaint", text=f"{record.name}: {self.format(record)}")  # with the exception, if there is one


class Member:
    """Keeps what a member has, and how far it has read."""

    def __init__(self, client, version):
        self.address = sys.argv[1]
        options = json.loads(sys.argv[2])
        self.group, self.topic = options["group"], options["topic"]
        self.assignor, self.instance = options["assignor"], options["instance"]
        self.session_ms = options["sessionMs"]
        self.heartbeat_ms = 200
        self.has = set()
        self.next = {}  # the offset to commit, of each partition that was read since it was committed
        self.commands = queue.SimpleQueue()
        logging.getLogger().addHandler(Complain())
        say("client", client=client, version=version)
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self):
        for line in sys.stdin:
            self.commands.put(line.strip())
        self.commands.put("leave")

    def command(self):
        """Returns what it was told to do, "" if that is nothing new."""
        try:
            return self.commands.get_nowait()
        except queue.Empty:
            return ""

    def assigned(self, partitions):
        self.has.update(partitions)
        say("assigned", partitions=sorted(self.has))

    def revoked(self, partitions):
        """To be called after what was read of them is committed."""
        self.has.difference_update(partitions)
        say("revoked", partitions=sorted(partitions))

    def read(self, partition, offset, value):
        self.next[partition] = offset + 1
        say("read", partition=partition, offset=offset, value=value.decode())

    def uncommitted(self, partitions):
        """Returns what to commit for partitions; the next time, it is committed."""
        return {p: self.next.pop(p) for p in partitions if p in self.next}
