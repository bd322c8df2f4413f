"""A terminal in which a program runs, and what a user would see on its screen.

The program has a pseudo-terminal as its controlling terminal, so that the keys of a user do what
they do: Ctrl-C is echoed and becomes SIGINT. python3-pyte emulates the screen.
"""

import errno
import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time

import pyte

DEADLINE = 300  # seconds; a limit for hangs, also on a busy machine
CTRL_C = b"\x03"


class Terminal:
    def __init__(self, columns, rows=24):
        self._screen = pyte.Screen(columns, rows)
        self._stream = pyte.ByteStream(self._screen)
        self._master, self._slave = pty.openpty()
        self._process = None
        self.output = b""  # everything that was written to it
        self._set_size(columns, rows)

    def close(self):
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        for descriptor in (self._master, self._slave):
            if descriptor is not None:
                os.close(descriptor)
        self._master = self._slave = None

    # The program

    def run(self, command, environment, directory):
        """Starts a program with the terminal as stdin, stdout and stderr."""
        def take_terminal():
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)

        self._process = subprocess.Popen(
            command, env=environment, cwd=directory, stdin=self._slave, stdout=self._slave,
            stderr=self._slave, start_new_session=True, preexec_fn=take_terminal)
        os.close(self._slave)
        self._slave = None

    def press(self, keys):
        os.write(self._master, keys)

    def send(self, how):
        self._process.send_signal(how)

    def resize(self, columns, rows=24):
        self._set_size(columns, rows)
        self._screen.resize(rows, columns)

    def _set_size(self, columns, rows):
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    # The screen

    @property
    def lines(self):
        """What is on the screen, without the empty lines at its end."""
        return [line.rstrip() for line in "\n".join(self._screen.display).rstrip().split("\n")]

    @property
    def text(self):
        return "\n".join(self.lines)

    @property
    def is_clean(self):
        """True if a shell's prompt would be alone in its line, below the text, and visible."""
        cursor = self._screen.cursor
        below = [line for line in self._screen.display[cursor.y:] if line.strip()]
        return cursor.x == 0 and not below and not cursor.hidden

    def until(self, condition, what):
        """Reads until `condition` is true. Fails at once if the program has ended before."""
        end = time.monotonic() + DEADLINE
        while not condition():
            if time.monotonic() > end:
                raise AssertionError(f"not within {DEADLINE} s: {what}\n{self.text}")
            if not self._read(0.1):
                if condition():
                    return
                raise AssertionError(f"the program ended before: {what}\n{self.text}")

    def until_end(self):
        """The exit status, as a shell would show it."""
        end = time.monotonic() + DEADLINE
        while self._read(0.1):
            if time.monotonic() > end:
                self._process.send_signal(signal.SIGKILL)
                raise AssertionError(f"the program did not end within {DEADLINE} s\n{self.text}")
        code = self._process.wait(DEADLINE)
        return 128 - code if code < 0 else code

    def _read(self, seconds):
        """Feeds the screen with what was written. False at the end."""
        if not select.select([self._master], [], [], seconds)[0]:
            return True
        try:
            written = os.read(self._master, 1 << 16)
        except OSError as error:
            if error.errno != errno.EIO:  # the last descriptor of the other end was closed
                raise
            return False
        self.output += written
        self._stream.feed(written)
        return bool(written)
