"""The Collector as oracle: random batches of Jaeger and Zipkin, sent to weft and to the Collector alike, become the
same OTLP span by span, except for the differences listed here. A difference is a rule that says what weft makes of the
Collector's span and why; each must occur in a run, so that none outlives its reason.

WEFT_ORACLE_BATCHES sets how many batches of each kind are sent (default 150), WEFT_ORACLE_SEED where they begin."""

import http.client
import json
import os
import socket
import time
import unittest

import grpc

import batches
import canonical
import harness
import peers
import wire
from harness import Weft, wait_for

BATCHES = int(os.environ.get("WEFT_ORACLE_BATCHES", "150"))
SEED = int(os.environ.get("WEFT_ORACLE_SEED", "1"))
UNSET, OK, ERROR = 0, 1, 2


def text(value):
    return "stringValue", value


TRUE = "boolValue", True


# ---- The documented differences. Each takes the Collector's span (canonical.py), which it changes into weft's, and what
# the client had sent, and says whether it applied.

def debug_flag(span, sent):
    """The debug flag is kept, as an attribute."""
    if not sent["flags"] & 2:
        return False
    span["attributes"]["jaeger.debug"] = TRUE
    return True


def scope(span, sent):
    """The scope is the scope: the Collector reads it only in protobuf and only under its newer names."""
    took = False
    name, version = (sent["tags"].get(f"otel.scope.{field}") or sent["tags"].get(f"otel.library.{field}") or ""
                     for field in ("name", "version"))
    for key in ("otel.library.name", "otel.library.version", "otel.scope.name", "otel.scope.version"):
        took |= span["attributes"].pop(key, None) is not None
    took |= span["scope"] != (name, version)
    span["scope"] = (name, version)
    return took


def trace_state(span, sent):
    """The trace state is the trace state, also in thrift."""
    return moved(span, "w3c.tracestate", "state")


def moved(span, key, field):
    value = span["attributes"].pop(key, None)
    if value is None:
        return False
    span[field] = value[1]
    return True


def odd_kind(span, sent):
    """A span.kind that is none stays an attribute; the Collector drops it."""
    kind = sent["tags"].get("span.kind")
    if kind is None or kind in ("client", "server", "producer", "consumer", "internal"):
        return False
    span["attributes"]["span.kind"] = text(kind)
    return True


def own_service(span, sent):
    """A process has one service, the one that Jaeger shows: a tag service.name of the process does not replace it."""
    if not sent["service"] or span["resource"].get("service.name") == text(sent["service"]):
        return False
    span["resource"]["service.name"] = text(sent["service"])
    return True


SPELLINGS = {"STATUS_CODE_ERROR": ERROR, "STATUS_CODE_OK": OK, "STATUS_CODE_UNSET": UNSET, 1: OK, 2: ERROR}


def status_spelling(span, sent):
    """otel.status_code counts in all spellings of its exporters, also as a number."""
    code = sent["tags"].get("otel.status_code")
    if code not in SPELLINGS or sent["tags"].get("error") is True:
        return False
    span["status"] = SPELLINGS[code], span["status"][1]
    return True


def no_status(span, sent):
    """An otel.status_code that is none stays an attribute, and the other tags decide."""
    tags = sent["tags"]
    if tags.get("otel.status_code") != "nonsense":
        return False
    span["attributes"]["otel.status_code"] = text("nonsense")
    if tags.get("error") is not True:
        if "otel.status_description" in tags:
            span["attributes"]["otel.status_description"] = text(tags["otel.status_description"])
        span["status"] = http_status(span, tags)
    return True


def http_status(span, tags):
    try:
        code = int(tags["http.status_code"])
    except (KeyError, ValueError):
        return UNSET, ""
    if 100 <= code < 400 or (400 <= code < 500 and span["kind"] == 2):
        return UNSET, ""
    return ERROR, tags.get("http.status_message", "")


def http_status_double(span, sent):
    """http.status_code counts as a double too: JavaScript knows no other numbers."""
    tags = sent["tags"]
    if not isinstance(tags.get("http.status_code"), float) or tags.get("error") is True or "otel.status_code" in tags:
        return False
    span["status"] = http_status(span, tags)
    return True


def no_end_before_start(span, sent):
    """A negative duration is none; the Collector lets the span end before it begins."""
    if span["end"] >= span["start"]:
        return False
    span["end"] = span["start"]
    return True


JAEGER = [no_end_before_start, debug_flag, scope, trace_state, odd_kind, own_service, status_spelling, no_status, http_status_double]


# The Collector calls endpoints network.local.address, service.peer.name and net.host.port; weft's names are either all of
# the new kind or all of the old (receivers.zipkin.endpoint_attributes).
def endpoint_names(span, sent):
    """The port has a name of the same convention as the address, and the peer's service its established one."""
    took = False
    for theirs, ours in (("net.host.port", "network.local.port"), ("net.peer.port", "network.peer.port"),
                         ("service.peer.name", "peer.service")):
        value = span["attributes"].pop(theirs, None)
        if value is None:
            continue
        span["attributes"].setdefault(ours, value)
        took = True
    return took


