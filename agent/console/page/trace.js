// One trace: its head, the waterfall (only the rows in sight exist, so thousands of spans cost nothing) and the span
// that is selected. The waterfall is a tree for the keyboard and for screen readers.
import {copyButton, formatDate, formatDuration, getJson, h, originBadge, ORIGINS, serviceColor, serviceDot} from "./dom.js";
import {readTrace} from "./model.js";
import {spanDetails} from "./details.js";

const ROW = 26;        // px, as in page.css
const OVERSCAN = 12;   // rows beyond the edges of the window
const INDENT = 14, MAX_INDENT = 14;

export function showTrace(frame, id) {
  document.title = "Trace · weft";
  frame.setWhere(h("a", {href: "/", "data-local": true}, "Traces"), " / ", h("code", null, id.slice(0, 32)));
  frame.main.replaceChildren(h("p", {class: "empty muted"}, "Loading…"));
  const request = new AbortController();
  let view = null;
  (async () => {
    try {
      const {data} = await getJson(`/api/traces/${encodeURIComponent(id)}`, request.signal);
      view = new TraceView(frame, readTrace(data[0]));
    } catch (error) {
      if (error.name === "AbortError") return;
      frame.main.replaceChildren(h("div", {class: "empty"}, h("h2", null, error.status === 404 ? "This trace is not here" : "The trace cannot be shown"),
          h("p", null, error.status === 404 ? "It was never seen by this node, or newer traces have taken its place in the store." : error.message),
          h("p", null, h("a", {href: "/", "data-local": true}, "Recent traces"))));
    }
  })();
  return () => {
    request.abort();
    if (view) view.stop();
  };
}

class TraceView {
  constructor(frame, trace) {
    this.frame = frame;
    this.trace = trace;
    this.collapsed = new Set();
    this.matches = null;
    this.view = {from: 0, to: trace.length};  // µs: what the timeline shows
    this.selected = trace.spans.find((s) => s.id === new URLSearchParams(location.search).get("span")) || trace.root;
    document.title = `${trace.root.service} ${trace.root.name} · weft`;
    this.onScroll = () => this.schedule();
    this.build();
    this.flatten();
    this.select(this.selected, {scroll: true, push: false});
    window.addEventListener("scroll", this.onScroll, {passive: true});
    window.addEventListener("resize", this.onScroll);
    this.tree.focus({preventScroll: true});
  }

  stop() {
    window.removeEventListener("scroll", this.onScroll);
    window.removeEventListener("resize", this.onScroll);
  }

  build() {
    const t = this.trace;
    const fact = (label, ...value) => h("div", null, h("dt", null, label), h("dd", null, ...value));
    const head = h("div", {class: "trace-head"},
        h("h1", null, serviceDot(t.root.service), h("bdi", {class: "service"}, t.root.service), " ", h("bdi", null, t.root.name)),
        h("dl", {class: "facts"},
            fact("Started", formatDate(t.startUs)), fact("Duration", formatDuration(t.length)),
            fact("Spans", t.spans.length.toLocaleString("en")), fact("Services", t.services.size), fact("Depth", t.deepest + 1),
            t.failed ? h("div", {class: "failed"}, h("dt", null, "Errors"), h("dd", null, t.failed)) : null,
            fact("Trace ID", h("code", null, t.id), copyButton(t.id, "Copy the trace id"))));
    this.found = h("span", {class: "muted", "aria-live": "polite"});
    const find = h("input", {type: "search", placeholder: "Find in this trace", "aria-label": "Find spans by name, service or attribute", autocomplete: "off",
                             oninput: () => this.find(find.value), onkeydown: (e) => e.key === "Enter" && (e.preventDefault(), this.next(e.shiftKey ? -1 : 1))});
    const legend = h("div", {class: "legend", role: "note", "aria-label": "What the bars mean"},
        ["sdk", "merged", "kernel"].map((key) => h("span", {title: ORIGINS[key].text, class: t.origins[key] ? "" : "none"},
            h("span", {class: `key ${key}`, "aria-hidden": "true"}, key === "merged" ? h("i") : null), `${ORIGINS[key].label} `, h("b", null, t.origins[key]))),
        h("span", {title: "From the first byte of the request to the last byte of the response, as the kernel saw them"},
            h("span", {class: "key wire", "aria-hidden": "true"}), "on the wire"),
        t.failed ? h("span", {class: "failed"}, h("span", {class: "mark", "aria-hidden": "true"}, "!"), "error") : null);
    this.rows = h("div", {class: "rows"});
    this.tree = h("div", {class: "tree", role: "tree", tabindex: "0", "aria-label": "Spans", onkeydown: (e) => this.key(e), onclick: (e) => this.click(e), ondblclick: () => this.zoom(this.selected)}, this.rows);
    this.details = h("aside", {class: "details", "aria-label": "The selected span"});
    this.ruler = h("div", {class: "ruler", "aria-hidden": "true"}, h("div", {class: "cell tree-cell"}, "Service and operation"), this.ticks());
    this.frame.main.replaceChildren(h("div", {class: "trace"}, head,
        h("div", {class: "tools"}, legend, h("span", {class: "grow"}), this.found, find,
            h("button", {type: "button", class: "quiet", onclick: () => this.collapseAll(false)}, "Expand all"),
            h("button", {type: "button", class: "quiet", onclick: () => this.collapseAll(true)}, "Collapse all")),
        h("div", {class: "split"}, h("div", {class: "waterfall"}, this.ruler, this.tree), this.details)));
  }

