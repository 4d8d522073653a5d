// The panel of one span: what it is, who saw it, when it was on the wire, and everything that was said about it.
import {copyButton, formatDuration, h, originBadge, ORIGINS, serviceDot} from "./dom.js";

function value(tag) {
  const text = typeof tag.value === "string" ? tag.value : JSON.stringify(tag.value);
  return h("bdi", {class: tag.type === "string" ? "" : "literal"}, text === "" ? h("span", {class: "muted"}, "(empty)") : text);
}

// "+1.2 ms" after the start of something.
function after(us) {
  return us > 0 ? `+${formatDuration(us)}` : "0";
}

// Long keys break behind their dots and underscores.
function breakable(key) {
  return key.split(/(?<=[._/])/).flatMap((part, i) => (i ? [h("wbr"), part] : [part]));
}

function tagTable(tags, caption) {
  const sorted = [...tags].sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0));
  return h("table", {class: "tags", "aria-label": caption}, h("tbody", null, sorted.map((tag) =>
      h("tr", null, h("th", {scope: "row"}, h("bdi", null, breakable(tag.key))), h("td", null, value(tag))))));
}

function section(title, count, content, open = true) {
  return h("details", {class: "section", open}, h("summary", null, title, count === null ? null : h("span", {class: "muted"}, ` ${count}`)), content);
}

// The four moments that the kernel saw, as a little timeline of numbers.
function wireTable(span) {
  const w = span.wire;
  const row = (label, from, to) => h("tr", null, h("th", {scope: "row"}, label), h("td", {class: "num"}, from === null ? "–" : after(from - span.start)),
                                     h("td", {class: "num"}, from !== null && to !== null ? formatDuration(to - from) : "–"));
  return h("table", {class: "wire"}, h("thead", null, h("tr", null, h("th"), h("th", {scope: "col", class: "num"}, "begins"), h("th", {scope: "col", class: "num"}, "takes"))),
      h("tbody", null,
          row("Before the wire", span.start, w.requestFirst), row("Request", w.requestFirst, w.requestLast), row("Waiting", w.requestLast, w.responseFirst),
          row("Response", w.responseFirst, w.responseLast), row("After the wire", w.responseLast, Math.max(span.end, w.responseLast))));
}

function events(span) {
  return h("ol", {class: "events"}, span.raw.logs.map((log) => {
    const name = log.fields.find((f) => f.key === "event");
    return h("li", null, h("div", null, h("span", {class: "num at"}, after(log.timestamp - span.raw.startTime)), h("bdi", null, name ? String(name.value) : "event")),
             tagTable(log.fields.filter((f) => f !== name), "Attributes of the event"));
  }));
}

function relatives(span, trace, select) {
  const link = (other) => h("button", {type: "button", class: "link", onclick: () => select(other)}, serviceDot(other.service), h("bdi", null, `${other.service} ${other.name}`));
  const list = [];
  if (span.parent) list.push(h("div", null, h("span", {class: "muted"}, "Parent "), link(span.parent)));
  else if (span.orphan) list.push(h("div", null, h("span", {class: "muted"}, "Parent "), h("code", null, span.parentId), h("span", {class: "muted"}, " is not here")));
  for (const reference of (span.raw.references || []).filter((r) => r.refType === "FOLLOWS_FROM").slice(0, 50)) {
    const local = reference.traceID === trace.id && trace.spans.find((s) => s.id === reference.spanID);
    list.push(h("div", null, h("span", {class: "muted"}, "Link "), local ? link(local) :
        h("a", {href: `/trace/${encodeURIComponent(reference.traceID)}?span=${encodeURIComponent(reference.spanID)}`, "data-local": true}, h("code", null, reference.traceID.slice(0, 16)))));
  }
  return list.length ? h("div", {class: "relatives"}, list) : null;
}

export function spanDetails(span, trace, {select, zoom, reset}) {
  const inside = span.children.reduce((sum, child) => sum + child.duration, 0);
  const message = (span.raw.tags || []).find((t) => t.key === "otel.status_description");
  const fact = (label, ...content) => h("div", null, h("dt", null, label), h("dd", null, ...content));
  return [
    h("div", {class: "details-head"},
        h("h2", null, h("bdi", null, span.name)),
        h("p", null, serviceDot(span.service), h("bdi", null, span.service), span.kind ? h("span", {class: "kind"}, span.kind) : null, originBadge(span.origin)),
        span.failed ? h("p", {class: "error-box"}, h("span", {class: "mark", "aria-hidden": "true"}, "!"), h("bdi", null, message ? String(message.value) : "This operation failed.")) : null,
        h("p", {class: "muted"}, ORIGINS[span.origin].text)),
    h("dl", {class: "facts"},
        fact("Start", after(span.start)), fact("Duration", formatDuration(span.duration)),
        fact("Children", span.children.length ? `${span.children.length} · ${formatDuration(inside)}` : "none")),
    h("div", {class: "actions"},
        h("button", {type: "button", disabled: span.duration === 0, title: "The timeline shows this span only (z)", onclick: () => zoom(span)}, "Zoom to span"),
        reset ? h("button", {type: "button", title: "The timeline shows the whole trace (Esc)", onclick: reset}, "Whole trace") : null),
    relatives(span, trace, select),
    span.wire ? section("On the wire", null, wireTable(span)) : null,
    section("Attributes", span.raw.tags.length, tagTable(span.raw.tags, "Attributes")),
    span.raw.logs.length ? section("Events", span.raw.logs.length, events(span)) : null,
    section("Process", span.process.tags.length, tagTable(span.process.tags, "Attributes of the process"), false),
    h("div", {class: "ids"}, h("span", {class: "muted"}, "Span ID "), h("code", null, span.id), copyButton(span.id, "Copy the span id")),
  ].filter(Boolean);
}