def debug_and_shared(span, sent):
    """Debug and shared are kept as attributes."""
    for key in ("debug", "shared"):
        if sent.get(key):
            span["attributes"][f"zipkin.{key}"] = TRUE
    return bool(sent.get("debug") or sent.get("shared"))


def whole_annotations(span, sent):
    """An annotation that is not the packed form stays whole; the Collector cuts it at the first '|'."""
    whole = [(a["timestamp"] * 1000, a["value"]) for a in sent.get("annotations", [])
             if "|" in a["value"] and "|{" not in a["value"]]
    for event in span["events"]:
        for moment, value in whole:
            if event["time"] == moment and event["name"] == value.split("|")[0]:
                event["name"] = value
    span["events"].sort(key=repr)
    return bool(whole)


def zipkin_status(span, sent):
    """OK and ERROR count as status codes, an unknown code stays an attribute, and a description belongs to an error tag."""
    tags, before = sent.get("tags", {}), (span["status"], dict(span["attributes"]))
    code = {"OK": OK, "ERROR": ERROR, "STATUS_CODE_OK": OK, "Ok": OK, "Error": ERROR, "STATUS_CODE_ERROR": ERROR,
            "STATUS_CODE_UNSET": UNSET}.get(tags.get("otel.status_code"))
    if "error" in tags:
        code = ERROR
    if tags.get("otel.status_code") == "odd":
        span["attributes"]["otel.status_code"] = text("odd")
    description = tags.get("otel.status_description", "")
    span["attributes"].pop("otel.status_description", None)
    if description and code is None:
        span["attributes"]["otel.status_description"] = text(description)
        description = ""
    span["status"] = code or UNSET, description
    return before != (span["status"], span["attributes"])


def links_after_a_gap(span, sent):
    """otlp.link.1 is a link even without otlp.link.0."""
    took = False
    for key in [k for k in span["attributes"] if k.startswith("otlp.link.")]:
        trace, id_, state, packed, dropped = span["attributes"].pop(key)[1].split("|")
        span["links"].append({"trace": trace, "span": id_, "state": state, "dropped": int(dropped),
                              "attributes": {k: text(v) for k, v in json.loads(packed).items()}})
        took = True
    span["links"].sort(key=repr)
    return took


def odd_zipkin_kind(span, sent):
    """A tag span.kind that says anything but "internal" stays; the Collector drops it."""
    if "kind" in sent or sent.get("tags", {}).get("span.kind") in (None, "internal"):
        return False
    span["attributes"]["span.kind"] = text(sent["tags"]["span.kind"])
    return True


def absent_start(span, sent):
    """A span without a timestamp says so, also in protobuf."""
    if "timestamp" in sent or "otel.zipkin.absentField.startTime" in span["attributes"]:
        return False
    span["attributes"]["otel.zipkin.absentField.startTime"] = TRUE
    return True


def version_alone(span, sent):
    """A scope may have a version and no name."""
    tags = sent.get("tags", {})
    version = tags.get("otel.scope.version") or tags.get("otel.library.version")
    if span["scope"][0] or not version:
        return False
    span["scope"] = "", version
    return True


RESOURCE_KEYS = ("k8s.pod.name", "host.name", "process.pid", "cloud.region", "service.version", "telemetry.sdk.name")


def resource_without_service(span, sent):
    """The tags that name a resource do so also when the span has no service; the Collector drops them."""
    tags = {k: text(v) for k, v in sent.get("tags", {}).items() if k in RESOURCE_KEYS}
    if sent.get("localEndpoint", {}).get("serviceName") or not tags:
        return False
    span["resource"].update(tags)
    return True


ZIPKIN = [version_alone, resource_without_service, endpoint_names, debug_and_shared, whole_annotations, zipkin_status, links_after_a_gap, odd_zipkin_kind]
V1 = [r for r in ZIPKIN if r not in (debug_and_shared, resource_without_service)]


# ---- How things are sent.

def post(port, path, body, content_type):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("POST", path, body, {"Content-Type": content_type})
    reply = connection.getresponse()
    answer = reply.read()
    connection.close()
    if reply.status != 202:
        raise AssertionError(f"{path} answered {reply.status} {answer[:200]} to {body[:300]}")


