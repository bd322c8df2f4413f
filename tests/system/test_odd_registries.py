#!/usr/bin/python3
"""Registries, token services and storage as they behave, not as they should."""

import base64
import json

import harness
import oci_image
import registry as scripted

GET_ONLY = "/only-for-get"


class OddRegistryTest(harness.SystemTest):
    def setUp(self):
        super().setUp()
        self.image = oci_image.small_image(self.repository, size=100_000)
        self.layer = self.image.layers[0].blob

    def serve(self, name, registry=None):
        """Serves the image under a repository of its own, and returns (reference, pattern)."""
        repository = f"{self.repository}/{name}"
        image = oci_image.small_image(repository.replace("/", "-"), size=100_000)
        return (registry or self.registry).serve(repository, image), image, f"/{repository}/"


class HeadTest(OddRegistryTest):
    """What HEAD says is a claim; GET decides."""

    def bake_despite(self, name, behaviour, method="HEAD"):
        reference, image, pattern = self.serve(name)
        self.registry.on(pattern + "manifests/1.0", behaviour, method=method)
        with self.subTest(name):
            self.bake(reference)
            self.assert_baked(reference, image)
            again = self.bake("--json", reference)
            self.assertEqual(again.json["images"][0]["outcome"], "ALREADY_THERE", again)
            self.assertEqual(self.prebake("verify").code, harness.DONE)

    def test_any_refusal(self):
        for status in (400, 401, 403, 404, 405, 406, 412, 429, 500, 501, 503):
            self.bake_despite(f"s{status}", lambda request, response, status=status:
                              scripted.Response(status, {}))

    def test_no_answer(self):
        self.bake_despite("closed", scripted.hang_up)

    def test_a_wrong_length_digest_or_type(self):
        self.bake_despite("longer", scripted.lengthen(129))
        self.bake_despite("shorter", scripted.shorten(29))
        other = "sha256:" + "0" * 64
        self.bake_despite("digest", scripted.with_headers(Docker_Content_Digest=other))
        self.bake_despite("kind", scripted.with_headers(Content_Type=oci_image.OCI_INDEX))
        self.bake_despite("page", scripted.with_headers(Content_Type="text/html"))
        self.bake_despite("untyped", scripted.with_headers(Content_Type="application/json"), None)

    def test_a_body(self):
        self.bake_despite("body", scripted.body_for_head)

    def test_a_redirect_to_a_url_that_is_signed_for_get(self):
        reference, image, pattern = self.serve("signed")
        manifest = image.top

        def redirect(request, response):
            return scripted.Response(307, {"Location": storage.url + GET_ONLY})

        def at_storage(request, response):
            if request.method != "GET":
                return scripted.Response(403, {})
            return scripted.Response(200, {"Content-Type": manifest.media_type}, manifest.content)

        storage = self.fresh_registry()
        storage.on(GET_ONLY, at_storage)
        self.registry.on(pattern + "manifests/1.0", redirect)
        self.bake(reference)
        self.assert_baked(reference, image)

    def test_head_is_enough_where_it_works(self):
        reference, image, _ = self.serve("good")
        self.bake(reference)
        self.registry.requests.clear()
        self.bake(reference)
        self.assertEqual([item.method for item in self.registry.requests], ["HEAD"])

    def test_the_registrys_words_reach_the_user(self):
        for status in (403, 404, 412, 429, 500):
            with self.subTest(status):
                reference, image, pattern = self.serve(f"w{status}")
                words = f"the policy {status} forbids it"
                self.registry.on(pattern + "manifests/", scripted.error(status, words))
                self.bake_beside_a_good_one(reference, words, str(status), image=image)


class RangeTest(OddRegistryTest):
    """A broken transfer is taken up from the start where the registry does not resume it."""

    def bake_despite(self, name, behaviour):
        def answer(request, response):
            return behaviour(request, response) if request.range else response

        reference, image, pattern = self.serve(name)
        layer = pattern + "blobs/" + image.layers[0].blob.digest
        self.registry.on(layer, answer)
        self.registry.on(layer, scripted.truncate(60_000), times=1)
        with self.subTest(name):
            self.bake(reference)
            self.assert_baked(reference, image)
            asked = [item.range for item in self.registry.blob_requests() if layer in item.path]
            self.assertEqual(asked, ["", "bytes=60000-", ""])

    def test_ranges_are_refused(self):
        for status in (400, 403, 404, 405, 416, 501):
            self.bake_despite(f"s{status}", scripted.error(status))

    def test_ranges_are_answered_oddly(self):
        self.bake_despite("without", scripted.without_header("Content-Range"))
        for name, text in (("other", "bytes 70000-99999/100000"), ("total", "bytes 60000-*/7"),
                           ("unit", "lines 60000-99999/100000")):
            self.bake_despite(name, scripted.with_headers(Content_Range=text))
        self.bake_despite("multipart", lambda request, response: scripted.Response(
            206, {"Content-Type": "multipart/byteranges; boundary=b"}, b"--b\r\n\r\n--b--\r\n"))