  ticks() {
    const cell = h("div", {class: "cell time-cell"});
    for (let i = 0; i <= 4; ++i) {
      const at = this.view.from + ((this.view.to - this.view.from) * i) / 4;
      const tick = h("span", {class: i === 4 ? "tick last" : "tick"}, at === 0 ? "0" : formatDuration(at));
      tick.style.left = `${i * 25}%`;
      cell.append(tick);
    }
    return cell;
  }

  // The rows that are not inside something collapsed. Spans are in tree order, so one pass is enough.
  flatten() {
    this.visible = [];
    let hiddenBelow = Infinity;
    for (const span of this.trace.spans) {
      if (span.depth > hiddenBelow) continue;
      hiddenBelow = this.collapsed.has(span) ? span.depth : Infinity;
      span.row = this.visible.push(span) - 1;
    }
    this.rows.style.height = `${this.visible.length * ROW}px`;
    this.drawn = "";
    this.draw();
  }

  schedule() {
    if (this.frameRequested) return;
    this.frameRequested = true;
    requestAnimationFrame(() => {
      this.frameRequested = false;
      this.draw();
    });
  }

  draw() {
    const top = this.rows.getBoundingClientRect().top;
    const from = Math.max(0, Math.floor(-top / ROW) - OVERSCAN);
    const to = Math.min(this.visible.length, Math.ceil((window.innerHeight - top) / ROW) + OVERSCAN);
    const key = `${from}-${to}`;
    if (key === this.drawn) return;
    this.drawn = key;
    const elements = [];
    for (let i = from; i < to; ++i) elements.push(this.row(this.visible[i], i));
    this.rows.replaceChildren(...elements);
    this.markSelected();
  }

  row(span, i) {
    const open = !this.collapsed.has(span), parents = span.children.length > 0;
    const toggle = h("span", {class: `toggle${parents ? "" : " leaf"}`, "aria-hidden": "true", title: parents ? (open ? "Collapse" : "Expand") : null},
                     parents ? (open ? "▾" : "▸") : "");
    const name = h("div", {class: "cell tree-cell"}, toggle, h("bdi", {class: "service"}, span.service), h("bdi", {class: "operation"}, span.name),
        parents && !open ? h("span", {class: "hidden-count"}, `+${this.countBelow(span)}`) : null,
        span.orphan ? h("span", {class: "note", title: "Its parent is not in this store: another node or process has it, or it was not sent."}, "no parent here") : null,
        span.inLoop ? h("span", {class: "note", title: "Its parents lead back to itself."}, "parent loop") : null,
        h("span", {class: "grow"}), span.failed ? h("span", {class: "mark", title: "Error"}, "!") : null, originBadge(span.origin));
    name.style.paddingLeft = `${6 + Math.min(span.depth, MAX_INDENT) * INDENT}px`;
    name.style.setProperty("--service", serviceColor(span.service));
    const el = h("div", {class: `row${span.failed ? " failed" : ""}${this.matches && !this.matches.has(span) ? " dim" : ""}`, role: "treeitem", id: `row-${span.index}`,
                         "aria-level": span.depth + 1, "aria-expanded": parents ? String(open) : null, "aria-selected": String(span === this.selected),
                         "aria-label": `${span.service}, ${span.name}, ${ORIGINS[span.origin].label}, ${formatDuration(span.duration)}${span.failed ? ", error" : ""}`},
                 name, this.bar(span));
    el.style.top = `${i * ROW}px`;
    return el;
  }

  bar(span) {
    const {from, to} = this.view;
    const percent = (us) => (100 * Math.min(Math.max(us - from, 0), to - from)) / (to - from);
    const left = percent(span.start), width = Math.max(percent(span.end) - left, 0);
    const outside = span.end < from || span.start > to;
    const bar = h("span", {class: `span ${span.origin}${span.failed ? " failed" : ""}`, hidden: outside});
    bar.style.left = `${left}%`;
    bar.style.width = `${width}%`;
    if (span.wire && span.origin === "merged" && span.duration > 0) {
      const part = (us) => (width > 0 ? (100 * (percent(us) - left)) / width : 0);
      const wire = h("i");
      wire.style.left = `${part(span.wire.requestFirst)}%`;
      wire.style.width = `${part(span.wire.responseLast) - part(span.wire.requestFirst)}%`;
      bar.append(wire);
    }
    const label = h("span", {class: "length"}, formatDuration(span.duration));
    // The label stands where there is room: right of the bar, else left of it, else inside its end.
    if (outside) label.hidden = true;
    else if (left + width < 86) label.style.left = `calc(${left + width}% + 6px)`;
    else if (left > 14) label.style.right = `calc(${100 - left}% + 6px)`;
    else label.classList.add("inside");
    return h("div", {class: "cell time-cell"}, bar, label);
  }