class Oracle(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        self.collector = peers.Collector()
        self.enterContext(self.collector.running())
        self.weft = self.enterContext(Weft(capture__enabled="false", exporters__store__enabled="false",
                                           receivers__zipkin__endpoint_attributes="stable"))
        self.targets = {"weft": self.weft.ports, "collector": self.collector.ports}

    def compare(self, sent, rules):
        """`sent`: (trace id, span id) in hex to what the client had sent."""
        wait_for("the Collector's file", lambda: len(canonical.read(self.collector.file)) >= len(sent))
        wait_for("weft's file", lambda: len(canonical.read(self.weft.file)) >= len(sent))
        self.weft.stop()
        theirs, ours = canonical.read(self.collector.file), canonical.read(self.weft.file)
        self.assertEqual(set(theirs), set(sent))
        self.assertEqual(set(ours), set(sent))
        used, wrong = set(), []
        for key, span in theirs.items():
            used |= {rule for rule in rules if rule(span, sent[key])}
            lines = canonical.difference(span, ours[key])
            if lines:
                wrong.append(f"{key} sent {sent[key]}\n  " + "\n  ".join(lines))
        self.assertFalse(wrong, f"{len(wrong)} of {len(sent)} spans differ:\n" + "\n".join(wrong[:5]))
        return used

    def check_used(self, used, rules):
        if BATCHES >= 100:
            self.assertEqual({r.__name__ for r in rules} - {r.__name__ for r in used}, set(), "differences that never occur")

    # ---- Jaeger

    def jaeger(self, send, rules):
        sent = {}
        for seed in range(SEED, SEED + BATCHES):
            batch = batches.jaeger_batch(seed)
            for ports in self.targets.values():
                send(batch, ports)
            for span in batch["spans"]:
                sent[f"{span['trace']:032x}", f"{span['id']:016x}"] = {
                    "flags": span["flags"], "tags": dict(span["tags"]), "service": batch["process"]["service"], "span": span}
        self.check_used(self.compare(sent, rules), rules)

    def test_jaeger_thrift_over_http(self):
        self.jaeger(lambda batch, ports: post(ports["jaeger_http"], "/api/traces?format=jaeger.thrift",
                                              wire.Binary.struct(wire.thrift_batch(batch)), "application/x-thrift"), JAEGER)

    def test_jaeger_protobuf_over_grpc(self):
        channels = {id(p): grpc.insecure_channel(f"127.0.0.1:{p['jaeger_grpc']}") for p in self.targets.values()}
        method = "/jaeger.api_v2.CollectorService/PostSpans"
        # In protobuf the Collector reads the trace state as weft does.
        self.jaeger(lambda batch, ports: channels[id(ports)].unary_unary(method)(wire.post_spans(batch), timeout=10),
                    [r for r in JAEGER if r is not trace_state])
        for channel in channels.values():
            channel.close()

    def test_jaeger_compact_over_udp(self):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            def send(batch, ports):
                udp.sendto(wire.emit_batch(batch), ("127.0.0.1", ports["compact"]))
                time.sleep(0.001)  # the Collector drops what it has no room for
            self.jaeger(send, JAEGER)

    # ---- Zipkin. The Collector gets every span in a request of its own: it gives the resource tags of a request's first
    # span to all others of the service, and drops theirs.

    def zipkin(self, make, to_weft, to_collector, rules):
        sent = {}
        for seed in range(SEED, SEED + BATCHES):
            spans = make(seed)
            to_weft(spans)
            for span in spans:
                to_collector([span])
                sent[span["traceId"].zfill(32), span["id"]] = span
        self.check_used(self.compare(sent, rules), rules)

    def v2_json(self, who):
        return lambda spans: post(self.targets[who]["zipkin"], "/api/v2/spans", json.dumps(spans), "application/json")

    def test_zipkin_v2_json(self):
        self.zipkin(batches.zipkin_v2, self.v2_json("weft"), self.v2_json("collector"), ZIPKIN)

    def test_zipkin_v2_protobuf(self):
        def make(seed):
            # The Collector refuses ids of 8 bytes in protobuf.
            return [{**span, "traceId": span["traceId"].zfill(32)} for span in batches.zipkin_v2(seed)]

        def sender(who):
            return lambda spans: post(self.targets[who]["zipkin"], "/api/v2/spans", wire.zipkin_proto(spans),
                                      "application/x-protobuf")
        self.zipkin(make, sender("weft"), sender("collector"), ZIPKIN + [absent_start])

    # Version 1 has a translator of its own in the Collector that knows no scope, link, trace state, peer and resource tag.
    # What a span of version 1 means is what the Collector makes of the same span in version 2.

    def test_zipkin_v1_json_is_read_like_version_2(self):
        self.zipkin(batches.zipkin_v2_for_v1, lambda spans: post(
            self.targets["weft"]["zipkin"], "/api/v1/spans", json.dumps([batches.as_v1(s) for s in spans]),
            "application/json"), self.v2_json("collector"), V1)

    def test_zipkin_v1_thrift_is_read_like_version_2(self):
        self.zipkin(lambda seed: batches.zipkin_v2_for_v1(seed, ipv6=False), lambda spans: post(
            self.targets["weft"]["zipkin"], "/api/v1/spans", wire.zipkin_thrift([batches.as_v1(s) for s in spans]),
            "application/x-thrift"), self.v2_json("collector"), V1)


if __name__ == "__main__":
    peers.require("otelcol")
    harness.main()
