// A trace as the waterfall needs it: spans in tree order with depth, origin and the wire's times, whatever a hostile
// sender put into parents and times (loops, missing parents, equal ids, thousands of levels).
import {ORIGINS} from "./dom.js";

const WIRE = {
  requestFirst: "weft.wire.request.first_unix_nano",
  requestLast: "weft.wire.request.last_unix_nano",
  responseFirst: "weft.wire.response.first_unix_nano",
  responseLast: "weft.wire.response.last_unix_nano",
};

export function tagValue(tags, key) {
  for (const tag of tags || []) if (tag.key === key) return tag.value;
  return undefined;
}

// Nanoseconds as text or number → µs after `originUs`, without losing the nanoseconds to a double.
function sinceUs(nanos, originUs) {
  if (nanos === undefined) return null;
  try {
    return Number(BigInt(nanos) - BigInt(originUs) * 1000n) / 1000;
  } catch {
    return null;
  }
}

function readSpan(raw, processes, startUs, index) {
  const process = processes[raw.processID] || {serviceName: "unknown", tags: []};
  const origin = tagValue(raw.tags, "weft.origin");
  const wire = {};
  for (const [name, key] of Object.entries(WIRE)) wire[name] = sinceUs(tagValue(raw.tags, key), startUs);
  const parent = (raw.references || []).find((r) => r.refType === "CHILD_OF" && r.traceID === raw.traceID);
  return {
    index, raw, process, service: process.serviceName, name: raw.operationName || "(no name)",
    id: raw.spanID, parentId: parent ? parent.spanID : "", kind: tagValue(raw.tags, "span.kind") || "",
    origin: origin in ORIGINS ? origin : "sdk",
    failed: tagValue(raw.tags, "error") === true || tagValue(raw.tags, "otel.status_code") === "ERROR",
    start: raw.startTime - startUs, duration: raw.duration, end: raw.startTime - startUs + raw.duration,
    wire: wire.requestFirst !== null && wire.responseLast !== null && wire.responseLast >= wire.requestFirst ? wire : null,
    children: [], depth: 0, parent: null, orphan: false, inLoop: false,
  };
}

export function readTrace(raw) {
  const startUs = raw.spans.reduce((least, s) => Math.min(least, s.startTime), Infinity);
  const spans = raw.spans.map((s, i) => readSpan(s, raw.processes, startUs, i));
  const byId = new Map();
  for (const span of spans) if (!byId.has(span.id)) byId.set(span.id, span);
  const roots = [];
  for (const span of spans) {
    const parent = span.parentId ? byId.get(span.parentId) : null;
    span.orphan = Boolean(span.parentId) && !parent;
    if (parent && parent !== span) {
      span.parent = parent;
      parent.children.push(span);
    } else {
      roots.push(span);
    }
  }
  const early = (a, b) => a.start - b.start || b.duration - a.duration || a.index - b.index;
  for (const span of spans) span.children.sort(early);
  roots.sort(early);
  const ordered = [], visited = new Set();
  const walk = (root) => {
    const stack = [root];
    while (stack.length) {
      const span = stack.pop();
      if (visited.has(span)) continue;
      visited.add(span);
      span.depth = span.parent && visited.has(span.parent) && span !== root ? span.parent.depth + 1 : 0;
      ordered.push(span);
      for (let i = span.children.length - 1; i >= 0; --i) stack.push(span.children[i]);
    }
  };
  roots.forEach(walk);
  for (const span of spans) {
    if (visited.has(span)) continue;
    span.inLoop = true;  // parents that lead back to the span itself
    if (span.parent) span.parent.children = span.parent.children.filter((child) => child !== span);
    walk(span);
  }
  ordered.forEach((span, i) => (span.order = i));
  const length = spans.reduce((most, s) => Math.max(most, s.end), 1);
  const services = new Map();
  const origins = {kernel: 0, merged: 0, sdk: 0};
  for (const span of spans) {
    services.set(span.service, (services.get(span.service) || 0) + 1);
    ++origins[span.origin];
  }
  const root = ordered.find((s) => !s.orphan) || ordered[0];
  return {id: raw.traceID, startUs, length, spans: ordered, services, origins, root, failed: spans.filter((s) => s.failed).length,
          deepest: ordered.reduce((most, s) => Math.max(most, s.depth), 0)};
}
