#!/usr/bin/python3
"""Amazon ECR from end to end, with the credential helper and the command line of Debian.

The instance, its role, the API for tokens, the registry and the bucket with the layers are
scripted; they have the real names in a network of their own. Nothing is configured but what each
test says, so this is what a builder with an instance profile sees.
"""

import base64
import json
import platform
import shutil
import socket
import subprocess

import harness
import oci_image
import registry as scripted
from credential_programs import write_program, write_provider
from ecr import REGISTRY, Ecr, role_credentials
from machine import IMDS
from metadata_service import MetadataService
from real_registries import RealRegistriesTest, main
from secret_search import SecretSearch, all_forms

KEY, SECRET_KEY = "ASIAPREBAKETEST00000", "secret-of-role"
HELPER, COMMAND_LINE = "docker-credential-ecr-login", "aws"
EXPIRED = "Your authorization token has expired. Reauthenticate and try again."
ACTIONS = ("ecr:GetAuthorizationToken", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer")


class EcrTest(RealRegistriesTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.change_address("add")
        listener = socket.create_server((IMDS, 80), backlog=64)
        cls.addClassCleanup(listener.close)
        cls.instance = MetadataService(listener, "i-0123456789abcdef0", "builder")
        cls.addClassCleanup(cls.instance.stop)
        cls.addClassCleanup(cls.change_address, "del")
        cls.ecr = Ecr(cls.authority, KEY)
        cls.addClassCleanup(cls.ecr.stop)

    @staticmethod
    def change_address(how):
        """Adds or deletes the address of the metadata service."""
        subprocess.run(["ip", "address", how, f"{IMDS}/32", "dev", "lo"], check=True)

    def setUp(self):
        super().setUp()
        self.programs = self.directory / "bin"
        self.programs.mkdir()
        self.ecr.behave()
        self.instance.give_role("builder", role_credentials(KEY, SECRET_KEY, "of-session"))
        self.serve_image(self.repository)

    def serve_image(self, repository):
        self.image = oci_image.small_image(repository.replace("/", "-"))
        self.reference = self.ecr.serve(repository, self.image)

    def install(self, program):
        """Puts a program of the distribution into the only directory of PATH."""
        found = shutil.which(program, path=harness.ADMIN_PATH)
        self.assertIsNotNone(found, f"{program} is not installed")
        (self.programs / program).symlink_to(found)

    def command(self, *arguments, environment=None, **options):
        # The CLI has authorities of its own.
        given = {"PATH": str(self.programs), "AWS_CA_BUNDLE": str(self.authority.certificate)}
        return super().command(*arguments, environment={**given, **(environment or {})}, **options)

    def authfile(self, password):
        self.ecr.passwords.add(password)
        auth = base64.b64encode(f"AWS:{password}".encode()).decode()
        return "--authfile", self.list_file(json.dumps({"auths": {REGISTRY: {"auth": auth}}}),
                                            "auth.json")

    def provider(self, password):
        self.ecr.passwords.add(password)
        config, programs = write_provider(self.directory / "image-credential-provider",
                                          "ecr-credential-provider",
                                          {"*.dkr.ecr.*.amazonaws.com": ("AWS", password)})
        return ("--image-credential-provider-config", config,
                "--image-credential-provider-bin-dir", programs)

    def caller(self):
        """Who got the one password with which the image was fetched, by its User-Agent."""
        (user, password), = set(self.ecr.users)
        self.assertEqual(user, "AWS")
        return password, self.ecr.api.callers.get(password, "")

    def assert_served(self):
        """The image is complete, and its layers came from the bucket without credentials."""
        self.assert_baked(self.reference, self.image)
        layer = self.image.layers[0].blob.digest
        fetched = [item for item in self.ecr.bucket.gets() if item.path.endswith(layer)]
        self.assertEqual([item.authorization for item in fetched], [""])


class PathsTest(SecretSearch, EcrTest):
    """Each way to credentials works, is used before the next one, and writes no secret."""

    def bake_with(self, *arguments):
        """Bakes a new image, and returns who got the password for it."""
        self.ecr.users.clear()
        self.serve_image(f"{self.repository}/{len(self.rows)}")
        result = self.bake_traced(*arguments, self.reference)
        self.assert_served()
        password, caller = self.caller()
        # The helper has a directory for its log, and would have a cache in it.
        self.assert_not_found({*all_forms("AWS", password), SECRET_KEY}, result,
                              further=[self.directory / ".ecr"])
        return password, caller

    rows = [("credentials from", "user", "client of the token API")]

    def seen(self, way, caller):
        self.rows.append((way, "AWS", caller.partition(" ")[0] or "none"))

    def test_in_this_order(self):
        with_cli = platform.freedesktop_os_release()["ID"] != "ubuntu"  # which has no package of it
        if with_cli:
            self.install(COMMAND_LINE)
        self.install(HELPER)
        authfile, provider = self.authfile("configured-password"), self.provider("of-the-provider")
        password, caller = self.bake_with(*authfile, *provider)
        self.assertEqual(password, "configured-password")
        self.seen("--authfile", caller)
        password, caller = self.bake_with(*provider)
        self.assertEqual(password, "of-the-provider")
        self.seen("--image-credential-provider-config", caller)
        _, caller = self.bake_with()
        self.assertRegex(caller, "^aws-sdk-go")
        self.seen(HELPER, caller)
        self.assertIn(str(self.programs / HELPER), self.programs_run())
        (self.programs / HELPER).unlink()
        if with_cli:
            _, caller = self.bake_with()
            self.assertRegex(caller, "^aws-cli")
            self.seen("aws ecr get-login-password", caller)
        harness.print_rows("who got the password with which ECR served an image", self.rows)

    def test_the_helper_that_is_configured(self):
        self.install(HELPER)
        config = self.list_file(json.dumps({"credHelpers": {REGISTRY: "ecr-login"}}), "config.json")
        self.bake(self.reference, environment={"DOCKER_CONFIG": str(config.parent)})
        self.assert_served()
        self.assertRegex(self.caller()[1], "^aws-sdk-go")

    def test_the_region_is_that_of_the_registry(self):
        """The instance is in another one, and the user has set a third one."""
        self.install(HELPER)
        self.bake(self.reference, environment={"AWS_REGION": "us-west-2"})
        self.assert_served()


class RefusedTest(EcrTest):
    """A login that has expired, in the file that docker login writes."""

    def login(self, refusal):
        """Returns the environment in which prebake finds it."""
        file = self.list_file(json.dumps({"auths": {REGISTRY: {
            "auth": base64.b64encode(b"EXPIRED:expired-password").decode()}}}), "config.json")
        self.ecr.registry.on("/v2/", lambda request, response: refusal(request, response)
                             if request.user == "EXPIRED" else response)
        return {"DOCKER_CONFIG": str(file.parent)}

    REFUSALS = (scripted.error(403, EXPIRED), scripted.error(401, "Not Authorized"))

    def test_the_next_source_is_asked(self):
        self.install(HELPER)
        for number, refusal in enumerate(self.REFUSALS):
            with self.subTest(number):
                self.ecr.behave()
                self.serve_image(f"{self.repository}/{number}")
                environment = self.login(refusal)
                result = self.prebake("--log-level=debug", "bake", self.reference,
                                      environment=environment)
                self.assertEqual(result.code, harness.DONE, result)
                self.assert_served()
                self.assertRegex(self.caller()[1], "^aws-sdk-go")
                self.assert_says(result, "refuses the credentials from "
                                 f"{environment['DOCKER_CONFIG']}/config.json")
                self.assertNotIn("expired-password", result.stdout + result.stderr)

    def test_a_provider_is_asked(self):
        provider = self.provider("of-the-provider")
        self.bake(*provider, self.reference, environment=self.login(self.REFUSALS[0]))
        self.assert_served()
        self.assertEqual(self.caller()[0], "of-the-provider")

    def test_no_other_source_works(self):
        """The message is about the login."""
        environment = self.login(self.REFUSALS[0])
        result = self.bake(self.reference, environment=environment, code=harness.FAILED)
        self.assert_says(result, REGISTRY, EXPIRED, f"{environment['DOCKER_CONFIG']}/config.json")
        self.assertNotIn("expired-password", result.stdout + result.stderr)


class FailuresTest(SecretSearch, EcrTest):
    def bake_fails(self, *says):
        result = self.bake(self.reference, code=harness.FAILED)
        self.assert_says(result, REGISTRY, *says)
        self.assert_not_baked(self.repository, self.image)
        return result

    def test_no_program_is_installed(self):
        self.bake_fails("amazon-ecr-credential-helper", *ACTIONS)

    def test_the_helper_on_an_instance_without_a_role(self):
        self.install(HELPER)
        self.instance.take_role()
        self.bake_fails(HELPER, "role", *ACTIONS)

    def test_the_helper_without_aws(self):
        """Nobody answers at the metadata service's address."""
        self.install(HELPER)
        self.addCleanup(self.change_address, "add")
        self.change_address("del")
        self.bake_fails(HELPER, *ACTIONS)

    def test_a_role_that_may_not_ask_for_tokens(self):
        self.install(HELPER)
        self.ecr.api.is_allowed = False
        result = self.bake_fails(HELPER, *ACTIONS)
        self.assertNotIn(SECRET_KEY, result.stderr)

    def test_a_command_line_that_prints_a_password_and_fails(self):
        write_program(self.programs / COMMAND_LINE, "#!/bin/sh\necho of-command-line\nexit 1\n")
        result = self.bake_traced(self.reference, code=harness.FAILED)
        self.assert_says(result, REGISTRY, "aws ecr get-login-password", "ended with status 1")
        self.assert_not_found(all_forms("AWS", "of-command-line"), result)

    def test_a_password_that_is_no_longer_valid(self):
        authfile = self.authfile("expired-password")
        self.ecr.registry.on("/v2/", scripted.error(403, EXPIRED))
        result = self.bake(*authfile, self.reference, code=harness.FAILED)
        self.assert_says(result, REGISTRY, EXPIRED, str(authfile[1]))
        self.assertNotIn("expired-password", result.stdout + result.stderr)


if __name__ == "__main__":
    main()
