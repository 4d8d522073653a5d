"""Random batches of Jaeger and Zipkin that hold everything a client may say; the same seed gives the same batch."""

import random

WORDS = ["alpha", "beta", "größe", "日本", "", "x" * 300, "a b|c", "{json}", "1", "true", "-17", "ok"]
NOW_US = 1_760_000_000_000_000


class Random(random.Random):
    def maybe(self, share=0.5):
        return self.random() < share

    def id(self, bits):
        return self.getrandbits(bits) or 1

    def word(self):
        return self.choice(WORDS)

    def time(self):
        return NOW_US + self.randrange(10**9)


# ---- Jaeger: the form of tests/e2e/wire.py.

def jaeger_value(r):
    return r.choice([r.word, lambda: r.maybe(), lambda: r.randrange(-2**63, 2**63), lambda: r.randrange(-5, 5),
                     lambda: r.choice([0.0, -0.0, 1.5, -2.25e10, 1e300]), lambda: r.randbytes(r.randrange(1, 20))])()


SPECIAL = {
    "span.kind": lambda r: r.choice(["client", "server", "producer", "consumer", "internal", "CLIENT", "odd", ""]),
    "error": lambda r: r.choice([True, False, "true", "boom", 1]),
    "otel.status_code": lambda r: r.choice(["OK", "ERROR", "Ok", "error", "STATUS_CODE_ERROR", "STATUS_CODE_OK", "UNSET",
                                            "nonsense", 1, 2]),
    "otel.status_description": lambda r: r.choice(["broken", ""]),
    "http.status_message": lambda r: "Not Found",
    "http.status_code": lambda r: r.choice([200, 204, 302, 404, 418, 500, 503, "200", "404", "500", "none", 99, 700, 404.0]),
    "w3c.tracestate": lambda r: "vendor=1,other=2",
    "otel.scope.name": lambda r: r.choice(["lib", "net/http"]),
    "otel.scope.version": lambda r: "1.2",
    "otel.library.name": lambda r: "oldlib",
    "otel.library.version": lambda r: "0.1",
    "http.method": lambda r: "GET",
    "peer.service": lambda r: "db",
    "component": lambda r: "net/http",
}


def jaeger_tags(r, special=(), most=6):
    tags = [(f"{r.choice('abcdefgh')}.{r.randrange(100)}", jaeger_value(r)) for _ in range(r.randrange(most))]
    if tags and r.maybe(0.1):
        tags.append((r.choice(tags)[0], jaeger_value(r)))
    tags += [(key, SPECIAL[key](r)) for key in special if r.maybe(0.25)]
    r.shuffle(tags)
    return tags


def jaeger_batch(seed, most=12):
    r = Random(seed)
    process_tags = jaeger_tags(r, most=4)
    for key, value in (("hostname", "node-7"), ("host.name", "pod-1"), ("ip", "10.0.0.1"), ("jaeger.version", "Go-2.30"),
                       ("client-uuid", "1f0a"), ("process.pid", 17), ("service.name", "other")):
        if r.maybe(0.3):
            process_tags.append((key, value))
    spans = []
    for _ in range(r.randrange(1, most)):
        trace = r.id(128) if r.maybe(0.7) else r.id(64)
        parent = r.id(64) if r.maybe() else 0
        references = []
        if parent and r.maybe():
            references.append((0, trace, parent))
        while r.maybe(0.3):
            references.append((r.randrange(2), trace if r.maybe() else r.id(128), r.id(64)))
        r.shuffle(references)
        spans.append({
            "trace": trace, "id": r.id(64), "parent": parent, "name": r.word(), "references": references,
            "flags": r.choice([0, 1, 1, 1, 2, 3]), "start": r.time(),
            "duration": r.choice([0, 1, -5, r.randrange(10**7), r.randrange(10**7)]), "tags": jaeger_tags(r, SPECIAL),
            "logs": [(r.time(), jaeger_log(r)) for _ in range(r.randrange(3))]})
    return {"process": {"service": r.choice(["shop", "größe", "a-service", ""]), "tags": process_tags}, "spans": spans}


def jaeger_log(r):
    fields = jaeger_tags(r, most=3)
    if r.maybe(0.6):
        fields.append(("event", r.choice(["error", "retry", ""])))
    if r.maybe(0.3):
        fields += [("message", r.word()), ("stack", "at main\n")]
    return fields


# ---- Zipkin: JSON objects of version 2, and of version 1.

TAGS = {
    "error": ["true", "boom", "", "false"],
    "otel.status_code": ["STATUS_CODE_ERROR", "Error", "ERROR", "STATUS_CODE_OK", "Ok", "OK", "STATUS_CODE_UNSET", "odd"],
    "otel.status_description": ["broken"],
    "otel.library.name": ["lib"],
    "otel.library.version": ["1.2"],
    "otel.scope.name": ["scope"],
    "span.kind": ["internal", "client"],
    "w3c.tracestate": ["vendor=1"],
    "peer.service": ["db"],
    "http.method": ["GET"],
    "http.status_code": ["200", "404", "500"],
    "net.peer.ip": ["192.0.2.9"],
    "k8s.pod.name": ["pod-1"],
    "host.name": ["node-7"],
    "process.pid": ["17"],
    "cloud.region": ["eu"],
    "service.version": ["2"],
    "telemetry.sdk.name": ["otel"],
    "otlp.service.name.source": ["faas.name"],
}


