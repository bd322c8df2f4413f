#!/usr/bin/python3
"""Debian's docker-registry with each kind of authentication and TLS, behind a cache, a mirror and a
proxy; and skopeo, which must see the same digests."""

import base64
import itertools
import json

import harness
import oci_image
import private_network
from docker_registry import DockerRegistry, htpasswd
from proxies import DyingRoute, Tinyproxy
from real_registries import DOMAIN, HTTPS, RealRegistriesTest, Skopeo, main
from token_server import TokenServer

USER, PASSWORD = "ann", "open-sesame"
LAYER_BYTES = 3_000_000
MIRROR_BYTES = 1_000_000  # after so many a mirror dies: handshakes and documents are far smaller


def auth_document(registry, user=USER, password=PASSWORD):
    auth = base64.b64encode(f"{user}:{password}".encode()).decode()
    return json.dumps({"auths": {registry.host: {"auth": auth}}})


class RegistryTest(RealRegistriesTest):
    def authfile(self, registry, *credentials):
        return "--authfile", self.list_file(auth_document(registry, *credentials), "auth.json")

    def bake_fails(self, *arguments, says):
        result = self.bake(*arguments, code=harness.FAILED)
        self.assert_says(result, *says)
        return result

    @staticmethod
    def asked(registry, condition=lambda item: True):
        """What prebake requested of the registry and the condition is true for."""
        return [item for item in registry.requests()
                if item.client.startswith("prebake/") and condition(item)]

    def wait_asked(self, registry, condition, what):
        """The same, and at least one: the registry logs a request after it is answered."""
        return harness.wait_until(lambda: self.asked(registry, condition), what)