  // The timeline shows this span, or with null the whole trace.
  zoom(span) {
    if (span && span.duration === 0) return;
    this.view = span ? {from: span.start, to: span.end} : {from: 0, to: this.trace.length};
    this.ruler.lastChild.replaceWith(this.ticks());
    this.drawn = "";
    this.select(span || this.selected, {push: false});
  }

  get zoomed() {
    return this.view.from !== 0 || this.view.to !== this.trace.length;
  }

  countBelow(span) {
    let count = 0;
    for (let i = span.order + 1; i < this.trace.spans.length && this.trace.spans[i].depth > span.depth; ++i) ++count;
    return count;
  }

  select(span, {scroll = false, push = true} = {}) {
    this.selected = span;
    for (let up = span.parent, steps = 0; up && steps < 10000; up = up.parent, ++steps) this.collapsed.delete(up);
    if (this.visible[span.row] !== span) this.flatten();
    if (scroll) this.reveal(span);
    this.draw();
    this.markSelected();
    this.details.replaceChildren(...spanDetails(span, this.trace, {
      select: (other) => this.select(other, {scroll: true}),
      zoom: (other) => this.zoom(other),
      reset: this.zoomed ? () => this.zoom(null) : null,
    }));
    this.details.scrollTop = 0;
    if (push) history.replaceState(null, "", `/trace/${this.trace.id}?span=${encodeURIComponent(span.id)}`);
  }

  markSelected() {
    this.rows.querySelectorAll(".row.selected").forEach((el) => {
      el.classList.remove("selected");
      el.setAttribute("aria-selected", "false");
    });
    const id = `row-${this.selected.index}`;
    const el = document.getElementById(id);
    if (el) {
      el.classList.add("selected");
      el.setAttribute("aria-selected", "true");
    }
    this.tree.setAttribute("aria-activedescendant", id);
  }

  reveal(span) {
    const y = this.rows.getBoundingClientRect().top + span.row * ROW, margin = 120;
    if (y < margin) window.scrollBy(0, y - margin);
    else if (y > window.innerHeight - margin) window.scrollBy(0, y - window.innerHeight + margin);
  }

  toggle(span, close) {
    if (!span.children.length) return;
    close ? this.collapsed.add(span) : this.collapsed.delete(span);
    this.flatten();
  }

  collapseAll(close) {
    this.collapsed = new Set(close ? this.trace.spans.filter((s) => s.children.length && s.depth > 0) : []);
    if (close) while (this.selected.parent && this.selected.depth > 1) this.selected = this.selected.parent;
    this.flatten();
    this.select(this.selected, {scroll: true, push: false});
  }

  click(event) {
    const row = event.target.closest(".row");
    if (!row) return;
    const span = this.visible[Math.round(parseFloat(row.style.top) / ROW)];
    if (event.target.closest(".toggle:not(.leaf)")) this.toggle(span, !this.collapsed.has(span));
    else this.select(span);
  }

  key(event) {
    const at = this.selected.row, last = this.visible.length - 1;
    const go = (i) => this.select(this.visible[Math.min(last, Math.max(0, i))], {scroll: true});
    const moves = {
      ArrowDown: () => go(at + 1), ArrowUp: () => go(at - 1), PageDown: () => go(at + 15), PageUp: () => go(at - 15), Home: () => go(0), End: () => go(last),
      ArrowLeft: () => (this.selected.children.length && !this.collapsed.has(this.selected) ? this.toggle(this.selected, true) : this.selected.parent && this.select(this.selected.parent, {scroll: true})),
      ArrowRight: () => (this.collapsed.has(this.selected) ? this.toggle(this.selected, false) : this.selected.children.length && go(at + 1)),
      z: () => this.zoom(this.selected), Escape: () => this.zoom(null),
      Enter: () => this.details.querySelector("button, a")?.focus(),
    };
    if (event.altKey || event.ctrlKey || event.metaKey || !(event.key in moves)) return;
    event.preventDefault();
    moves[event.key]();
  }

  find(text) {
    const needle = text.trim().toLowerCase();
    const holds = (span) => [span.name, span.service, span.id, ...(span.raw.tags || []).map((t) => `${t.key}=${t.value}`)].some((s) => s.toLowerCase().includes(needle));
    this.matches = needle ? new Set(this.trace.spans.filter(holds)) : null;
    this.found.textContent = this.matches ? `${this.matches.size} of ${this.trace.spans.length}` : "";
    this.drawn = "";
    this.draw();
  }

  next(step) {
    if (!this.matches?.size) return;
    const list = [...this.matches].sort((a, b) => a.order - b.order), order = this.selected.order;
    const later = step > 0 ? list.find((s) => s.order > order) || list[0]
                           : list.reverse().find((s) => s.order < order) || list[0];
    this.select(later, {scroll: true});
  }
}
