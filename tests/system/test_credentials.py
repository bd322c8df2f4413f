#!/usr/bin/python3
"""Every place that credentials come from: which one the registry sees, and where they never appear.

The registry is docker-registry with a token service.
"""

import dataclasses
import itertools
import json
import re

import harness
import private_network
from credential_programs import write_helper, write_provider
from docker_registry import htpasswd
from proxies import Tinyproxy
from real_registries import DOMAIN, RealRegistriesTest, main
from secret_search import SecretSearch, all_forms, encoded

SERVICE = "registry"


class Inputs:
    """What a user gives to prebake, with secrets in it. All files are below `directory`."""

    def __init__(self, directory, registry):
        self.directory = directory
        self.registry = registry
        self.home = directory / "home"
        self.programs = directory / "bin"
        self.environment = {"HOME": str(self.home),
                            "PATH": f"{self.programs}:{harness.ADMIN_PATH}"}
        self.options = {}
        self.stdin = ""
        self.configuration = ""
        for created in (directory, self.home, self.programs):
            created.mkdir()

    def file(self, name, content):
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
        return path

    def document(self, entry):
        """A config.json with this entry for the registry."""
        return json.dumps({"auths": {self.registry: entry}})

    def login(self, user, password):
        return self.document({"auth": encoded(user, password)})

    @property
    def arguments(self):
        return itertools.chain.from_iterable(self.options.items())


@dataclasses.dataclass
class Source:
    """A place for credentials. add(inputs, user, password) puts them there."""
    label: str
    name: str
    add: object
    in_environment: bool = False

    @property
    def user(self):
        return f"user-{self.label}"

    @property
    def password(self):
        return f"s3cr3t{self.label}9z"  # none is the beginning of another one


# Places -----------------------------------------------------------------------------------------


def on_stdin(inputs, user, password):
    inputs.options["--authfile"] = "-"
    inputs.stdin = inputs.login(user, password)


def authfile(inputs, user, password):
    """Names a helper, so that prebake runs a program while other variables have secrets."""
    write_helper(inputs.programs, "of-authfile", {inputs.registry: (user, password)})
    inputs.options["--authfile"] = inputs.file(
        "authfile.json", json.dumps({"credHelpers": {inputs.registry: "of-authfile"}}))


def registry_auth_file(inputs, user, password):
    inputs.environment["REGISTRY_AUTH_FILE"] = str(
        inputs.file("registry-auth-file.json", inputs.login(user, password)))


def docker_auth_config(inputs, user, password):
    inputs.environment["DOCKER_AUTH_CONFIG"] = inputs.login(user, password)


def key_docker_config(inputs, user, password):
    file = inputs.file("key-docker-config.json", inputs.login(user, password))
    inputs.configuration += f'docker_config = "{file}"\n'


def docker_config(inputs, user, password):
    file = inputs.file("docker-config/config.json", inputs.login(user, password))
    inputs.environment["DOCKER_CONFIG"] = str(file.parent)


def dockers_file(inputs, user, password):
    inputs.file("home/.docker/config.json", inputs.login(user, password))


def runtime_file(inputs, user, password):
    inputs.environment["XDG_RUNTIME_DIR"] = str(inputs.directory / "run")
    inputs.file("run/containers/auth.json", inputs.login(user, password))


def podmans_file(inputs, user, password):
    inputs.file("home/.config/containers/auth.json", inputs.login(user, password))


def provider_options(inputs, user, password):
    config, programs = write_provider(inputs.directory / "provider-options", "by-options",
                                      {inputs.registry: (user, password)})
    inputs.options["--image-credential-provider-config"] = config
    inputs.options["--image-credential-provider-bin-dir"] = programs


def provider_keys(inputs, user, password):
    config, programs = write_provider(inputs.directory / "provider-keys", "by-keys",
                                      {inputs.registry: (user, password)})
    inputs.configuration += (f'image_credential_provider_config = "{config}"\n'
                             f'image_credential_provider_bin_dir = "{programs}"\n')


# The first one counts.
SOURCES = [
    Source("stdin", "--authfile -", on_stdin),
    Source("authfile", "--authfile", authfile),
    Source("registryauthfile", "REGISTRY_AUTH_FILE", registry_auth_file),
    Source("dockerauthconfig", "DOCKER_AUTH_CONFIG", docker_auth_config, in_environment=True),
    Source("key", "registry.docker_config", key_docker_config),
    Source("dockerconfig", "DOCKER_CONFIG", docker_config),
    Source("home", "~/.docker/config.json", dockers_file),
    Source("runtime", "$XDG_RUNTIME_DIR/containers/auth.json", runtime_file),
    Source("podman", "~/.config/containers/auth.json", podmans_file),
    Source("provider", "--image-credential-provider-config", provider_options),
    Source("providerkeys", "registry.image_credential_provider_config", provider_keys),
]


