// Small things that every part of the page uses. Elements are made with text nodes only: no data is ever parsed as HTML.

// h("td", {class: "num", onclick: f}, "text", otherElement, null, [more])
export function h(tag, props, ...children) {
  const el = document.createElement(tag);
  for (const [key, value] of Object.entries(props || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) el.addEventListener(key.slice(2), value);
    else if (key === "value") el.value = value;
    else el.setAttribute(key, value === true ? "" : String(value));
  }
  append(el, children);
  return el;
}

function append(el, children) {
  for (const child of children) {
    if (Array.isArray(child)) append(el, child);
    else if (child instanceof Node) el.append(child);
    else if (child !== null && child !== undefined && child !== false) el.append(String(child));
  }
}

export function svg(tag, attributes, ...children) {
  const el = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [key, value] of Object.entries(attributes || {})) el.setAttribute(key, String(value));
  append(el, children);
  return el;
}

export class ApiError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

export async function getJson(url, signal) {
  const response = await fetch(url, {signal, headers: {Accept: "application/json"}});
  let body = null;
  try {
    body = await response.json();
  } catch {
    // The status says enough.
  }
  if (!response.ok) {
    throw new ApiError(response.status, body?.errors?.[0]?.msg || `weft answered ${response.status}`);
  }
  return body;
}

// Durations in µs, three significant digits, a unit that fits.
export function formatDuration(us) {
  if (us === 0) return "< 1 µs";
  if (!(us > 0)) return "0";
  if (us < 1) return `${Math.round(us * 1000)} ns`;
  if (us < 1000) return `${Number.isInteger(us) ? us : trim(us)} µs`;
  if (us < 1e6) return `${trim(us / 1e3)} ms`;
  if (us < 60e6) return `${trim(us / 1e6)} s`;
  const seconds = Math.round(us / 1e6);
  if (seconds < 3600) return `${Math.floor(seconds / 60)} m ${seconds % 60} s`;
  return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} m`;
}

function trim(value) {
  return value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2);
}

// Round numbers of an axis: without the zeros behind the point.
export function formatTick(us) {
  return formatDuration(us).replace(/\.0+ /, " ");
}

const pad = (n, width = 2) => String(n).padStart(width, "0");

export function formatClock(us) {
  const d = new Date(us / 1000);
  return `${pad(d.getHours())}:${pad(d.getMinutes())}:${pad(d.getSeconds())}.${pad(d.getMilliseconds(), 3)}`;
}

export function formatDate(us) {
  const d = new Date(us / 1000);
  return `${d.getFullYear()}-${pad(d.getMonth() + 1)}-${pad(d.getDate())} ${formatClock(us)}`;
}

export function formatAge(us) {
  const s = Math.max(0, Math.round(Date.now() / 1000 - us / 1e6));
  if (s < 60) return `${s} s ago`;
  if (s < 3600) return `${Math.floor(s / 60)} min ago`;
  if (s < 86400) return `${Math.floor(s / 3600)} h ago`;
  return `${Math.floor(s / 86400)} d ago`;
}

// The same service has the same colour everywhere, whatever else is on the page.
export function serviceColor(name) {
  let hash = 2166136261;
  for (let i = 0; i < name.length; ++i) hash = Math.imul(hash ^ name.charCodeAt(i), 16777619);
  return `var(--service-${(hash >>> 0) % 10})`;
}

export function serviceDot(name) {
  const dot = h("span", {class: "dot", "aria-hidden": "true"});
  dot.style.background = serviceColor(name);
  return dot;
}

export const ORIGINS = {
  sdk: {label: "SDK", text: "Reported by an SDK. The kernel saw no request that belongs to it."},
  kernel: {label: "kernel", text: "Seen by the kernel. The process reported nothing for it."},
  merged: {label: "merged", text: "Reported by an SDK and seen by the kernel: one span with the facts of both."},
};

export function originBadge(origin) {
  return h("span", {class: `origin ${origin}`, title: ORIGINS[origin].text}, ORIGINS[origin].label);
}

export function copyButton(text, label) {
  const button = h("button", {type: "button", class: "copy", "aria-label": label, title: label}, "Copy");
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(text);
      button.textContent = "Copied";
    } catch {
      button.textContent = "Not allowed";
    }
    setTimeout(() => (button.textContent = "Copy"), 1500);
  });
  return button;
}
