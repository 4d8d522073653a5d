"""OTLP as the file exporters write it, in a form in which equal spans are equal."""

import json


def any_value(value):
    kind, raw = next(iter(value.items()), ("none", None))
    if kind == "intValue":
        return kind, int(raw)
    if kind == "doubleValue":
        return kind, float(raw)
    if kind == "arrayValue":
        return kind, tuple(any_value(v) for v in raw.get("values", []))
    if kind == "kvlistValue":
        return kind, tuple(sorted((p["key"], any_value(p["value"])) for p in raw.get("values", [])))
    return kind, raw


def attributes(pairs):
    out = {}
    for pair in pairs or []:
        assert pair["key"] not in out, f"the attribute {pair['key']} is there twice"
        out[pair["key"]] = any_value(pair.get("value", {}))
    return out


def canonical(resource, scope, span):
    status = span.get("status", {})
    return {
        "parent": span.get("parentSpanId", ""), "name": span.get("name", ""), "kind": span.get("kind", 0),
        "start": int(span.get("startTimeUnixNano", 0)), "end": int(span.get("endTimeUnixNano", 0)),
        "attributes": attributes(span.get("attributes")), "dropped": span.get("droppedAttributesCount", 0),
        "events": sorted(({"time": int(e.get("timeUnixNano", 0)), "name": e.get("name", ""),
                           "attributes": attributes(e.get("attributes")), "dropped": e.get("droppedAttributesCount", 0)}
                          for e in span.get("events", [])), key=repr),
        "links": sorted(({"trace": l.get("traceId", ""), "span": l.get("spanId", ""), "state": l.get("traceState", ""),
                          "attributes": attributes(l.get("attributes")), "dropped": l.get("droppedAttributesCount", 0)}
                         for l in span.get("links", [])), key=repr),
        "status": (status.get("code", 0), status.get("message", "")), "state": span.get("traceState", ""),
        "flags": span.get("flags", 0), "scope": (scope.get("name", ""), scope.get("version", "")),
        "scope_attributes": attributes(scope.get("attributes")), "resource": attributes(resource.get("attributes")),
    }


def read(path):
    """(trace id, span id) to the span in canonical form."""
    out = {}
    if not path.exists():
        return out
    for line in path.read_text().split("\n")[:-1]:  # the last line may still be being written
        for resource_spans in json.loads(line).get("resourceSpans", []):
            for scope_spans in resource_spans.get("scopeSpans", []):
                for span in scope_spans.get("spans", []):
                    key = span["traceId"], span["spanId"]
                    assert key not in out, f"{key} twice in {path}"
                    out[key] = canonical(resource_spans.get("resource", {}), scope_spans.get("scope", {}), span)
    return out


def difference(want, got):
    """The fields that differ, one a line; empty when equal."""
    lines = []
    for field in want:
        a, b = want[field], got[field]
        if a == b:
            continue
        if isinstance(a, dict):
            for key in sorted(set(a) | set(b)):
                if a.get(key) != b.get(key):
                    lines.append(f"{field}[{key}]: Collector {a.get(key)!r}, weft {b.get(key)!r}")
        else:
            lines.append(f"{field}: Collector {a!r}, weft {b!r}")
    return lines
