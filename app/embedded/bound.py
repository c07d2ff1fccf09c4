"""Runs a command whose life is bound to its supervisor's: `bound.py SUPERVISOR SIGNAL UID GID COMMAND...`.

Started by path as a program of its own, because what it does to itself may not be done between fork and exec of a
process that has threads. It becomes the command, so the supervisor sees one process. It may import nothing of the
product and must start in milliseconds.

When the supervisor dies, also by SIGKILL, Linux sends SIGNAL to the command (prctl(2), PR_SET_PDEATHSIG). Elsewhere
there is no such thing; the servers' pid files repair that at the next start.
"""

import ctypes
import os
import sys

PR_SET_PDEATHSIG = 1


def _become(uid: int, gid: int) -> None:
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)


def main() -> None:
    """Drop privileges if asked to, ask for the signal, become the command."""
    supervisor, signal_number, uid, gid = (int(value) for value in sys.argv[1:5])
    command = sys.argv[5:]
    if uid != os.getuid():
        _become(uid, gid)
    if sys.platform == "linux":
        # After the change of user, which would clear it again.
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal_number)
    if os.getppid() != supervisor:
        sys.exit("the supervisor is gone")
    os.execv(command[0], command)  # noqa: S606  # the supervisor's own argument list, no shell involved


if __name__ == "__main__":
    main()