def hex_id(number, digits):
    return f"{number:0{digits}x}"


def endpoint(r):
    out = {}
    if r.maybe(0.9):
        out["serviceName"] = r.choice(["shop", "cart", "größe"])
    if r.maybe(0.6):
        out["ipv4"] = f"10.1.2.{r.randrange(1, 255)}"
    elif r.maybe(0.4):
        out["ipv6"] = "2001:db8::7"
    if r.maybe(0.6):
        out["port"] = r.randrange(1, 65536)
    return out or {"serviceName": "shop"}


def zipkin_annotation(r):
    return r.choice(["wire", "größe", "a|b", 'retry|{"n":1,"why":"x","ok":true,"f":1.5}|2', "half|{}|0"])


def zipkin_tags(r):
    tags = {f"{r.choice('abcdefgh')}.{r.randrange(100)}": r.word() or "v" for _ in range(r.randrange(5))}
    tags.update({key: r.choice(values) for key, values in TAGS.items() if r.maybe(0.12)})
    for i in range(2):
        if r.maybe(0.15):
            tags[f"otlp.link.{i}"] = f'{hex_id(r.id(128), 32)}|{hex_id(r.id(64), 16)}|st=1|{{"k":"v"}}|{i}'
    return tags


def zipkin_v2(seed, most=12):
    r = Random(seed)
    spans = []
    for _ in range(r.randrange(1, most)):
        span = {"traceId": hex_id(r.id(128), 32) if r.maybe(0.7) else hex_id(r.id(64), 16), "id": hex_id(r.id(64), 16)}
        if r.maybe():
            span["parentId"] = hex_id(r.id(64), 16)
        if r.maybe(0.9):
            span["name"] = r.choice(["get", "größe", "a b"])
        if r.maybe(0.7):
            span["kind"] = r.choice(["CLIENT", "SERVER", "PRODUCER", "CONSUMER"])
        if r.maybe(0.9):
            span["timestamp"] = r.time()
            if r.maybe(0.9):
                span["duration"] = r.randrange(1, 10**7)
        if r.maybe(0.9):
            span["localEndpoint"] = endpoint(r)
        if r.maybe():
            span["remoteEndpoint"] = endpoint(r)
        if r.maybe():
            span["annotations"] = [{"timestamp": r.time(), "value": zipkin_annotation(r)} for _ in range(r.randrange(1, 4))]
        if r.maybe(0.8):
            span["tags"] = zipkin_tags(r)
        if r.maybe(0.1):
            span["debug"] = True
        if r.maybe(0.1):
            span["shared"] = True
        spans.append(span)
    return spans


CORE = {"CLIENT": ("cs", "cr"), "SERVER": ("sr", "ss"), "PRODUCER": ("ms",), "CONSUMER": ("mr",)}
PEER = {"CLIENT": "sa", "SERVER": "ca", "PRODUCER": "ma", "CONSUMER": "ma"}


def zipkin_v2_for_v1(seed, ipv6=True):
    """Spans of version 2 that version 1 can say too: it has no place for a service without name, for the shared flag
    and for a kind or a peer without a local endpoint."""
    r, spans = Random(seed), zipkin_v2(seed)
    for span in spans:
        for key in ("shared", "debug"):
            span.pop(key, None)
        span.setdefault("name", "get")
        for key in ("localEndpoint", "remoteEndpoint"):
            if key in span or key == "localEndpoint":
                e = {**span.get(key, {}), "serviceName": r.choice(["shop", "cart"])}
                if not ipv6:
                    e.pop("ipv6", None)
                span[key] = e
        if "kind" not in span:
            span.pop("remoteEndpoint", None)
        span["timestamp"] = span.get("timestamp", r.time())
        # Tags without a value are no annotations.
        span["tags"] = {k: v or "v" for k, v in span.get("tags", {"a": "b"}).items()} or {"a": "b"}
        span["tags"].pop("span.kind", None) if "kind" in span else None
    return spans


def as_v1(span):
    """The same span of version 2 in version 1, as Zipkin's own converter writes it."""
    host = span["localEndpoint"]
    out = {key: span[key] for key in ("traceId", "id", "parentId", "name", "timestamp", "duration", "debug") if key in span}
    times = [span["timestamp"], span["timestamp"] + span.get("duration", 0)]
    out["annotations"] = [{"timestamp": t, "value": v, "endpoint": host}
                          for t, v in zip(times, CORE.get(span.get("kind"), ()))]
    out["annotations"] += [{**a, "endpoint": host} for a in span.get("annotations", [])]
    out["binaryAnnotations"] = [{"key": k, "value": v, "endpoint": host} for k, v in span["tags"].items()]
    if "remoteEndpoint" in span:
        out["binaryAnnotations"].append({"key": PEER[span["kind"]], "value": True, "endpoint": span["remoteEndpoint"]})
    return out
