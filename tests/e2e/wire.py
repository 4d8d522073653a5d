"""Just enough of thrift (compact, binary) and protobuf to write requests by hand, and Jaeger's and Zipkin's batches
in them. Independent of weft's own readers, and of any generated code.

A thrift struct is a list of (field id, type, value); a type is "bool", "byte", "i16", "i32", "i64", "double",
"string" (bytes or str), "struct" or ("list", type)."""

import struct

COMPACT = {"bool": 1, "byte": 3, "i16": 4, "i32": 5, "i64": 6, "double": 7, "string": 8, "list": 9, "struct": 12}
BINARY = {"bool": 2, "byte": 3, "double": 4, "i16": 6, "i32": 8, "i64": 10, "string": 11, "struct": 12, "list": 15}
CALL, ONEWAY = 1, 4


def raw(text):
    return text.encode() if isinstance(text, str) else text


def varint(number):
    number &= (1 << 64) - 1
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def zigzag(number):
    return varint((number << 1) ^ (number >> 63))


def name_of(kind):
    return kind[0] if isinstance(kind, tuple) else kind


class Compact:
    @staticmethod
    def message(name, fields, type_=ONEWAY, sequence=0):
        return bytes([0x82, type_ << 5 | 1]) + varint(sequence) + varint(len(name)) + raw(name) + Compact.struct(fields)

    @staticmethod
    def struct(fields):
        out, last = bytearray(), 0
        for number, kind, value in fields:
            code = COMPACT[name_of(kind)]
            if kind == "bool":
                code = 1 if value else 2
            delta = number - last
            out += bytes([delta << 4 | code]) if 0 < delta < 16 else bytes([code]) + zigzag(number)
            if kind != "bool":
                out += Compact.value(kind, value)
            last = number
        return bytes(out) + b"\0"

    @staticmethod
    def value(kind, value):
        if isinstance(kind, tuple):
            size, code = len(value), COMPACT[name_of(kind[1])]
            head = bytes([size << 4 | code]) if size < 15 else bytes([0xF0 | code]) + varint(size)
            return head + b"".join(Compact.value(kind[1], v) for v in value)
        if kind == "struct":
            return Compact.struct(value)
        if kind == "string":
            return varint(len(raw(value))) + raw(value)
        if kind == "double":
            return struct.pack("<d", value)
        if kind == "bool":
            return b"\1" if value else b"\2"
        return struct.pack("b", value) if kind == "byte" else zigzag(value)


class Binary:
    @staticmethod
    def message(name, fields, type_=ONEWAY, sequence=0):
        return (struct.pack(">I", 0x80010000 | type_) + struct.pack(">i", len(name)) + raw(name) +
                struct.pack(">i", sequence) + Binary.struct(fields))

    @staticmethod
    def struct(fields):
        out = bytearray()
        for number, kind, value in fields:
            out += struct.pack(">bh", BINARY[name_of(kind)], number) + Binary.value(kind, value)
        return bytes(out) + b"\0"

    @staticmethod
    def value(kind, value):
        if isinstance(kind, tuple):
            return struct.pack(">bi", BINARY[name_of(kind[1])], len(value)) + Binary.items(kind[1], value)
        if kind == "struct":
            return Binary.struct(value)
        if kind == "string":
            return struct.pack(">i", len(raw(value))) + raw(value)
        if kind == "bool":
            return b"\1" if value else b"\0"
        return struct.pack({"byte": ">b", "i16": ">h", "i32": ">i", "i64": ">q", "double": ">d"}[kind], value)

    @staticmethod
    def items(kind, values):
        return b"".join(Binary.value(kind, v) for v in values)


def signed(number, bits=64):
    return number - (1 << bits) if number >> (bits - 1) & 1 else number


# ---- protobuf: a message is the concatenation of these.

def pb(number, value):
    """A field: int and bool as varint, float as double, str and bytes with their length; None writes nothing."""
    if value is None:
        return b""
    if isinstance(value, (bool, int)):
        return varint(number << 3) + varint(int(value))
    if isinstance(value, float):
        return varint(number << 3 | 1) + struct.pack("<d", value)
    return varint(number << 3 | 2) + varint(len(raw(value))) + raw(value)


