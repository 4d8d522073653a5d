// The list of recent traces: filters, a picture of duration over time, and one line per trace.
import {formatAge, formatClock, formatDate, formatDuration, formatTick, getJson, h, originBadge, ORIGINS, serviceDot, svg} from "./dom.js";

const DEFAULTS = {service: "", operation: "", tags: "", minDuration: "", limit: "50", lookback: "1h", refresh: "5"};
const LOOKBACKS = [["5m", "Last 5 minutes"], ["15m", "Last 15 minutes"], ["1h", "Last hour"], ["6h", "Last 6 hours"],
                   ["24h", "Last 24 hours"], ["48h", "Last 2 days"]];
const REFRESHES = [["0", "No refresh"], ["2", "Every 2 s"], ["5", "Every 5 s"], ["30", "Every 30 s"]];

export function showSearch(frame) {
  const view = new SearchView(frame);
  view.start();
  return () => view.stop();
}

// `http.route=/cart error=true note="two words"` → {"http.route": "/cart", …}; null when it is not that.
export function parseTags(text) {
  const tags = {};
  const rest = text.replace(/([^\s=]+)=("((?:[^"\\]|\\.)*)"|\S*)\s*/g, (_, key, value, quoted) => {
    tags[key] = quoted !== undefined ? quoted.replace(/\\(.)/g, "$1") : value;
    return "";
  });
  return rest.trim() ? null : tags;
}

class SearchView {
  constructor(frame) {
    this.frame = frame;
    this.filter = {...DEFAULTS};
    for (const [key, value] of new URLSearchParams(location.search)) if (key in DEFAULTS) this.filter[key] = value;
    this.rows = new Map();  // trace id → its row: kept over refreshes, so that focus and scroll stay
    this.onVisible = () => !document.hidden && this.load();
  }

  start() {
    document.title = "Traces · weft";
    this.frame.setWhere("Traces");
    this.build();
    this.loadServices();
    this.load();
    document.addEventListener("visibilitychange", this.onVisible);
  }

  stop() {
    clearTimeout(this.timer);
    this.request?.abort();
    this.stopped = true;
    document.removeEventListener("visibilitychange", this.onVisible);
  }

  select(name, label, options) {
    const el = h("select", {id: `f-${name}`, onchange: () => this.changed(name, el.value)},
                 options.map(([value, text]) => h("option", {value}, text)));
    el.value = this.filter[name];
    return h("div", {class: `field ${name}`}, h("label", {for: `f-${name}`}, label), el);
  }

  input(name, label, props) {
    const el = h("input", {id: `f-${name}`, value: this.filter[name], autocomplete: "off", spellcheck: "false", ...props,
                           onchange: () => this.changed(name, el.value.trim())});
    return h("div", {class: `field ${name}`}, h("label", {for: `f-${name}`}, label), el);
  }

  build() {
    this.services = this.select("service", "Service", [["", "All services"]]);
    this.operations = h("datalist", {id: "operations"});
    const form = h("form", {class: "filters", role: "search", "aria-label": "Traces",
                            onsubmit: (event) => (event.preventDefault(), this.load())},
        this.services,
        this.input("operation", "Operation", {list: "operations", placeholder: "any"}), this.operations,
        this.input("tags", "Tags", {placeholder: "http.route=/cart error=true"}),
        this.input("minDuration", "Min duration", {placeholder: "e.g. 5ms", size: 8}),
        this.select("lookback", "Time", LOOKBACKS),
        this.select("limit", "Limit", [["20", "20"], ["50", "50"], ["100", "100"], ["500", "500"]]),
        this.select("refresh", "Refresh", REFRESHES),
        h("button", {type: "submit", class: "primary"}, "Find"));
    this.problem = h("p", {class: "problem", role: "alert", hidden: true});
    this.plot = h("div", {class: "plot"});
    this.summary = h("p", {class: "summary", "aria-live": "polite"});
    this.body = h("tbody");
    this.table = h("table", {class: "traces", hidden: true},
        h("thead", null, h("tr", null,
            h("th", {scope: "col"}, "Started"), h("th", {scope: "col"}, "Trace"),
            h("th", {scope: "col"}, "Services"), h("th", {scope: "col"}, "Seen by"),
            h("th", {scope: "col", class: "num"}, "Spans"), h("th", {scope: "col", class: "num"}, "Errors"),
            h("th", {scope: "col", class: "num"}, "Duration"), h("th", {scope: "col"}, h("span", {class: "hidden"}, "Share of the longest")))),
        this.body);
    this.empty = h("div", {class: "empty", hidden: true});
    this.frame.main.replaceChildren(h("div", {class: "search"}, form, this.problem, this.plot, this.summary, this.table, this.empty));
  }

  changed(name, value) {
    this.filter[name] = value;
    if (name === "service") {
      this.filter.operation = "";
      document.getElementById("f-operation").value = "";
      this.loadOperations();
    }
    const query = new URLSearchParams(Object.entries(this.filter).filter(([key, v]) => v !== DEFAULTS[key]));
    history.replaceState(null, "", query.size ? `/search?${query}` : "/");
    this.load();
  }

