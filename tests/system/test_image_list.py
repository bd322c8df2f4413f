#!/usr/bin/python3
"""Image lists and references: what is accepted, and what is rejected before the bake starts."""

import harness
import oci_image


class ImageListTest(harness.SystemTest):
    def setUp(self):
        super().setUp()
        self.images = [oci_image.small_image(f"{self.repository}-{i}") for i in range(3)]
        self.references = [self.registry.serve(f"{self.repository}/{i}", image)
                           for i, image in enumerate(self.images)]

    def planned(self, *arguments, **options):
        result = self.prebake("plan", "--json", *arguments, **options)
        self.assertEqual(result.code, harness.DONE, result)
        return [item["name"] for item in result.json["images"]]

    def refuse(self, *words, arguments, **options):
        result = self.prebake("bake", *arguments, **options)
        self.assertEqual(result.code, harness.USAGE, result)
        self.assert_says(result, *words)
        self.assertEqual(self.registry.requests, [], "refused before anybody is asked")
        return result

    def test_toml(self):
        text = "".join(f'[[image]]\nref = "{reference}"\n' for reference in self.references)
        self.assertEqual(self.planned("-f", self.list_file(text)), self.references)

    def test_plain_text(self):
        first, second, third = self.references
        text = f"# the images\n\n{first}\n  {second}  # with a comment\n\t{third}\r\n"
        self.assertEqual(self.planned("-f", self.list_file(text, "images.txt")), self.references)

    def test_several_lists_standard_input_and_arguments_add_up(self):
        first, second, third = self.references
        found = self.planned("-f", self.list_file(second + "\n", "one.txt"), "-f", "-", first,
                             stdin=third + "\n")
        self.assertEqual(sorted(found), sorted(self.references))

    def test_variables_come_from_the_environment(self):
        repository = self.references[0].rpartition(":")[0]
        for name, text in {
                "toml": f'[[image]]\nref = "{repository}:${{VERSION}}"\n',
                "default": f'[[image]]\nref = "{repository}:${{UNSET:-1.0}}"\n',
                "text": f"{repository}:${{VERSION}}\n"}.items():
            with self.subTest(name):
                path = self.list_file(text, f"{name}.{'txt' if name == 'text' else 'toml'}")
                self.assertEqual(self.planned("-f", path, environment={"VERSION": "1.0"}),
                                 [self.references[0]])

    def test_an_unset_variable_is_named_with_file_and_line(self):
        for name, text in {
                "images.toml": '# list\n\n[[image]]\nref = "example.com/a:${NO_SUCH_VARIABLE}"\n',
                "images.txt": "# list\n\n\nexample.com/a:${NO_SUCH_VARIABLE}\n"}.items():
            with self.subTest(name):
                self.refuse("NO_SUCH_VARIABLE", f"{name}:4",
                            arguments=("-f", self.list_file(text, name)))

    def test_duplicates_are_one_image(self):
        first = self.references[0]
        self.assertEqual(self.planned(first, first, "-f", self.list_file(first, "a.txt")), [first])

    def test_one_name_with_two_digests_is_refused(self):
        first = self.references[0]
        one, two = ("sha256:" + digit * 64 for digit in "12")
        self.refuse(first, one, two, arguments=(f"{first}@{one}", f"{first}@{two}"))

    def test_bad_toml(self):
        for name, (text, line) in {
                "syntax": ('[[image]]\nref = "a\n', 2),
                "type": ('[[image]]\nref = "example.com/a:1"\npin = "yes"\n', 3),
                "no ref": ('[[image]]\npin = true\n', 1)}.items():
            with self.subTest(name):
                self.refuse(f"images.toml:{line}", arguments=("-f", self.list_file(text)))

    def test_an_unknown_key_is_refused_with_the_nearest_known_one(self):
        self.refuse("keep_layer", "keep_layers", "images.toml:3", arguments=(
            "-f", self.list_file('[[image]]\nref = "example.com/a:1"\nkeep_layer = true\n')))

    def test_a_list_that_is_a_directory(self):
        directory = self.directory / "lists.toml"
        directory.mkdir()
        self.refuse("lists.toml", "directory", arguments=("-f", directory))

    def test_a_list_that_does_not_exist(self):
        self.refuse("no-such-list.toml", arguments=("-f", self.directory / "no-such-list.toml"))

    def test_a_bad_entry_among_good_ones_refuses_the_list(self):
        text = f"{self.references[0]}\nnot a reference\n"
        self.refuse("images.txt:2", arguments=("-f", self.list_file(text, "images.txt")))

    def test_invalid_references(self):
        for reference in ("a/UPPER", "a//b", "example.com/a:bad tag", "a@sha256:short",
                          "example.com:port/a", "[::1/a", "a:" + "t" * 129, "x" * 300,
                          "https://example.com/a", "0" * 64, "-"):
            with self.subTest(reference):
                self.refuse(reference[:60], arguments=("--", reference))

    def test_latest_and_untagged_references_get_a_warning(self):
        repository = self.references[0].rpartition(":")[0]
        self.registry.serve(repository.partition("/")[2], self.images[0], "latest")
        for reference in (repository, f"{repository}:latest"):
            with self.subTest(reference):
                result = self.prebake("plan", reference)
                self.assertEqual(result.code, harness.DONE, result)
                self.assert_says(result, f"{repository}:latest", "kubelet")
        self.assertNotIn("kubelet", self.prebake("plan", self.references[0]).stderr)

    def test_an_unknown_key_of_the_configuration_is_refused(self):
        (self.directory / "prebake.toml").write_text('[containerd]\nadress = "/x"\n')
        self.refuse("adress", "address", "prebake.toml:2", arguments=(self.references[0],))

    def test_a_broken_configuration_is_refused(self):
        (self.directory / "prebake.toml").write_text("[containerd\n")
        self.refuse("prebake.toml:1", arguments=(self.references[0],))


if __name__ == "__main__":
    harness.main()