def pb_fixed64(number, value):
    return varint(number << 3 | 1) + struct.pack("<Q", value)


# ---- Jaeger. A batch is {"process": {...}, "spans": [...]}, all ids as integers, times in microseconds, a tag as
# (key, value) with bool, int, float, str or bytes.

TAG_TYPES = {str: (0, 3, "string"), float: (1, 4, "double"), bool: (2, 5, "bool"), int: (3, 6, "i64"), bytes: (4, 7, "string")}
PROTO_TYPES = {str: (0, 3), bool: (1, 4), int: (2, 5), float: (3, 6), bytes: (4, 7)}


def thrift_tag(tag):
    key, value = tag
    code, field, kind = TAG_TYPES[type(value)]
    return [(1, "string", key), (2, "i32", code), (field, kind, value)]


def thrift_process(process):
    return [(1, "string", process["service"]), (2, ("list", "struct"), [thrift_tag(t) for t in process["tags"]])]


def thrift_span(span):
    low, high = span["trace"] & (1 << 64) - 1, span["trace"] >> 64
    references = [[(1, "i32", kind), (2, "i64", signed(trace & (1 << 64) - 1)), (3, "i64", signed(trace >> 64)),
                   (4, "i64", signed(id_))] for kind, trace, id_ in span["references"]]
    fields = [(1, "i64", signed(low)), (2, "i64", signed(high)), (3, "i64", signed(span["id"])),
              (4, "i64", signed(span["parent"])), (5, "string", span["name"])]
    if references:
        fields.append((6, ("list", "struct"), references))
    fields += [(7, "i32", span["flags"]), (8, "i64", span["start"]), (9, "i64", span["duration"])]
    if span["tags"]:
        fields.append((10, ("list", "struct"), [thrift_tag(t) for t in span["tags"]]))
    if span["logs"]:
        fields.append((11, ("list", "struct"), [[(1, "i64", time), (2, ("list", "struct"), [thrift_tag(t) for t in tags])]
                                                for time, tags in span["logs"]]))
    return fields


def thrift_batch(batch):
    return [(1, "struct", thrift_process(batch["process"])),
            (2, ("list", "struct"), [thrift_span(s) for s in batch["spans"]])]


def emit_batch(batch, encoding=Compact, **options):
    return encoding.message("emitBatch", [(1, "struct", thrift_batch(batch))], **options)


def proto_tag(tag):
    key, value = tag
    code, field = PROTO_TYPES[type(value)]
    return pb(1, key) + pb(2, code) + pb(field, value)


def proto_time(us):
    """A Timestamp or Duration; both parts have the same sign."""
    whole, rest = divmod(abs(us), 1_000_000)
    sign = -1 if us < 0 else 1
    return pb(1, sign * whole) + pb(2, sign * rest * 1000)


def proto_id(number, size):
    return number.to_bytes(size, "big")


def post_spans(batch):
    """PostSpansRequest of jaeger.api_v2. There the parent is a reference like any other."""
    out = b""
    for span in batch["spans"]:
        references = list(span["references"])
        if span["parent"]:
            references.insert(0, (0, span["trace"], span["parent"]))
        message = pb(1, proto_id(span["trace"], 16)) + pb(2, proto_id(span["id"], 8)) + pb(3, span["name"])
        for kind, trace, id_ in references:
            message += pb(4, pb(1, proto_id(trace, 16)) + pb(2, proto_id(id_, 8)) + pb(3, kind))
        message += pb(5, span["flags"]) + pb(6, proto_time(span["start"])) + pb(7, proto_time(span["duration"]))
        message += b"".join(pb(8, proto_tag(t)) for t in span["tags"])
        for time, tags in span["logs"]:
            message += pb(9, pb(1, proto_time(time)) + b"".join(pb(2, proto_tag(t)) for t in tags))
        out += pb(1, message)
    process = pb(1, batch["process"]["service"]) + b"".join(pb(2, proto_tag(t)) for t in batch["process"]["tags"])
    return pb(1, out + pb(2, process))