# The tests --------------------------------------------------------------------------------------


class SecretsTest(SecretSearch, RealRegistriesTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.tokens = cls.issue_tokens("tokens", {})
        cls.front = cls.serve(SERVICE, auth=cls.tokens.settings(SERVICE))

    def setUp(self):
        super().setUp()
        self.tokens.users.clear()
        self.numbers = itertools.count(1)

    def new_inputs(self):
        return Inputs(self.directory / f"inputs-{next(self.numbers)}", self.front.host)

    def run_bake(self, inputs, reference, code, prefix=()):
        """Bakes; returns the result, and the names of users to whom tokens were issued."""
        before = len(self.tokens.grants)
        self.configuration(()).write_text(
            f"{harness.NO_SANDBOX}[registry]\n{inputs.configuration}")
        result = self.bake_traced(*inputs.arguments, reference, code=code, prefix=prefix,
                                  environment=inputs.environment, stdin=inputs.stdin)
        return result, self.tokens.grants[before:]


class PlacesTest(SecretsTest):
    def test_the_first_place_counts_and_no_secret_is_written(self):
        """With all places, without the first, without the first two, and so on. Then the registry
        refuses the same password."""
        rows = [("credentials in", "user at the token service", "user at the registry", "grant",
                 "in the debug log")]
        for number, source in enumerate(SOURCES):
            with self.subTest(source.name):
                inputs = self.new_inputs()
                present = SOURCES[number:]
                for item in reversed(present):
                    item.add(inputs, item.user, item.password)
                    self.tokens.users[item.user] = item.password
                secrets = set().union(*(all_forms(item.user, item.password) for item in present))
                own = {encoded(item.user, item.password) for item in present
                       if item.in_environment}
                image, reference = self.push(self.front)
                result, grants = self.run_bake(inputs, reference, harness.DONE)
                self.assert_baked(reference, image)
                self.assertEqual({user for user, _ in grants}, {source.user}, result)
                self.assert_not_found(secrets | set(self.tokens.issued), result, own)
                self.assert_leaves_no_core()
                grant = self.tokens.grants[-1][1]
                named = re.search(r"credentials from (.+)", result.stderr).group(1)
                layer = image.layers[0].blob.digest
                seen = harness.wait_until(
                    lambda: [item for item in self.front.requests() if item.path.endswith(layer)
                             and item.status == 200 and item.client.startswith("prebake/")],
                    "the layer is served")

                self.tokens.users[source.user] = "another password"
                _, reference = self.push(self.front)
                result, grants = self.run_bake(inputs, reference, harness.FAILED)
                self.assertEqual(grants, [])
                self.assert_says(result, self.front.host, "credentials")
                self.assert_not_found(secrets | set(self.tokens.issued), result, own)
                rows.append((source.name, source.user, seen[0].user, grant,
                             named.replace(str(inputs.directory), "...")))
        harness.print_rows("what the registry saw of each place", rows)


class FormsTest(SecretsTest):
    """The forms in which a document has credentials."""

    USER, PASSWORD = "ann", "s3cr3tofann"

    def check(self, document, inputs, kind, secrets=(), reference=None, image=None):
        self.tokens.users[self.USER] = self.PASSWORD
        inputs.options["--authfile"] = inputs.file("auth.json", json.dumps(document))
        if reference is None:
            image, reference = self.push(self.front)
        result, grants = self.run_bake(inputs, reference, harness.DONE)
        self.assert_baked(reference, image)
        if kind:
            self.assertEqual({user for user, _ in grants}, {self.USER})
            self.assertLessEqual({how for _, how in grants}, kind)
        else:
            self.assertEqual(grants, [])
        self.assert_not_found({*all_forms(self.USER, self.PASSWORD), *self.tokens.issued, *secrets},
                              result)

    WITH_PASSWORD = {"basic", "password"}

    def test_a_user_name_and_a_password(self):
        inputs = self.new_inputs()
        self.check({"auths": {inputs.registry: {"username": self.USER, "password": self.PASSWORD}}},
                   inputs, self.WITH_PASSWORD)

    def test_an_identity_token(self):
        inputs = self.new_inputs()
        token = self.tokens.refresh_token(self.USER)
        self.check({"auths": {inputs.registry: {"identitytoken": token}}}, inputs,
                   {"refresh_token"}, [token])

    def test_a_registry_token(self):
        inputs = self.new_inputs()
        image, reference = self.push(self.front)
        repository = reference.partition("/")[2].rpartition(":")[0]
        token = self.tokens.token(self.USER, SERVICE, f"repository:{repository}:pull")
        self.check({"auths": {inputs.registry: {"registrytoken": token}}}, inputs, set(), [token],
                   reference, image)

    def test_a_helper_for_the_registry(self):
        inputs = self.new_inputs()
        write_helper(inputs.programs, "test", {inputs.registry: (self.USER, self.PASSWORD)})
        self.check({"credHelpers": {inputs.registry: "test"}}, inputs, self.WITH_PASSWORD)
        self.assertIn(f"{inputs.programs}/docker-credential-test", self.programs_run())

    def test_a_helper_for_all_registries(self):
        inputs = self.new_inputs()
        write_helper(inputs.programs, "test", {inputs.registry: (self.USER, self.PASSWORD)})
        self.check({"credsStore": "test"}, inputs, self.WITH_PASSWORD)

    def test_an_identity_token_of_a_helper(self):
        inputs = self.new_inputs()
        token = self.tokens.refresh_token(self.USER)
        write_helper(inputs.programs, "test", {inputs.registry: ("<token>", token)})
        self.check({"credsStore": "test"}, inputs, {"refresh_token"}, [token])


class FailingProgramsTest(SecretsTest):
    """A program that prints its answer and then fails: prebake says so without the answer."""

    SECRET = "s3cr3tofaprogram"

    def check(self, inputs, program):
        _, reference = self.push(self.front)
        result, grants = self.run_bake(inputs, reference, harness.FAILED)
        self.assertEqual({how for _, how in grants}, {"anonymous"})
        self.assert_says(result, program, "ended with status 1")
        self.assert_not_found(all_forms("ann", self.SECRET), result)

    def test_a_helper(self):
        inputs = self.new_inputs()
        write_helper(inputs.programs, "leaks", {inputs.registry: ("ann", self.SECRET)}, status=1)
        inputs.file("home/.docker/config.json",
                    json.dumps({"credHelpers": {inputs.registry: "leaks"}}))
        self.check(inputs, "docker-credential-leaks")

    def test_a_provider(self):
        inputs = self.new_inputs()
        config, programs = write_provider(inputs.directory / "provider", "leaking-provider",
                                          {inputs.registry: ("ann", self.SECRET)}, status=1)
        inputs.options["--image-credential-provider-config"] = config
        inputs.options["--image-credential-provider-bin-dir"] = programs
        self.check(inputs, "leaking-provider")


class OtherSecretsTest(SecretsTest):
    """Secrets that are no credentials of prebake's own."""

    def test_a_header_in_a_hosts_file(self):
        user, password = "of-header", "s3cr3tofheader"
        users = htpasswd(self.directory / "htpasswd", {user: password})
        registry = self.serve("by-header", auth=users)
        inputs = self.new_inputs()
        # With a real directory of its own: the file has a secret.
        directory = inputs.directory / "hosts" / registry.host
        directory.mkdir(parents=True)
        (directory / "hosts.toml").write_text(
            f'server = "https://{registry.host}"\n[header]\n'
            f'Authorization = "Basic {encoded(user, password)}"\n')
        inputs.options["--hosts-dir"] = directory.parent
        image, reference = self.push(registry)
        result, _ = self.run_bake(inputs, reference, harness.DONE)
        self.assert_baked(reference, image)
        self.assert_not_found(all_forms(user, password), result)

    def proxy(self):
        created = Tinyproxy(self.new_directory(),
                            private_network.name_server(f"{self.repository[:40]}.{DOMAIN}"),
                            "of-proxy", "s3cr3tofproxy")
        self.addCleanup(created.stop)
        return created, f"http://of-proxy:s3cr3tofproxy@{created.host}"

    def bake_through_proxy(self, inputs, proxy):
        source = SOURCES[1]  # runs a program
        source.add(inputs, source.user, source.password)
        self.tokens.users[source.user] = source.password
        image, reference = self.push(self.front)
        result, _ = self.run_bake(inputs, reference, harness.DONE,
                                  prefix=private_network.without_names())
        self.assert_baked(reference, image)
        self.assertIn(self.front.host, proxy.tunnels())
        return result

    def test_the_password_of_a_proxy_in_the_configuration_file(self):
        proxy, url = self.proxy()
        inputs = self.new_inputs()
        inputs.configuration += f'proxy = "{url}"\n'
        result = self.bake_through_proxy(inputs, proxy)
        self.assert_not_found(all_forms("of-proxy", "s3cr3tofproxy"), result)

    def test_the_password_of_a_proxy_in_a_variable(self):
        """The programs have the variable as well: they use the proxy, too."""
        proxy, url = self.proxy()
        inputs = self.new_inputs()
        inputs.environment["HTTPS_PROXY"] = url
        result = self.bake_through_proxy(inputs, proxy)
        trace = self.traced.read_text().replace(f'"HTTPS_PROXY={url}"', "")
        self.traced.write_text(trace)
        self.assert_not_found(all_forms("of-proxy", "s3cr3tofproxy"), result)


if __name__ == "__main__":
    main()
