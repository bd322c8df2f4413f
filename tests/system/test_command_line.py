#!/usr/bin/python3
"""Messages and JSON for wrong usage, and for commands that cannot start."""

import json
import shutil

import harness
import oci_image


class UsageTest(harness.SystemTest):
    def refuse(self, *words, arguments):
        result = self.prebake(*arguments)
        self.assertEqual(result.code, harness.USAGE, result)
        self.assertEqual(result.stdout, "")
        self.assert_says(result, *words)
        self.assertEqual(self.registry.requests, [], "refused before anybody is asked")
        return result

    def test_a_misspelt_command(self):
        self.refuse('unknown command "bkae"', 'did you mean "bake"', arguments=("bkae", "x"))
        self.refuse('unknown command "zzzzzz"',
                    "plan, bake, verify, images, seal, firstboot, status, daemon, hydrate, "
                    "kubelet-config, ecs-config, record, config, help or version",
                    arguments=("zzzzzz",))

    def test_an_unknown_style_of_progress(self):
        result = self.refuse("--progress", "fancy", "plain", "json",
                             arguments=("bake", "x", "--progress", "fancy"))
        # Not the internals of the table of styles.
        self.assertNotRegex(result.stderr, r"->|\{\{|[0-9]\}")

    def test_an_unknown_log_level(self):
        self.refuse("--log-level", "loud", "debug",
                    arguments=("bake", "x", "--log-level", "loud"))

    def test_a_configuration_without_namespaces(self):
        (self.directory / "prebake.toml").write_text("[containerd]\nnamespaces = []\n")
        self.refuse("prebake.toml:2", "namespaces", arguments=("bake", "x"))

    def test_a_place_is_reported_once(self):
        for name, text in {"type": "[[image]]\nref = 3\n",
                           "syntax of a reference": '[[image]]\nref = "a//b"\n',
                           "alias": '[[image]]\naliases = ["a//b"]\nref = "example.com/a:1"\n'
                           }.items():
            with self.subTest(name):
                result = self.refuse("images.toml:2",
                                     arguments=("bake", "-f", self.list_file(text)))
                self.assertEqual(result.stderr.count("images.toml:2"), 1, result)


class HabitsTest(harness.SystemTest):
    """What people type without looking it up."""

    NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")

    def test_help_and_version(self):
        for arguments, options in {("help",): ("--help",),
                                   ("help", "bake"): ("bake", "--help")}.items():
            self.assertEqual(self.prebake(*arguments).stdout, self.prebake(*options).stdout)
        self.assertEqual(self.prebake("version").stdout, self.prebake("--version").stdout)
        wrong = self.prebake("help", "bkae")
        self.assertEqual(wrong.code, harness.USAGE, wrong)
        self.assert_says(wrong, 'did you mean "bake"')

    def test_the_configuration_can_be_checked(self):
        config = self.directory / "prebake.toml"
        config.write_text("[readiness]\ndeadline = 90\n")
        checked = self.prebake("config", "check")
        self.assertEqual((checked.code, checked.stdout), (harness.DONE, f"ok: {config}\n"))
        self.assertEqual(self.prebake("config", "check", "--json").json["files"], [str(config)])
        config.write_text("[readiness]\ndeadline = [5]\n")
        wrong = self.prebake("config", "check")
        self.assertEqual(wrong.code, harness.USAGE, wrong)
        self.assert_says(wrong, "prebake.toml:2", 'for example: deadline = "5m"')

    def test_what_was_baked_is_listed(self):
        image = oci_image.small_image(self.repository)
        reference = self.registry.serve(self.repository, image)
        self.bake(reference)
        listed = self.prebake("images")
        self.assertEqual(listed.code, harness.DONE, listed)
        line, = (line for line in listed.stdout.splitlines() if line.startswith(reference))
        self.assertEqual(line.split()[1:4], [image.top.digest[:19],
                                             f"linux/{oci_image.host_architecture()}", "k8s.io"])
        self.assertEqual(line.split()[-2:], ["yes", "never"])
        entry, = self.prebake("images", "--json").json["images"]
        size = sum(blob.size for blob in [image.manifest, *image.blobs])
        self.assertEqual((entry["bytes"], entry["pinned"], entry["starts"]), (size, True, 0))

    def test_a_lock_on_standard_output(self):
        image = oci_image.small_image(self.repository)
        reference = self.registry.serve(self.repository, image)
        path = self.directory / "images.lock"
        self.assertEqual(self.prebake("plan", reference, "--lock", path).code, harness.DONE)
        printed = self.prebake("plan", reference, "--lock", "-")
        self.assertEqual(printed.stdout, path.read_text())
        both = self.prebake("plan", reference, "--lock", "-", "--json")
        self.assertEqual(both.code, harness.USAGE, both)

    def test_the_directory_of_lists_takes_only_lists(self):
        lists = self.directory / "images.d"
        lists.mkdir()
        wanted = []
        for name in ("a.txt", "b.list", "c.toml", "d.txt~", "e.toml.dpkg-old", ".f.txt", "README"):
            reference = self.registry.serve(f"{self.repository}/{len(wanted)}{len(name)}",
                                            oci_image.small_image(name))
            (lists / name).write_text(
                harness.image_tables((reference, {})) if ".toml" in name else reference + "\n")
            if name in ("a.txt", "b.list", "c.toml"):
                wanted.append(reference)
        (self.directory / "prebake.toml").write_text(
            f'[bake]\nsandbox = "never"\nimage_lists = "{lists}"\n')
        plan = self.prebake("plan", "--json")
        self.assertEqual([item["name"] for item in plan.json["images"]], wanted)
        for name in ("d.txt~", "e.toml.dpkg-old", ".f.txt", "README"):
            self.assert_says(plan, f"not read: {lists / name}")

    def test_root_is_asked_for_once_and_first(self):
        for path in (self.workspace.path, self.directory):
            path.chmod(0o755)
        self.program = shutil.copy(self.program, self.directory / "prebake")
        for command in (("seal", "--yes"), ("seal", "--check"), ("firstboot",)):
            with self.subTest(" ".join(command)):
                result = self.prebake(*command, prefix=self.NOBODY)
                self.assertEqual(result.code, harness.FAILED, result)
                self.assertEqual(result.stderr.splitlines(),
                                 [f"prebake: error: prebake {command[0]} needs root",
                                  "  run it as root"])
        listed = self.prebake("seal", "--list", prefix=self.NOBODY)
        self.assertEqual(listed.code, harness.DONE, listed)


