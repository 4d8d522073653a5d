// The parts of the page that think, run by node: how spans become a tree, and how filters are read.
import assert from "node:assert/strict";
import {cpSync, mkdtempSync, rmSync, writeFileSync} from "node:fs";
import {tmpdir} from "node:os";
import {join} from "node:path";
import test from "node:test";
import {fileURLToPath} from "node:url";

// A browser is told that these are modules, node needs a package.json beside them.
const page = mkdtempSync(join(tmpdir(), "weft-page-"));
cpSync(fileURLToPath(new URL("../../agent/console/page/", import.meta.url)), page, {recursive: true});
writeFileSync(join(page, "package.json"), '{"type": "module"}');
const {readTrace} = await import(join(page, "model.js"));
const {parseTags} = await import(join(page, "search.js"));
const {formatDuration, formatTick} = await import(join(page, "dom.js"));
rmSync(page, {recursive: true});

const T0 = 1700000000000000;
function span(id, parent, start, duration, tags = {}) {
  return {traceID: "t", spanID: id, operationName: `op ${id}`, processID: "p1", startTime: T0 + start, duration, logs: [], warnings: null,
          references: parent ? [{refType: "CHILD_OF", traceID: "t", spanID: parent}] : [],
          tags: Object.entries(tags).map(([key, value]) => ({key, type: typeof value, value}))};
}
const trace = (...spans) => readTrace({traceID: "t", spans, processes: {p1: {serviceName: "s", tags: []}}});
const shape = (t) => t.spans.map((s) => `${"  ".repeat(s.depth)}${s.id}`);

test("children follow their parent in order of start", () => {
  const t = trace(span("c", "a", 50, 1), span("b", "a", 10, 1), span("d", "b", 11, 1), span("a", "", 0, 100));
  assert.deepEqual(shape(t), ["a", "  b", "    d", "  c"]);
  assert.equal(t.root.id, "a");
  assert.equal(t.length, 100);
});

test("a span whose parent is elsewhere is a root and says so", () => {
  const t = trace(span("b", "gone", 5, 10));
  assert.deepEqual(shape(t), ["b"]);
  assert.equal(t.spans[0].orphan, true);
  assert.equal(t.root.id, "b");
});

test("loops of parents lose no span and end", () => {
  const t = trace(span("a", "b", 0, 1), span("b", "c", 0, 1), span("c", "a", 0, 1), span("self", "self", 0, 1));
  assert.equal(t.spans.length, 4);
  assert.equal(new Set(t.spans).size, 4);
  assert.ok(t.spans.some((s) => s.inLoop));
});

test("equal ids are different spans", () => {
  const t = trace(span("a", "", 0, 10), span("x", "a", 1, 5), span("x", "a", 2, 3), span("y", "x", 3, 1));
  assert.deepEqual(shape(t), ["a", "  x", "    y", "  x"]);
});

test("twenty thousand levels do not overflow the stack", () => {
  const spans = [span("0", "", 0, 1)];
  for (let i = 1; i < 20000; ++i) spans.push(span(String(i), String(i - 1), i, 1));
  const t = trace(...spans);
  assert.equal(t.spans.length, 20000);
  assert.equal(t.deepest, 19999);
});

test("origin, error and the wire's nanoseconds are read from attributes", () => {
  const at = (nanos) => String(BigInt(T0) * 1000n + BigInt(nanos));  // as text: a double would round it
  const wire = {"weft.origin": "merged", "weft.wire.request.first_unix_nano": at(5500), "weft.wire.request.last_unix_nano": at(6000),
                "weft.wire.response.first_unix_nano": at(80000), "weft.wire.response.last_unix_nano": at(90250)};
  const t = trace(span("a", "", 0, 100, {...wire, error: true}), span("b", "a", 1, 1, {"weft.origin": "kernel"}), span("c", "a", 1, 1, {"weft.origin": "<b>"}));
  assert.deepEqual(t.origins, {kernel: 1, merged: 1, sdk: 1});
  assert.equal(t.failed, 1);
  assert.equal(t.spans[0].wire.requestFirst, 5.5);
  assert.equal(t.spans[0].wire.responseLast, 90.25);
  assert.equal(t.spans[1].wire, null);
});

test("wire times that are nonsense are left out", () => {
  const t = trace(span("a", "", 0, 100, {"weft.wire.request.first_unix_nano": "soon", "weft.wire.response.last_unix_nano": "later"}));
  assert.equal(t.spans[0].wire, null);
});

test("tags are key=value, quoted where they have spaces", () => {
  assert.deepEqual(parseTags('a=1 http.route=/x/{id} note="two words" q="a\\"b" e='), {a: "1", "http.route": "/x/{id}", note: "two words", q: 'a"b', e: ""});
  assert.deepEqual(parseTags(""), {});
  assert.equal(parseTags("no equals sign"), null);
});

test("durations have three digits and a fitting unit", () => {
  assert.equal(formatDuration(0.25), "250 ns");
  assert.equal(formatDuration(7), "7 µs");
  assert.equal(formatDuration(1234), "1.23 ms");
  assert.equal(formatDuration(12345678), "12.3 s");
  assert.equal(formatDuration(90e6), "1 m 30 s");
  assert.equal(formatTick(10000), "10 ms");
});