# ---- Zipkin. A version 2 span is its JSON object; one of version 1 too.

KINDS = {"CLIENT": 1, "SERVER": 2, "PRODUCER": 3, "CONSUMER": 4}


def zipkin_proto_endpoint(endpoint):
    import ipaddress
    out = pb(1, endpoint.get("serviceName"))
    if "ipv4" in endpoint:
        out += pb(2, ipaddress.ip_address(endpoint["ipv4"]).packed)
    if "ipv6" in endpoint:
        out += pb(3, ipaddress.ip_address(endpoint["ipv6"]).packed)
    return out + pb(4, endpoint.get("port"))


def zipkin_proto(spans):
    out = b""
    for span in spans:
        message = pb(1, bytes.fromhex(span["traceId"]))
        if "parentId" in span:
            message += pb(2, bytes.fromhex(span["parentId"]))
        message += pb(3, bytes.fromhex(span["id"])) + pb(4, KINDS.get(span.get("kind"))) + pb(5, span.get("name"))
        if "timestamp" in span:
            message += pb_fixed64(6, span["timestamp"])
        message += pb(7, span.get("duration"))
        for number, key in ((8, "localEndpoint"), (9, "remoteEndpoint")):
            if key in span:
                message += pb(number, zipkin_proto_endpoint(span[key]))
        for annotation in span.get("annotations", []):
            message += pb(10, pb_fixed64(1, annotation["timestamp"]) + pb(2, annotation["value"]))
        for key, value in span.get("tags", {}).items():
            message += pb(11, pb(1, key) + pb(2, value))
        message += pb(12, span.get("debug")) + pb(13, span.get("shared"))
        out += pb(1, message)
    return out


def zipkin_thrift_endpoint(endpoint):
    import ipaddress
    return [(1, "i32", signed(int(ipaddress.ip_address(endpoint.get("ipv4", "0.0.0.0"))), 32)),
            (2, "i16", signed(endpoint.get("port", 0), 16)), (3, "string", endpoint.get("serviceName", ""))]


def zipkin_thrift_span(span):
    trace = int(span["traceId"], 16)
    fields = [(1, "i64", signed(trace & (1 << 64) - 1)), (3, "string", span["name"]), (4, "i64", signed(int(span["id"], 16)))]
    if "parentId" in span:
        fields.append((5, "i64", signed(int(span["parentId"], 16))))
    annotations = [[(1, "i64", a["timestamp"]), (2, "string", a["value"]),
                    *([(3, "struct", zipkin_thrift_endpoint(a["endpoint"]))] if "endpoint" in a else [])]
                   for a in span.get("annotations", [])]
    fields.append((6, ("list", "struct"), annotations))
    types = {bool: (0, lambda v: b"\1" if v else b"\0"), str: (6, raw), int: (4, lambda v: struct.pack(">q", v)),
             float: (5, lambda v: struct.pack(">d", v))}
    binary = []
    for b in span.get("binaryAnnotations", []):
        code, encode = types[type(b["value"])]
        binary.append([(1, "string", b["key"]), (2, "string", encode(b["value"])), (3, "i32", code),
                       *([(4, "struct", zipkin_thrift_endpoint(b["endpoint"]))] if "endpoint" in b else [])])
    fields += [(8, ("list", "struct"), binary), (9, "bool", span.get("debug", False))]
    if "timestamp" in span:
        fields.append((10, "i64", span["timestamp"]))
    if "duration" in span:
        fields.append((11, "i64", span["duration"]))
    if trace >> 64:
        fields.append((12, "i64", signed(trace >> 64)))
    return fields


def zipkin_thrift(spans):
    """A bare list, as POST /api/v1/spans takes it."""
    return struct.pack(">bi", BINARY["struct"], len(spans)) + Binary.items("struct", [zipkin_thrift_span(s) for s in spans])


def emit_zipkin_batch(spans):
    return Compact.message("emitZipkinBatch", [(1, ("list", "struct"), [zipkin_thrift_span(s) for s in spans])])
