"""Searches for secrets in everything that a bake leaves, and in the programs that it runs."""

import base64
import contextlib
import itertools
import re
import shutil

import harness

# The arguments and variables of every program.
STRACE = (shutil.which("strace", path=harness.ADMIN_PATH), "-f", "-qq", "-v", "-s", "65536",
          "--seccomp-bpf", "-e", "signal=none", "-e", "trace=execve,prctl", "-o")


def encoded(user, password):
    return base64.b64encode(f"{user}:{password}".encode()).decode()


def all_forms(user, password):
    """What to search for: the password, and how Docker's files and HTTP have it."""
    return {password, encoded(user, password).rstrip("=")}


class SecretSearch:
    """For a SystemTest. Needs strace(1)."""

    _numbers = itertools.count(1)

    def bake_traced(self, *arguments, code=harness.DONE, prefix=(), **options):
        """bake(), with all that prebake can log."""
        self.traced = self.directory / f"traced-{next(self._numbers)}"
        result = self.prebake("--log-level=debug", "bake", *arguments,
                              prefix=(*prefix, *STRACE, self.traced), **options)
        self.assertEqual(result.code, code, result)
        return result

    def assert_not_found(self, secrets, result, own=(), further=()):
        """No secret appears in what prebake wrote, in `further` directories, or in arguments and
        variables of programs. Only prebake itself has the secrets `own` in its variables."""
        texts = {"standard output": result.stdout, "standard error": result.stderr}
        programs = [line for line in self.traced.read_text().splitlines() if " execve(" in line]
        prebake = [line for line in programs if f'execve("{self.program}"' in line]
        self.assertEqual(len(prebake), 1, programs)
        texts["a program that prebake ran"] = "\n".join(
            line for line in programs if line not in prebake)
        self.assertEqual([secret for secret in own if secret not in prebake[0]], [])
        for secret in own:
            prebake[0] = prebake[0].replace(secret, "")
        texts["prebake's arguments and variables"] = prebake[0]
        for place in (self.state, self.containerd.directory, *further):
            for path in place.rglob("*"):
                with contextlib.suppress(FileNotFoundError):
                    if path.is_file():
                        texts[str(path)] = path.read_bytes().decode(errors="replace")
        found = {(secret, name) for name, text in texts.items() for secret in secrets
                 if secret in text}
        self.assertEqual(found, set())

    def assert_leaves_no_core(self):
        """A core dump would have the secrets in it."""
        # Other threads may come between a call and its result, which is always 0.
        forbids = "prctl(PR_SET_DUMPABLE, SUID_DUMP_DISABLE" in self.traced.read_text()
        self.assertTrue(forbids, "prebake can leave a core dump")

    def programs_run(self):
        return re.findall(r' execve\("([^"]+)"', self.traced.read_text())