class TokenTest(OddRegistryTest):
    """Token services that do not like the POST."""

    def test_get_follows_whatever_post_gets(self):
        page = scripted.Response(200, {"Content-Type": "text/html"}, b"<title>Sign in</title>")
        moved = scripted.Response(302, {"Location": "/login"})
        answers = {"page": page, "moved": moved, "null": scripted.Response(200, {}, b"{}"),
                   "closed": scripted.Response(0, {})}
        answers.update({f"s{status}": scripted.Response(status, {}, b"XSRF")
                        for status in (400, 401, 403, 404, 405, 415, 422, 500, 501)})
        registry = self.fresh_registry()
        registry.require_token("ann", "open sesame")
        auth = base64.b64encode(b"ann:open sesame").decode()
        config = self.list_file(json.dumps({"auths": {registry.host: {"auth": auth}}}),
                                "config.json")
        for name, answer in answers.items():
            with self.subTest(name):
                registry.behave()
                registry.on("/token", lambda request, response, answer=answer: answer,
                            method="POST")
                reference, image, _ = self.serve(name, registry)
                result = self.bake(reference, environment={"DOCKER_CONFIG": str(config.parent)})
                self.assert_baked(reference, image)
                self.assertNotIn("sesame", result.stdout + result.stderr)
                asked = [item.method for item in registry.requests if "/token" in item.path]
                self.assertEqual(asked.count("POST"), 1, "what it does not like is not repeated")


    def test_a_token_for_nobody(self):
        """The service does not read the form of a POST, and takes it for an anonymous request."""
        registry = self.fresh_registry()
        registry.require_token("ann", "open sesame")
        registry.on("/token", lambda request, response: scripted.Response(
            200, {}, b'{"token": "nobodys"}'), method="POST")
        auth = base64.b64encode(b"ann:open sesame").decode()
        config = self.list_file(json.dumps({"auths": {registry.host: {"auth": auth}}}),
                                "config.json")
        reference, image, _ = self.serve("nobody", registry)
        self.bake(reference, environment={"DOCKER_CONFIG": str(config.parent)})
        self.assert_baked(reference, image)