class ListFormTest(harness.SystemTest):
    def test_a_list_may_begin_with_a_byte_order_mark(self):
        reference = self.registry.serve(self.repository, oci_image.small_image(self.repository))
        for name, text in {"images.toml": f'[[image]]\nref = "{reference}"\n',
                           "images.txt": f"{reference}\n"}.items():
            with self.subTest(name):
                path = self.directory / name
                path.write_bytes(b"\xef\xbb\xbf" + text.encode())
                plan = self.prebake("plan", "--json", "-f", path)
                self.assertEqual(plan.code, harness.DONE, plan)
                self.assertEqual([item["name"] for item in plan.json["images"]], [reference])


class FailureTest(harness.SystemTest):
    def setUp(self):
        super().setUp()
        self.reference = self.registry.serve(self.repository,
                                             oci_image.small_image(self.repository))

    def test_a_command_that_cannot_begin_prints_one_document(self):
        self.bake(self.reference)  # verify needs a record
        nowhere = str(self.directory / "no.sock")
        for command in (("plan", self.reference), ("bake", self.reference), ("verify",)):
            with self.subTest(command[0]):
                result = self.prebake("--json", *command, "--address", nowhere)
                self.assertEqual(result.code, harness.TRY_AGAIN, result)
                document = json.loads(result.stdout)  # one document and nothing else
                self.assertEqual(set(document), {"schema", "problem"})
                self.assertEqual(document["schema"], "prebake.v1.Failure")
                problem = document["problem"]
                self.assertEqual(problem["code"], "unavailable")
                self.assertIn(nowhere, problem["message"])
                self.assertTrue(problem["nextStep"])
                self.assert_says(result, nowhere)

    def test_a_wrong_list_prints_the_document_too(self):
        path = self.list_file("[[image]]\nref = 3\n")
        result = self.prebake("bake", "--json", "-f", path)
        self.assertEqual(result.code, harness.USAGE, result)
        self.assertEqual(result.json["problem"]["code"], "usage")

    def test_a_report_that_cannot_be_written_is_a_failure(self):
        self.bake(self.reference)
        for command in (("plan", "--json", self.reference), ("plan", self.reference),
                        ("bake", "--json", self.reference), ("verify", "--json"), ("verify",)):
            with self.subTest(" ".join(command[:-1]) or command[0]):
                result = self.prebake(*command,
                                      prefix=("sh", "-c", 'exec "$@" >/dev/full', "sh"))
                self.assertEqual(result.code, harness.FAILED, result)
                self.assert_says(result, "standard output")


if __name__ == "__main__":
    harness.main()
