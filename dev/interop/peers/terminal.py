"""Runs a command in a pseudo-terminal, and acts as the person in front of it.

Usage: terminal.py STEPS COMMAND..., where STEPS is JSON: [[wait for, type], ...].
Prints all that the terminal was sent, and ends with the code of the command.
"""

import json
import os
import pty
import select
import sys
import time

steps = json.loads(sys.argv[1])
pid, terminal = pty.fork()
if pid == 0:
    os.execvp(sys.argv[2], sys.argv[2:])

screen = b""
at = 0
deadline = time.time() + 30


def read():
    """Reads what there is; False at the end."""
    global screen
    if not select.select([terminal], [], [], max(0, deadline - time.time()))[0]:
        sys.exit("In vain: " + repr(screen))
    try:
        data = os.read(terminal, 65536)
    except OSError:  # Linux says so of the end
        return False
    screen += data
    return len(data) > 0


for wanted, typed in steps:
    while screen.find(wanted.encode(), at) == -1:
        if not read():
            sys.exit("Ended without %r: %r" % (wanted, screen))
    at = screen.find(wanted.encode(), at) + len(wanted.encode())
    os.write(terminal, typed.encode())
while read():
    pass
sys.stdout.buffer.write(screen)
sys.stdout.flush()
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