class RedirectTest(OddRegistryTest):
    """Redirects as storage writes them."""

    def test_signed_urls_arrive_as_they_are(self):
        reference, image, pattern = self.serve("signed")
        registry = self.registry
        forms = ("//blobs//data?sig=a%2fb%7e+~_(c)*'!&x=%c3%a9", "/a%20b/%2F;v=1?x:y@z=$",
                 "/a//../b/./c?q=a/../b")
        seen = []

        def redirect(request, response):
            seen.append(response.content)
            form = forms[(len(seen) - 1) % len(forms)]
            return scripted.Response(307, {"Location": f"{storage.url}/{len(seen)}{form}#part"})

        def serve(request, response):
            number = int(request.path.split("/")[1])
            if request.path != f"/{number}{forms[(number - 1) % len(forms)]}":
                return scripted.Response(403, {}, request.path.encode())
            return scripted.Response(200, {}, seen[number - 1])

        storage = self.fresh_registry()
        storage.on("/", serve)
        registry.on(pattern + "blobs/", redirect)
        self.bake(reference)
        self.assert_baked(reference, image)

    def test_urls_with_characters_that_they_must_not_have(self):
        reference, image, pattern = self.serve("spaces")
        contents = {}

        def redirect(request, response):
            name = request.path.rpartition(":")[2]
            contents[name] = response.content
            return scripted.Response(302, {"Location": f'{storage.url}/a {name}?f="x"|[1]&p=100%'})

        def serve(request, response):
            path, _, query = request.path.partition("?")
            if query != "f=%22x%22%7C%5B1%5D&p=100%25":
                return scripted.Response(403, {}, request.path.encode())
            return scripted.Response(200, {}, contents[path.removeprefix("/a%20")])

        storage = self.fresh_registry()
        storage.on("/", serve)
        self.registry.on(pattern + "blobs/", redirect)
        self.bake(reference)
        self.assert_baked(reference, image)


    def test_another_registry_that_wants_credentials(self):
        """A host that only has names for the images of others."""
        protect = {"bearer": lambda other: other.require_token("ann", "open sesame"),
                   "anonymous": lambda other: other.require_token(),
                   "basic": lambda other: other.require_basic(
                       lambda *given: given == ("ann", "open sesame"))}
        for name, prepare in protect.items():
            with self.subTest(name):
                other = self.fresh_registry()
                prepare(other)
                reference, image, pattern = self.serve(name)
                other.serve(pattern.strip("/"), image)
                self.registry.on(pattern, scripted.redirect(other.url))
                self.registry.requests.clear()
                auth = base64.b64encode(b"ann:open sesame").decode()
                config = self.list_file(json.dumps({"auths": {other.host: {"auth": auth}}}),
                                        "config.json")
                environment = {} if name == "anonymous" else {"DOCKER_CONFIG": str(config.parent)}
                self.bake(reference, environment=environment)
                self.assert_baked(reference, image)
                self.assertEqual({item.authorization for item in self.registry.requests}, {""})

    def test_another_registry_without_credentials_for_it(self):
        other = self.fresh_registry()
        other.require_token("ann", "open sesame")
        reference, image, pattern = self.serve("closed")
        other.serve(pattern.strip("/"), image)
        self.registry.on(pattern, scripted.redirect(other.url))
        self.bake_beside_a_good_one(reference, f"there are no credentials for {other.host}",
                                    image=image)

    def test_a_token_service_that_moved(self):
        registry = self.fresh_registry()
        registry.require_token("ann", "open sesame")
        registry.on("/token$", lambda request, response: scripted.Response(
            308, {"Location": "/token/new"}), method="POST")
        registry.on("/token", scripted.error(401), method="GET")
        auth = base64.b64encode(b"ann:open sesame").decode()
        config = self.list_file(json.dumps({"auths": {registry.host: {"auth": auth}}}),
                                "config.json")
        reference, image, _ = self.serve("moved", registry)
        self.bake(reference, environment={"DOCKER_CONFIG": str(config.parent)})
        self.assert_baked(reference, image)

    def test_a_token_service_that_moved_to_another_host_is_named(self):
        elsewhere = self.fresh_registry()
        registry = self.fresh_registry()
        registry.require_token("ann", "open sesame")
        registry.on("/token", lambda request, response: scripted.Response(
            307, {"Location": elsewhere.url + "/token"}), method="POST")
        registry.on("/token", scripted.error(401), method="GET")
        auth = base64.b64encode(b"ann:open sesame").decode()
        config = self.list_file(json.dumps({"auths": {registry.host: {"auth": auth}}}),
                                "config.json")
        reference, image, _ = self.serve("elsewhere", registry)
        self.bake_beside_a_good_one(reference, f"redirects to {elsewhere.url}", image=image,
                                    environment={"DOCKER_CONFIG": str(config.parent)})
        self.assertEqual(elsewhere.requests, [])


class RateLimitTest(OddRegistryTest):
    def test_plan_shows_the_pulls_that_are_left(self):
        first, _, _ = self.serve("one")
        second, _, _ = self.serve("two")
        self.registry.on("/manifests/", scripted.with_headers(
            RateLimit_Limit="100;w=21600", RateLimit_Remaining="2;w=21600",
            Docker_RateLimit_Source="203.0.113.7"))
        host = self.registry.host
        enough = self.prebake("plan", first, second)
        self.assertEqual((enough.code, enough.stderr), (harness.DONE, ""), enough)
        self.assertIn(f"pulls from {host}: 2 needed, 2 of 100 left in 6 h 00 min for 203.0.113.7",
                      enough.stdout)
        third, _, _ = self.serve("three")
        short = self.prebake("plan", "--json", first, second, third)
        self.assertEqual(short.code, harness.DONE, short)
        self.assertEqual(short.json["rateLimits"], [{
            "registry": host, "pullsNeeded": 3, "remaining": 2, "limit": 100,
            "windowSeconds": 21600, "source": "203.0.113.7"}])
        self.assert_says(short, "2 more pulls", "needs 3", "docker login")
        self.assertIn("needs 3", short.json["warnings"][0])
        self.bake(first, second)
        settled = self.prebake("plan", first, second)
        self.assertIn(f"pulls from {host}: 0 needed", settled.stdout)


if __name__ == "__main__":
    harness.main()