class AuthenticationTest(RegistryTest):
    """The registry has a user, and serves nothing without the password."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.tokens = cls.issue_tokens("tokens", {USER: PASSWORD})
        cls.by_token = cls.serve("by-token", auth=cls.tokens.settings("by-token"))
        users = cls.workspace.path / "htpasswd"
        cls.by_password = cls.serve("by-password", auth=htpasswd(users, {USER: PASSWORD}))

    def test_the_right_password(self):
        for registry in (self.by_password, self.by_token):
            with self.subTest(registry.name):
                image, reference = self.push(registry)
                self.bake(*self.authfile(registry), reference)
                self.assert_baked(reference, image)
                layer = image.layers[0].blob.digest
                served = self.wait_asked(registry, lambda item: item.path.endswith(layer)
                                         and item.status == 200, "the layer is served")
                self.assertEqual({item.user for item in served}, {USER})

    def test_the_wrong_password_is_not_repeated(self):
        for registry in (self.by_password, self.by_token):
            with self.subTest(registry.name):
                _, reference = self.push(registry)
                wrong = self.authfile(registry, USER, "wrong-secret")
                result = self.bake_fails(*wrong, reference, says=[registry.name, "credentials"])
                self.assertNotIn("wrong-secret", result.stdout + result.stderr)

    def test_no_password(self):
        for registry in (self.by_password, self.by_token):
            with self.subTest(registry.name):
                _, reference = self.push(registry)
                self.bake_fails(reference, says=[registry.name, "credentials", "--authfile"])

    def test_skopeo_sees_what_was_baked(self):
        """skopeo uploads through the authentication, and asks for what the record names."""
        skopeo = Skopeo(self.authority, self.directory)
        native = oci_image.small_image(self.repository)
        foreign = oci_image.small_image(self.repository + "-foreign",
                                        architecture=oci_image.other_architecture())
        docker = oci_image.small_image(self.repository + "-docker", flavour="docker")
        index = oci_image.index([(f"linux/{oci_image.host_architecture()}", native),
                                 (f"linux/{oci_image.other_architecture()}", foreign)])
        login = f"{USER}:{PASSWORD}"
        for kind, image, registry in (("oci", native, self.by_token),
                                      ("docker", docker, self.by_password),
                                      ("index", index, self.by_token)):
            with self.subTest(kind):
                repository = f"{registry.host}/skopeo/{kind}"
                skopeo.upload(image, f"{repository}:1", "--dest-creds", login)
                self.bake(*self.authfile(registry), f"{repository}:1")
                entry, _ = self.recorded(f"{repository}:1")
                self.assertEqual(skopeo.digest(f"{repository}:1", "--creds", login),
                                 entry["target"]["digest"])
                digest = entry["manifest"]["digest"]
                self.assertEqual(skopeo.digest(f"{repository}@{digest}", "--creds", login), digest)

    def test_skopeos_password_file(self):
        """What `skopeo login` writes is what --authfile reads."""
        image, reference = self.push(self.by_token)
        file = self.directory / "auth.json"
        Skopeo(self.authority, self.directory).login(self.by_token.host, USER, PASSWORD, file)
        self.bake("--authfile", file, reference)
        self.assert_baked(reference, image)


class TlsTest(RegistryTest):
    """The machine does not trust the registry's authority, or the registry wants a certificate."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.plain = cls.store  # without TLS, on a loopback address
        cls.private = cls.serve("private")
        cls.closed = cls.serve("closed", clients=cls.authority.certificate)
        cls.client = cls.authority.for_client("builder")

    distrusting = {"SSL_CERT_FILE": "/dev/null"}

    def test_without_tls_on_loopback(self):
        image, reference = self.push(self.plain)
        self.bake(reference)
        self.assert_baked(reference, image)

    def test_an_unknown_authority(self):
        _, reference = self.push(self.private)
        result = self.bake(reference, code=harness.FAILED, environment=self.distrusting)
        self.assert_says(result, self.private.name, "certificate", "hosts.toml")

    def test_the_authority_in_a_hosts_file(self):
        image, reference = self.push(self.private)
        hosts = self.hosts_file(self.private, f'server = "https://{self.private.host}"\n'
                                              f'ca = "{self.authority.certificate}"\n')
        self.bake(*hosts, reference, environment=self.distrusting)
        self.assert_baked(reference, image)

    def test_no_client_certificate(self):
        _, reference = self.push(self.closed)
        self.bake_fails(reference, says=[self.closed.name, "client certificate"])

    def test_a_client_certificate_in_a_hosts_file(self):
        image, reference = self.push(self.closed)
        certificate, key = self.client
        hosts = self.hosts_file(self.closed, f'server = "https://{self.closed.host}"\n'
                                             f'client = [["{certificate}", "{key}"]]\n')
        self.bake(*hosts, reference)
        self.assert_baked(reference, image)

    def test_a_client_certificate_as_docker_has_it(self):
        """/etc/docker/certs.d/REGISTRY has files and no hosts.toml."""
        image, reference = self.push(self.closed)
        directory = self.directory / "certs.d" / self.closed.host
        directory.mkdir(parents=True)
        (directory / "authority.crt").write_text(self.authority.certificate.read_text())
        for source, name in zip(self.client, ("client.cert", "client.key")):
            (directory / name).write_text(source.read_text())
        self.bake("--hosts-dir", directory.parent, reference, environment=self.distrusting)
        self.assert_baked(reference, image)


