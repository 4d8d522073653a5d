// The page's frame: which view the address asks for, the status strip, and navigation without reloading.
import {getJson, h} from "./dom.js";
import {showSearch} from "./search.js";
import {showTrace} from "./trace.js";

const main = document.getElementById("main");
const banner = document.getElementById("banner");
let leave = null;  // ends the current view: timers, requests, listeners

export function setBanner(text) {
  banner.hidden = !text;
  banner.textContent = text || "";
}

export function navigate(url) {
  history.pushState(null, "", url);
  route();
}

function route() {
  if (leave) leave();
  setBanner("");
  const path = location.pathname;
  const frame = {main, setBanner, navigate, setWhere};
  window.scrollTo(0, 0);
  if (path.startsWith("/trace/")) leave = showTrace(frame, traceInPath(path));
  else leave = showSearch(frame);
}

// A path that is not well-formed is shown as it is; the API then says what is wrong with it.
function traceInPath(path) {
  try {
    return decodeURIComponent(path.slice(7));
  } catch {
    return path.slice(7);
  }
}

function setWhere(...parts) {
  document.getElementById("where").replaceChildren(...parts);
}

// Links of our own change the view; everything else (new tab, download, other ports) stays the browser's business.
document.addEventListener("click", (event) => {
  if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey) return;
  const link = event.target.closest("a[data-local]");
  if (!link) return;
  event.preventDefault();
  navigate(link.getAttribute("href"));
});
window.addEventListener("popstate", route);

// ---- status ----

const GROUPS = [["features", "Features"], ["receivers", "Receivers"], ["exporters", "Exporters"]];

function statusRow(item) {
  const on = item.on !== false && item.enabled !== false;
  const detail = [item.rung, item.endpoint, item.reason].filter(Boolean).join(" · ");
  return h("tr", null,
      h("td", {class: on ? "state on" : "state off"}, on ? "on" : "off"),
      h("th", {scope: "row"}, item.name),
      h("td", {class: "muted"}, detail));
}

function showStatus(status) {
  const body = document.getElementById("status-body");
  const tables = GROUPS.filter(([key]) => Array.isArray(status[key]) && status[key].length).map(([key, title]) =>
      h("section", null, h("h3", null, title), h("table", {class: "plain"}, h("tbody", null, status[key].map(statusRow)))));
  const version = status.version ? h("p", {class: "muted"}, `weft ${status.version}`) : null;
  body.replaceChildren(...tables, ...(version ? [version] : []));
  const off = GROUPS.flatMap(([key]) => (Array.isArray(status[key]) ? status[key] : []));
  const capture = off.find((item) => item.name === "capture");
  const chips = [];
  if (capture) {
    const on = capture.on !== false && capture.enabled !== false;
    chips.push(h("span", {class: `chip ${on ? "on" : "off"}`, title: capture.reason || capture.rung || ""},
                 on ? "capture on" : "capture off"));
  }
  document.getElementById("chips").replaceChildren(...chips);
}

const dialog = document.getElementById("status");
async function loadStatus() {
  try {
    showStatus(await getJson("/api/weft/status"));
  } catch (error) {
    document.getElementById("status-body").replaceChildren(h("p", null, error.message));
  }
}
document.getElementById("status-open").addEventListener("click", () => {
  loadStatus();
  dialog.showModal();
});
document.getElementById("status-close").addEventListener("click", () => dialog.close());
dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());

loadStatus();
route();
