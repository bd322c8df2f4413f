"""`prebake ecs-config`: what it prints, what it merges into the agent's file, and settings that
clash."""

import json
import os
import stat

import harness

DIGEST = "sha256:" + "a" * 64
NGINX = "docker.io/library/nginx:1.27"
APP = "registry.example/team/app:2"
PULL = "ECS_IMAGE_PULL_BEHAVIOR"
LIST = "ECS_EXCLUDE_UNTRACKED_IMAGE"
GOOD = f"{PULL}=prefer-cached\n"
BAD = f"""\
ECS_CLUSTER=web
ECS_ENABLE_UNTRACKED_IMAGE_CLEANUP=true
# Since the last incident:
{PULL}=once
{LIST}=nginx:1.27
"""


def image(name, namespace, **placement):
    return {"name": name, "target": {"digest": DIGEST},
            "placements": [{"namespace": namespace, "names": [name], **placement}]}


def variables(text):
    """As ecs-init reads them (ecs-init/docker/docker.go, getEnvVars)."""
    lines = (line.strip().split("=", 1) for line in text.strip().split("\n"))
    return dict(line for line in lines if len(line) == 2)


class EcsConfig(harness.SystemTest):
    def setUp(self):
        super().setUp()
        self.root = self.directory / "root"
        self.file = self.root / "etc/ecs/ecs.config"
        self.file.parent.mkdir(parents=True)
        self.state = self.directory / "root/state"
        self.state.mkdir()
        self.bakes(image(NGINX, "moby", graphDriver="overlay2"), image(APP, "moby"),
                   image("docker.io/library/pod:1", "k8s.io"))

    def bakes(self, *images):
        (self.state / "bake.json").write_text(json.dumps({
            "schema": "prebake.v1.BakeRecord", "images": images}))

    def ecs(self, *arguments, code=harness.DONE, **options):
        # The state directory is one in the machine below the root.
        result = self.prebake("ecs-config", "--root", self.root, "--state-dir", "/state",
                              *arguments, **options)
        self.assertEqual(result.code, code, result)
        return result

    def command(self, *arguments, **options):
        command, given = super().command(*arguments, **options)
        first = command.index("--state-dir")
        del command[first:first + 2]
        return command, given

    def test_what_is_printed_is_what_the_agent_reads(self):
        printed = self.ecs().stdout
        found = variables(printed)
        self.assertEqual(set(found), {PULL, LIST})
        self.assertEqual(found[PULL], "prefer-cached")
        names = found[LIST].split(",")
        self.assertEqual(len(names), len(set(names)))
        for name in ("nginx:1.27", NGINX, "docker.io/nginx:1.27", f"nginx@{DIGEST}",
                     f"nginx:1.27@{DIGEST}", APP, f"registry.example/team/app@{DIGEST}",
                     f"{APP}@{DIGEST}"):
            self.assertIn(name, names)
        self.assertNotIn("pod", found[LIST])
        comments = " ".join(printed.replace("#", " ").split())
        for consequence in ("removes no image", "once pulls, too", "CannotPullImageManifestError",
                            "removes baked images at once"):
            self.assertIn(consequence, comments)
        self.assertEqual(list(self.file.parent.iterdir()), [])
        document = self.ecs("--json").json
        self.assertEqual((document["schema"], document["images"]), ("prebake.v1.EcsAdvice", 2))
        self.assertEqual({item["key"]: item["value"] for item in document["settings"]}, found)

    def test_a_new_file(self):
        self.assertIn(f"{PULL} was added", self.ecs("--write").stdout)
        self.assertEqual(self.file.read_text(), self.ecs().stdout)
        self.assertEqual(stat.S_IMODE(self.file.stat().st_mode), 0o644)
        self.assertIn("ok: the ECS agent uses 2 baked images", self.ecs("--check").stdout)

    def test_a_file_with_settings(self):
        self.file.write_text(BAD)
        self.file.chmod(0o640)
        os.chown(self.file, 0, 12)
        changed = self.ecs("--write", "--json").json
        self.assertEqual(changed["files"], ["/etc/ecs/ecs.config"])
        self.assertEqual(len(changed["changes"]), 2, changed)
        self.assertIn("line 4", changed["changes"][0])
        merged = self.file.read_text()
        before, after = BAD.splitlines(), merged.splitlines()
        self.assertEqual(after[:3], before[:3])
        self.assertEqual(after[-2], GOOD.strip())
        self.assertTrue(after[-1].startswith(f"{LIST}=nginx:1.27,{NGINX},"), after[-1])
        # What follows from the new value.
        self.assertEqual([line for line in after[3:-2] if not line.startswith("# ")], [])
        self.assertIn("removes no image", merged)
        status = self.file.stat()
        self.assertEqual((stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid),
                         (0o640, 0, 12))
        self.assertEqual(os.listdir(self.file.parent), ["ecs.config"])
        # Again: nothing is written.
        self.assertIn("nothing to change", self.ecs("--write").stdout)
        self.assertEqual(self.file.stat().st_ino, status.st_ino)
        checked = self.ecs("--check")
        self.assertIn("ECS_ENABLE_UNTRACKED_IMAGE_CLEANUP has no effect", checked.stderr)

    def test_settings_that_clash(self):
        self.file.write_text(BAD)
        result = self.ecs("--check", code=harness.NOT_READY)
        place = "/etc/ecs/ecs.config"
        for words in (f"{place}:4: {PULL} is once", "only its own pulls",
                      f"{place}:5: {LIST} does not name", f"task uses them any more: {APP}",
                      f"{place}:2: ECS_ENABLE_UNTRACKED_IMAGE_CLEANUP is true",
                      "run prebake ecs-config --write"):
            self.assertIn(words, result.stderr)
        self.assertEqual(result.stdout, "")
        self.assertEqual(self.file.read_text(), BAD)
        found = self.ecs("--check", "--json", code=harness.NOT_READY).json["clashes"]
        self.assertEqual([(item["line"], item["value"], item["cause"], item["images"])
                          for item in found],
                         [(4, "once", "once", []), (5, "nginx:1.27", "removed_unused", [APP]),
                          (2, "true", "removed_untracked", [APP])])

    def test_no_file_is_the_default(self):
        result = self.ecs("--check", code=harness.NOT_READY)
        self.assertIn(f"/etc/ecs/ecs.config: {PULL} is not set", result.stderr)
        self.assertIn(f"{NGINX}, {APP}", result.stderr)

    def test_quotes_belong_to_the_value(self):
        self.file.write_text(f'{PULL}="prefer-cached"\n')
        result = self.ecs("--check", code=harness.NOT_READY)
        self.assertIn(f'/etc/ecs/ecs.config:1: {PULL} is "prefer-cached"', result.stderr)
        self.ecs("--write")
        self.assertEqual(variables(self.file.read_text())[PULL], "prefer-cached")
        self.ecs("--check")

    def test_every_file_of_the_agent_counts(self):
        instance = self.root / "var/lib/ecs/ecs.config"
        instance.parent.mkdir(parents=True)
        instance.write_text(f"{PULL}=always\n")
        document = self.root / "etc/ecs/ecs.config.json"
        document.write_text('{"ImagePullBehavior": 3}')
        result = self.ecs("--check", code=harness.NOT_READY)
        self.assertIn(f"/var/lib/ecs/ecs.config:1: {PULL} is always", result.stderr)
        instance.write_text("ECS_EXTERNAL=true\n")
        checked = self.ecs("--check", "--json").json
        self.assertEqual(checked["files"], ["/var/lib/ecs/ecs.config", "/etc/ecs/ecs.config.json"])
        document.write_text('{"ImagePullBehavior": 2}')
        result = self.ecs("--check", code=harness.NOT_READY)
        self.assertIn(f"/etc/ecs/ecs.config.json: {PULL} is once", result.stderr)
        document.write_text("{")
        self.file.write_text(GOOD)
        self.assertIn("ecs.config.json is not a JSON object",
                      self.ecs("--check", code=harness.PARTIAL).stderr)

    def test_a_file_that_others_can_change_is_refused(self):
        self.file.write_text("ECS_CLUSTER=web\n")
        for change in (lambda: self.file.chmod(0o666), lambda: os.chown(self.file, 1000, 1000),
                       lambda: self.file.parent.chmod(0o777)):
            self.file.chmod(0o644)
            os.chown(self.file, 0, 0)
            change()
            for action in ("--write", "--check"):
                result = self.ecs(action, code=harness.FAILED)
                self.assertIn("can be changed by other users", result.stderr)
            self.assertEqual(self.file.read_text(), "ECS_CLUSTER=web\n")

    def test_a_link_stays_and_leads_nowhere_outside(self):
        outside = self.directory / "etc-ecs.config"
        outside.write_text("ECS_CLUSTER=web\n")
        target = self.root / "srv/ecs.config"
        target.parent.mkdir()
        target.write_text("ECS_CLUSTER=web\n")
        self.file.symlink_to("/srv/ecs.config")
        self.ecs("--write")
        self.assertTrue(self.file.is_symlink())
        self.assertIn(GOOD, target.read_text())
        self.file.unlink()
        self.file.symlink_to("../../../etc-ecs.config")
        self.ecs("--write")
        self.assertEqual(outside.read_text(), "ECS_CLUSTER=web\n")

    def test_nothing_was_baked_for_docker(self):
        self.bakes(image("docker.io/library/pod:1", "k8s.io"))
        for action in ((), ("--write",), ("--check",)):
            result = self.ecs(*action, code=harness.FAILED)
            self.assert_says(result, "none of the baked images is in Docker's store",
                             "prebake bake -n moby")
        (self.state / "bake.json").unlink()
        self.ecs("--check", code=harness.FAILED)

    def test_wrong_usage(self):
        self.ecs("--check", "--write", code=harness.USAGE)

    def test_only_root_writes(self):
        self.workspace.path.chmod(0o755)
        self.directory.chmod(0o755)
        nobody = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
        result = self.ecs("--write", code=harness.FAILED, prefix=nobody)
        self.assertIn("ecs.config", result.stderr)
        result = self.prebake("ecs-config", "--write", prefix=nobody)
        self.assertEqual(result.code, harness.FAILED, result)
        self.assert_says(result, "prebake ecs-config needs root")


if __name__ == "__main__":
    harness.main()