  async loadServices() {
    try {
      const {data} = await getJson("/api/services");
      const select = this.services.querySelector("select");
      const names = data.includes(this.filter.service) || !this.filter.service ? data : [...data, this.filter.service];
      if (names.join("\n") === this.known) return;
      this.known = names.join("\n");
      select.replaceChildren(h("option", {value: ""}, "All services"), ...names.map((name) => h("option", {value: name}, name)));
      select.value = this.filter.service;
      this.loadOperations();
    } catch {
      // The list itself reports what is wrong.
    }
  }

  async loadOperations() {
    if (!this.filter.service) return this.operations.replaceChildren();
    try {
      const {data} = await getJson(`/api/services/${encodeURIComponent(this.filter.service)}/operations`);
      this.operations.replaceChildren(...data.map((name) => h("option", {value: name})));
    } catch {
      this.operations.replaceChildren();
    }
  }

  query() {
    const tags = parseTags(this.filter.tags);
    if (!tags) throw new Error("Tags are written key=value, with spaces between them; quote a value that has spaces.");
    const query = new URLSearchParams({limit: this.filter.limit, lookback: this.filter.lookback});
    for (const key of ["service", "operation", "minDuration"]) if (this.filter[key]) query.set(key, this.filter[key]);
    if (Object.keys(tags).length) query.set("tags", JSON.stringify(tags));
    return query;
  }

  async load() {
    clearTimeout(this.timer);
    this.request?.abort();
    this.request = new AbortController();
    let alive = true;
    try {
      const {data} = await getJson(`/api/weft/traces?${this.query()}`, this.request.signal);
      this.fail("");
      this.frame.setBanner("");
      this.show(data);
      if (this.filter.service === "" && data.length) this.loadServices();
    } catch (error) {
      if (error.name === "AbortError") return;
      if (error.status === 501) alive = false, this.showEmpty("off");
      else if (error.status === undefined && error instanceof TypeError) this.frame.setBanner("weft does not answer; trying again.");
      else this.fail(error.message);
    }
    const seconds = Number(this.filter.refresh);
    if (alive && seconds > 0 && !document.hidden && !this.stopped) this.timer = setTimeout(() => this.load(), seconds * 1000);
  }

  fail(text) {
    this.problem.hidden = !text;
    this.problem.textContent = text;
  }

  show(traces) {
    if (!traces.length) return this.showEmpty(this.isFiltered() ? "filtered" : "first");
    this.empty.hidden = true;
    this.table.hidden = this.plot.hidden = this.summary.hidden = false;
    const longest = Math.max(1, ...traces.map((t) => t.duration));
    const seen = new Map(), first = this.rows.size === 0;
    for (const trace of traces) {
      let row = this.rows.get(trace.traceID);
      if (!row) row = {el: h("tr", {class: first ? "" : "new"})};
      const stamp = `${trace.spans}/${trace.duration}/${trace.errors}/${longest}`;
      if (row.stamp !== stamp) {
        row.stamp = stamp;
        const focused = row.el.contains(document.activeElement);
        row.el.replaceChildren(...this.cells(trace, longest));
        if (focused) row.el.querySelector("a").focus();
      }
      row.el.querySelector(".age").textContent = formatAge(trace.startTime);
      seen.set(trace.traceID, row);
    }
    this.rows = seen;
    this.place([...seen.values()].map((row) => row.el));
    this.drawPlot(traces, longest);
    const spans = traces.reduce((sum, t) => sum + t.spans, 0), errors = traces.filter((t) => t.errors).length;
    this.summary.textContent = `${traces.length} ${traces.length === 1 ? "trace" : "traces"} · ${spans.toLocaleString("en")} spans` +
        (errors ? ` · ${errors} with errors` : "");
  }

  // Puts the rows in order and moves only those that must move: a moved element loses the focus.
  place(elements) {
    const wanted = new Set(elements);
    for (const el of [...this.body.children]) if (!wanted.has(el)) el.remove();
    elements.forEach((el, i) => {
      if (this.body.children[i] !== el) this.body.insertBefore(el, this.body.children[i] || null);
    });
  }

  cells(trace, longest) {
    const services = [...trace.services].sort((a, b) => b.spans - a.spans);
    const bar = h("span", {class: `bar${trace.errors ? " failed" : ""}`});
    bar.style.width = `${Math.max(1, (100 * trace.duration) / longest)}%`;
    return [
      h("td", {class: "when", title: formatDate(trace.startTime)}, h("span", {class: "clock"}, formatClock(trace.startTime)), " ", h("span", {class: "age muted"})),
      h("td", {class: "name"}, h("a", {href: `/trace/${trace.traceID}`, "data-local": true},
          serviceDot(trace.rootService), h("bdi", {class: "service"}, trace.rootService), h("bdi", {class: "operation"}, trace.rootName || "(no name)"))),
      h("td", {class: "services"}, h("div", null, services.slice(0, 4).map((s) =>
          h("span", {class: "tagged", title: `${s.spans} spans`}, serviceDot(s.name), h("bdi", null, s.name))),
          services.length > 4 ? h("span", {class: "muted"}, `+${services.length - 4}`) : null)),
      h("td", {class: "seen"}, this.originCounts(trace.origins)),
      h("td", {class: "num"}, trace.spans.toLocaleString("en")),
      h("td", {class: trace.errors ? "num failed" : "num muted"}, trace.errors ? trace.errors.toLocaleString("en") : "–"),
      h("td", {class: "num duration"}, formatDuration(trace.duration)),
      h("td", {class: "share", "aria-hidden": "true"}, bar),
    ];
  }