class WayTest(RegistryTest):
    """Something is between prebake and the registry."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.tokens = cls.issue_tokens("tokens", {USER: PASSWORD})
        cls.registry_with_tokens = cls.serve("registry", auth=cls.tokens.settings("registry"))
        cls.proxy = Tinyproxy(cls.new_directory(), private_network.name_server(f"proxy.{DOMAIN}"),
                              USER, PASSWORD)
        cls.addClassCleanup(cls.proxy.stop)

    def via(self, password=PASSWORD):
        """prebake must use the proxy: it resolves no names itself."""
        return {"environment": {"HTTPS_PROXY": f"http://{USER}:{password}@{self.proxy.host}"},
                "prefix": private_network.without_names()}

    def mirror_that_dies(self):
        """Options for a mirror of the registry, its name, and the registry behind it."""
        number = next(self.mirrors)
        name = f"mirror-{number}.{DOMAIN}"
        behind = self.serve(f"behind-{number}", tls=self.authority.for_server(name))
        route = DyingRoute(private_network.name_server(name), HTTPS, (behind.address, HTTPS),
                           MIRROR_BYTES)
        self.addCleanup(route.stop)
        return self.mirror(name), name, behind

    mirrors = itertools.count(1)

    def mirror(self, host):
        return self.hosts_file(self.registry_with_tokens,
                               f'server = "https://{self.registry_with_tokens.host}"\n'
                               f'[host."https://{host}"]\n'
                               'capabilities = ["pull", "resolve"]\n')

    def check_the_rest_came_from_the_registry(self, image, behind):
        layer = image.layers[0].blob
        begun, = self.wait_asked(behind, lambda item: layer.digest in item.path, "a layer begins")
        self.assertIn(f"ns={self.registry_with_tokens.name}", begun.path)
        rest, = self.wait_asked(self.registry_with_tokens,
                                lambda item: layer.digest in item.path and item.status < 400,
                                "the rest is served")
        self.assertEqual((rest.status, rest.user), (206, USER))
        self.assertLess(rest.size, layer.size)

    def test_a_mirror_that_dies_in_the_middle_of_a_layer(self):
        image, reference = self.push(self.registry_with_tokens, size=LAYER_BYTES)
        hosts, _, behind = self.mirror_that_dies()
        self.bake(*hosts, *self.authfile(self.registry_with_tokens), reference)
        self.assert_baked(reference, image)
        self.check_the_rest_came_from_the_registry(image, behind)

    def test_a_mirror_that_dies_behind_a_proxy(self):
        image, reference = self.push(self.registry_with_tokens, size=LAYER_BYTES)
        hosts, mirror, behind = self.mirror_that_dies()
        self.bake(*hosts, *self.authfile(self.registry_with_tokens), reference, **self.via())
        self.assert_baked(reference, image)
        self.check_the_rest_came_from_the_registry(image, behind)
        self.assertLessEqual({mirror, self.registry_with_tokens.name, self.tokens.host},
                             set(self.proxy.tunnels()))

    def test_a_proxy_in_the_configuration_file(self):
        image, reference = self.push(self.registry_with_tokens)
        self.configuration(()).write_text(
            f'{harness.NO_SANDBOX}[registry]\n'
            f'proxy = "http://{USER}:{PASSWORD}@{self.proxy.host}"\n')
        self.bake(*self.authfile(self.registry_with_tokens), reference,
                  prefix=private_network.without_names())
        self.assert_baked(reference, image)

    def test_a_proxy_that_refuses(self):
        _, reference = self.push(self.registry_with_tokens)
        result = self.bake(*self.authfile(self.registry_with_tokens), reference,
                           code=harness.FAILED, **self.via("wrong-secret"))
        self.assert_says(result, self.proxy.host, "refuses the user name or the password")
        self.assertNotIn("wrong-secret", result.stdout + result.stderr)

    def test_a_registry_that_needs_no_proxy(self):
        image, reference = self.push(self.registry_with_tokens)
        before = len(self.proxy.tunnels())
        environment = {**self.via("wrong-secret")["environment"], "NO_PROXY": f".{DOMAIN}"}
        self.bake(*self.authfile(self.registry_with_tokens), reference, environment=environment)
        self.assert_baked(reference, image)
        self.assertEqual(len(self.proxy.tunnels()), before)

    def test_a_pull_through_cache_has_the_credentials(self):
        """prebake has none, and asks the registry for nothing."""
        # Without TLS: docker-registry ends if a handshake takes ten seconds.
        tokens = TokenServer(self.new_directory(), {USER: PASSWORD})
        self.addCleanup(tokens.stop)
        behind = DockerRegistry(self.new_directory(), storage=self.store.storage,
                                auth=tokens.settings("behind"))
        self.addCleanup(behind.stop)
        cache = self.serve("cache", storage=None,
                           upstream={"remoteurl": f"http://{behind.host}", "username": USER,
                                     "password": PASSWORD})
        image, reference = self.push(self.registry_with_tokens)
        self.bake(*self.mirror(cache.host), reference)
        self.assert_baked(reference, image)
        layer = image.layers[0].blob.digest
        self.wait_asked(cache, lambda item: layer in item.path, "the cache serves the layer")
        asked = self.asked(cache, lambda item: item.path != "/v2/")
        self.assertEqual([item for item in asked
                          if f"ns={self.registry_with_tokens.name}" not in item.path], [])
        self.assertEqual(self.asked(self.registry_with_tokens,
                                    lambda item: self.repository in item.path), [])
        self.assertEqual({item.user for item in behind.requests() if item.status == 200}, {USER})


if __name__ == "__main__":
    main()
