#!/usr/bin/python3
"""Messages and JSON for wrong usage, and for commands that cannot start."""

import json

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
                    "plan, bake, verify, seal, firstboot, status, daemon or kubelet-config",
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