  originCounts(origins) {
    return h("div", null, ["kernel", "merged", "sdk"].map((key) => !origins[key] ? h("span") :
        h("span", {class: `count ${key}`, title: ORIGINS[key].text}, h("span", {class: "swatch", "aria-hidden": "true"}),
          ORIGINS[key].label, h("b", null, origins[key].toLocaleString("en")))));
  }

  // Each trace a dot: time to the right, duration upwards on a logarithmic scale.
  drawPlot(traces, longest) {
    const width = this.plot.clientWidth || 1000, height = 88, left = 56, right = 10, top = 8, bottom = 18;
    const from = Math.min(...traces.map((t) => t.startTime)), to = Math.max(...traces.map((t) => t.startTime), from + 1);
    const shortest = Math.max(1, Math.min(...traces.map((t) => t.duration)));
    const low = Math.log10(shortest) - 0.15, high = Math.max(Math.log10(longest) + 0.15, low + 0.6);
    const x = (t) => left + ((width - left - right) * (t - from)) / (to - from);
    const y = (us) => top + ((height - top - bottom) * (high - Math.log10(Math.max(1, us)))) / (high - low);
    const lines = [];
    for (let power = Math.ceil(low); power <= high; ++power) {
      lines.push(svg("line", {x1: left, x2: width - right, y1: y(10 ** power), y2: y(10 ** power), class: "grid"}),
                 svg("text", {x: left - 8, y: y(10 ** power) + 4, class: "axis", "text-anchor": "end"}, formatTick(10 ** power)));
    }
    const dots = traces.map((t) => {
      const dot = svg("circle", {cx: x(t.startTime), cy: y(t.duration), r: Math.min(8, 3 + Math.log10(t.spans)), class: t.errors ? "failed" : "fine"},
          svg("title", {}, `${t.rootService} ${t.rootName} · ${formatDuration(t.duration)}`));
      dot.addEventListener("click", () => this.frame.navigate(`/trace/${t.traceID}`));
      return dot;
    });
    this.plot.replaceChildren(svg("svg", {width, height, role: "img", "aria-label": "Duration of the traces over time; the table has the same data"},
        lines, svg("text", {x: left, y: height - 3, class: "axis"}, formatClock(from)),
        svg("text", {x: width - right, y: height - 3, class: "axis", "text-anchor": "end"}, formatClock(to)), dots));
  }

  isFiltered() {
    return ["service", "operation", "tags", "minDuration"].some((key) => this.filter[key]);
  }

  showEmpty(kind) {
    this.table.hidden = this.plot.hidden = this.summary.hidden = true;
    this.rows.clear();
    this.body.replaceChildren();
    if (!this.empty.hidden && this.emptyKind === kind) return;
    this.emptyKind = kind;
    this.empty.hidden = false;
    this.empty.replaceChildren(...EMPTY[kind](this));
  }
}

const command = (text) => h("pre", null, h("code", null, text));

const EMPTY = {
  off: () => [
    h("h2", null, "Recent traces are not kept"),
    h("p", null, "The store is off in this configuration, so there is nothing to show here. Spans still go to the other exporters. To turn it on:"),
    command("weft run --set exporters.store.enabled=true"),
  ],
  filtered: (view) => [
    h("h2", null, "No trace matches"),
    h("p", null, "Nothing within this time has what the filters ask for."),
    h("button", {type: "button", onclick: () => view.frame.navigate("/")}, "Clear the filters"),
  ],
  first: () => [
    h("h2", null, "Waiting for the first request"),
    h("p", null, "Nothing was seen within this time. Traces appear here by themselves, a few seconds after a request."),
    h("ol", null,
      h("li", null, h("strong", null, "Without changing a program: "), "any HTTP/1.1 request between processes of this machine will do.",
        command("python3 -m http.server 8000 &\ncurl -s http://127.0.0.1:8000/ > /dev/null")),
      h("li", null, h("strong", null, "From an OpenTelemetry SDK: "), "point it at port 4317 (gRPC) or 4318 (HTTP).",
        command("export OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4317")),
      h("li", null, h("strong", null, "From a Jaeger client: "), "the defaults work, UDP port 6831.")),
    h("p", {class: "legend"}, ["kernel", "merged", "sdk"].map((key) => h("span", null, originBadge(key), " ", ORIGINS[key].text))),
    h("p", {class: "muted"}, "Still nothing? ", h("code", null, "weft doctor"), " says what is on, what is off and why."),
  ],
};
