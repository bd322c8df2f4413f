"""An instance metadata service like that of EC2, which can also misbehave.

It serves an existing socket, which is in the network of a machine.
"""

import http.server
import json
import threading

TOKEN = "AQAEAH-token-of-the-test=="
ROLES = "/latest/meta-data/iam/security-credentials/"
LIFETIME = "X-aws-ec2-metadata-token-ttl-seconds"


class MetadataService:
    """`behaviour` is one of
    well       IMDSv2: a token first, then answers
    throttled  503 to everything
    html       answers like a captive portal
    silent     accepts the request and never answers
    """

    def __init__(self, listener, instance_id, hostname, account="123456789012"):
        self.behaviour = "well"
        self.requests = []  # "PUT /latest/api/token"
        document = {"accountId": account, "architecture": "x86_64",
                    "availabilityZone": "eu-central-1a", "imageId": "ami-0123456789abcdef0",
                    "instanceId": instance_id, "instanceType": "m5.large",
                    "pendingTime": "2026-01-01T00:00:00Z", "privateIp": "10.0.0.17",
                    "region": "eu-central-1", "version": "2017-09-30"}
        self._texts = {
            "/latest/dynamic/instance-identity/document": json.dumps(document, indent=2),
            "/latest/meta-data/instance-id": instance_id,
            "/latest/meta-data/local-hostname": hostname,
            "/latest/meta-data/hostname": hostname,
            "/latest/meta-data/local-ipv4": "10.0.0.17",
            "/latest/meta-data/instance-type": "m5.large",
            "/latest/meta-data/ami-id": "ami-0123456789abcdef0",
            "/latest/meta-data/placement/region": "eu-central-1",
            "/latest/meta-data/placement/availability-zone": "eu-central-1a",
        }
        self._closing = threading.Event()
        service = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                service.answer(self)

            do_PUT = do_GET

            def log_message(self, *arguments):
                pass

        self._server = http.server.ThreadingHTTPServer(("", 0), Handler, bind_and_activate=False)
        self._server.socket.close()
        self._server.socket = listener
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,),
                                        daemon=True)
        self._thread.start()

    def give_role(self, name, credentials):
        """The instance has a role; `credentials` is the document about it."""
        self._texts[ROLES] = name
        self._texts[ROLES + name] = credentials

    def take_role(self):
        for path in [path for path in self._texts if path.startswith(ROLES)]:
            del self._texts[path]

    def answer(self, request):
        self.requests.append(f"{request.command} {request.path}")
        request.rfile.read(int(request.headers.get("Content-Length") or 0))
        if self.behaviour == "silent":
            self._closing.wait()
            request.close_connection = True
        elif self.behaviour == "throttled":
            self._send(request, 503, "")
        elif self.behaviour == "html":
            self._send(request, 200, "<html><body>Please log in\n</body></html>", "text/html")
        elif request.command == "PUT":
            lifetime = request.headers.get(LIFETIME)
            if request.path == "/latest/api/token" and lifetime:
                self._send(request, 200, TOKEN, **{LIFETIME: lifetime})
            else:
                self._send(request, 403, "")
        elif request.headers.get("X-aws-ec2-metadata-token") != TOKEN:
            self._send(request, 401, "")
        elif request.path in self._texts:
            self._send(request, 200, self._texts[request.path])
        else:
            self._send(request, 404, "")

    @staticmethod
    def _send(request, status, text, kind="text/plain", **headers):
        body = text.encode()
        request.send_response(status)
        request.send_header("Content-Type", kind)
        request.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            request.send_header(name, value)
        request.end_headers()
        request.wfile.write(body)

    def stop(self):
        self._closing.set()
        self._server.shutdown()
        self._thread.join()
