#!/usr/bin/python3
"""What a user sees of a bake on a terminal: the captured screen of a terminal emulator.

PREBAKE_SCREENS names a file to which the screens are added, to look at them.
"""

import contextlib
import os
import re
import signal
import socket
import threading

import harness
import oci_image
import registry as scripted
import terminal

MEBI = 1 << 20
COMMIT = b"containerd.services.snapshots.v1.Snapshots/Commit"
LEAST_COLUMNS, MOST_COLUMNS = 60, 120


class HeldUnpacking:
    """A socket in front of containerd that holds the first request to commit a snapshot, and all
    that follow it, until the gate opens."""

    def __init__(self, path, containerd):
        self.address, self._containerd, self.gate = str(path), containerd, scripted.Gate()
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(self.address)
        self._listener.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        self.gate.open()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                client = self._listener.accept()[0]
                server = socket.socket(socket.AF_UNIX)
                server.connect(self._containerd)
                for pair in ((client, server), (server, client)):
                    threading.Thread(target=self._forward, args=pair, daemon=True).start()

    def _forward(self, source, target):
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                if COMMIT in data:
                    self.gate.pass_through()
                target.sendall(data)
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


class ProgressTest(harness.SystemTest):
    def setUp(self):
        super().setUp()
        self.shown = contextlib.ExitStack()  # closes as a terminal does
        layers = [oci_image.layer([oci_image.file("base", os.urandom(3 * MEBI).hex())]),
                  oci_image.layer([oci_image.file("big", os.urandom(12 * MEBI))])]
        self.image, self.big = oci_image.image(layers), layers[1].blob
        self.reference = self.registry.serve("team/web-frontend", self.image, "1.27.3")
        self.other = oci_image.small_image(self.repository, size=5 * MEBI)
        self.other_reference = self.registry.serve("team/sidecar", self.other, "2.0")

    def bake_on(self, columns, *arguments, environment=None, rows=24):
        self.shown.close()
        shown = self.shown = terminal.Terminal(columns, rows)
        self.addCleanup(shown.close)
        command, given = self.command("bake", *arguments,
                                      environment={"TERM": "xterm-256color", **(environment or {})})
        shown.run(command, given, self.directory)
        return shown

    def paused(self, columns, *arguments, **options):
        """A bake of which 8 MiB of the big layer have come, and are on the screen."""
        gate = self.registry.gate()
        self.registry.on(self.big.digest, scripted.pause(gate, 8 * MEBI))
        shown = self.bake_on(columns, self.reference, *arguments, **options)
        self.until_drawn(shown, "  8.0 MiB of 12.0 MiB", "a part of the layer is shown")
        return shown, gate

    def assert_no_bars(self, shown):
        """Nothing of the live lines is left, and the prompt gets a line of its own."""
        self.assertTrue(shown.is_clean, shown.text)
        self.assertNotRegex(shown.text, r"(?m)#|\.\.\]|\^C|^(stored|unpacked|images) ")

    def save(self, title, shown):
        if "PREBAKE_SCREENS" in os.environ:
            with open(os.environ["PREBAKE_SCREENS"], "a") as screens:
                screens.write(f"--- {title}\n{shown.text}\n\n")

    def until_drawn(self, shown, pattern, what):
        """Waits for a screen that matches, and has been drawn to its last line."""
        shown.until(lambda: re.search(pattern, shown.text)
                    and shown.lines[-1].startswith("images  "), what)

    def test_the_stages_of_a_bake(self):
        """One layer is being fetched and another one unpacked."""
        for columns in (LEAST_COLUMNS, MOST_COLUMNS):
            with self.subTest(columns=columns):
                self.fresh_containerd()
                self.registry.behave()
                held = HeldUnpacking(self.directory / f"held-{columns}", self.containerd.address)
                self.addCleanup(held.close)
                other_gate = self.registry.gate()
                self.registry.on(self.image.layers[0].blob.digest, scripted.stall(other_gate))
                self.registry.on(self.other.layers[0].blob.digest, scripted.stall(other_gate))
                shown, gate = self.paused(columns, self.other_reference, "--address", held.address)
                other_gate.open()
                held.gate.wait_reached()
                self.until_drawn(shown, "  unpacking ", "the unpacking is shown")
                self.save(f"{columns} columns, a bake", shown)
                layers = [line for line in shown.lines if re.search(r"  [0-9a-f]{12}  ", line)]
                live = shown.lines[-3 - len(layers):]
                self.assertEqual(live[:-3], layers)
                self.assertLess(max(map(len, live)), columns)
                self.assertRegex(live[-3], r"^stored    \[#+\.+\]  \d+\.\d MiB of 2\d\.\d MiB, "
                                           r"\d+ (s|min) left")
                self.assertRegex(live[-2], r"^unpacked  \[\.+\]  0 B of 2\d\.\d MiB$")
                self.assertRegex(live[-1], r"^images    0 of 2 done, \d+ s$")
                fetching, = (line for line in layers if "8.0 MiB of 12.0 MiB" in line)
                self.assertRegex(fetching, rf"web-frontend:1\.27\.3 +{self.big.digest[7:19]}  ")
                self.assertTrue(any(re.search(r"unpacking \d\.\d MiB$", line) for line in layers))

                held.gate.open()
                gate.open()
                self.assertEqual(shown.until_end(), harness.DONE, shown.text)
                self.save(f"{columns} columns, its end", shown)
                self.assert_no_bars(shown)
                self.assertIn(f"{self.reference}: done, fetched", shown.text.replace("\n", ""))

    def test_what_an_interrupted_bake_left_counts(self):
        shown, _ = self.paused(MOST_COLUMNS)
        base = r"3\.\d MiB of 15\.\d MiB"
        self.until_drawn(shown, rf"unpacked .* {base}", "the base is unpacked")
        shown.press(terminal.CTRL_C)
        self.assertEqual(shown.until_end(), harness.INTERRUPTED)
        self.registry.behave()
        gate = self.registry.gate()
        self.registry.on(self.big.digest, scripted.pause(gate, 1 * MEBI))
        shown = self.bake_on(MOST_COLUMNS, self.reference)
        self.until_drawn(shown, " 9.0 MiB of 12.0 MiB", "8 MiB are resumed")
        self.save("resumed", shown)
        self.assertRegex(shown.text, r"(?m)^stored .* 12\.\d MiB of 15\.\d MiB, ")
        self.assertRegex(shown.text, rf"(?m)^unpacked .* {base}$")

    def test_adopted_content_counts(self):
        """containerd has the layers, in a namespace that is not asked: nothing is transferred."""
        self.bake(self.reference)
        held = HeldUnpacking(self.directory / "held", self.containerd.address)
        self.addCleanup(held.close)
        shown = self.bake_on(LEAST_COLUMNS, self.reference, "--namespace", "another", "--address",
                             held.address)
        held.gate.wait_reached()
        # The other layer may still be on its way: the held connection is that of all requests.
        self.until_drawn(shown, r"stored    \[#[#.]{7}\]  \d+\.\d MiB of 15\.", "a layer is stored")
        self.save("adopted", shown)
        self.assertRegex(shown.text, r"(?m)^stored    \[#[#.]{7}\]  \d+\.\d MiB of 15\.\d MiB$")
        held.gate.open()
        self.assertEqual(shown.until_end(), harness.DONE, shown.text)

    def test_ctrl_c_sigterm_and_errors_leave_a_clean_screen(self):
        def press(shown):
            shown.press(terminal.CTRL_C)

        def press_twice(shown):
            shown.press(2 * terminal.CTRL_C)

        def terminate(shown):
            shown.send(signal.SIGTERM)

        def break_off(_):
            self.registry.on(self.big.digest, scripted.error(404))
            self.registry.go_down()
            self.registry.come_back()

        for name, end, code in (("Ctrl-C", press, harness.INTERRUPTED),
                                ("SIGTERM", terminate, harness.TERMINATED),
                                ("an error", break_off, harness.FAILED)):
            with self.subTest(name):
                self.fresh_containerd()
                self.registry.behave()
                shown, _ = self.paused(LEAST_COLUMNS)
                end(shown)
                self.assertEqual(shown.until_end(), code, shown.text)
                self.save(f"{LEAST_COLUMNS} columns, ended by {name}", shown)
                self.assert_no_bars(shown)
                for begin in ("IMAGE  ", "prebake: error: "):
                    self.assertRegex(shown.text, rf"(?m)^{begin}")
        with self.subTest("a second Ctrl-C, which may end it at once"):
            self.fresh_containerd()
            self.registry.behave()
            shown, _ = self.paused(LEAST_COLUMNS)
            press_twice(shown)
            self.assertEqual(shown.until_end(), harness.INTERRUPTED, shown.text)
            self.assertTrue(shown.is_clean, shown.text)

    def test_a_terminal_that_becomes_narrower(self):
        shown, gate = self.paused(MOST_COLUMNS)
        shown.resize(LEAST_COLUMNS)
        self.until_drawn(shown, r"(?m)^stored    \[[#.]{8}\]", "the layout follows")
        self.assertLess(max(len(line) for line in shown.lines[-4:]), LEAST_COLUMNS)
        self.assertEqual(sum(line.startswith("stored ") for line in shown.lines), 1, shown.text)
        gate.open()
        self.assertEqual(shown.until_end(), harness.DONE)
        self.assert_no_bars(shown)

    def test_messages_do_not_tear_the_live_lines(self):
        gate, retry = self.registry.gate(), self.registry.gate()
        self.registry.on(self.big.digest, scripted.pause(gate, 8 * MEBI))
        self.registry.on(self.image.layers[0].blob.digest, scripted.error(503), times=1)
        self.registry.on(self.image.layers[0].blob.digest, scripted.stall(retry), times=1)
        shown = self.bake_on(LEAST_COLUMNS, self.reference)
        self.until_drawn(shown, "  8.0 MiB of 12.0 MiB", "a layer is shown")
        retry.open()
        self.until_drawn(shown, " 503 ", "the retry is announced")
        self.save("a message", shown)
        self.assertIn("(attempt 2 of 5)", shown.text.replace("\n", ""))
        self.assertEqual(len(re.findall("(?m)^(stored|unpacked|images)  ", shown.text)), 3)
        gate.open()
        self.assertEqual(shown.until_end(), harness.DONE)
        self.assert_no_bars(shown)
        self.assertIn("503", shown.text)

    def test_without_a_terminal_that_can_redraw_there_are_plain_lines(self):
        for name, kind in (("TERM=dumb", {"TERM": "dumb"}), ("no TERM", {"TERM": ""})):
            with self.subTest(name):
                self.fresh_containerd()
                self.registry.behave()
                shown = self.bake_on(LEAST_COLUMNS, self.reference, environment=kind)
                self.assertEqual(shown.until_end(), harness.DONE)
                self.assertNotIn(b"\x1b", shown.output)
                self.assertIn(b": done, fetched", shown.output)
                self.assert_no_bars(shown)

    def test_the_options_decide(self):
        for arguments, is_drawn, has_lines in ((["--quiet"], False, False),
                                               (["--progress=none"], False, False),
                                               (["--progress=plain"], False, True),
                                               (["--progress=tty"], True, True)):
            with self.subTest(" ".join(arguments)):
                self.fresh_containerd()
                self.registry.behave()
                shown = self.bake_on(LEAST_COLUMNS, *arguments, self.reference,
                                     environment={"TERM": "dumb" if is_drawn else "xterm"})
                self.assertEqual(shown.until_end(), harness.DONE)
                self.assertEqual(b"\x1b[J" in shown.output, is_drawn)
                self.assertEqual(b": done, fetched" in shown.output, has_lines)


if __name__ == "__main__":
    harness.main()
