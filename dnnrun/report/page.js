"use strict";
const D = JSON.parse(document.getElementById("data").textContent);
const R = D.runs, main = document.getElementById("main"), tip = document.getElementById("tip");
// Okabe and Ito's colours, which stay apart for the colour-blind; dashes tell them apart without any colour.
const COLORS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#5b3794", "#56b4e9", "#7f7f7f", "#e69f00", "#8c6d00", "#a50026", "#1b7837", "#4d4d4d"];
const DASHES = ["", "7 3", "2 3", "9 3 2 3", "12 4", "4 4"];
const color = i => COLORS[i % COLORS.length], dash = i => DASHES[i % DASHES.length];
const shown = R.map(() => true);
const fmt = v => v == null ? "-" : Number.isInteger(v) ? v.toLocaleString("en") : Math.abs(v) >= 1e-3 && Math.abs(v) < 1e5 ? String(+v.toPrecision(4)) : v.toExponential(2);
function el(tag, attrs = {}, ...inner) {
  const e = document.createElement(tag);
  for (const [k, v] of Object.entries(attrs)) k.startsWith("on") ? e.addEventListener(k.slice(2), v) : e.setAttribute(k, v);
  e.append(...inner.filter(x => x != null));
  return e;
}
function svg(tag, attrs = {}, text) {
  const e = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [k, v] of Object.entries(attrs)) e.setAttribute(k, v);
  if (text != null) e.textContent = text;
  return e;
}
function section(id, title) {
  const s = el("section", {id, "aria-labelledby": id + "-h"}, el("h2", {id: id + "-h"}, title));
  main.append(s);
  document.getElementById("nav").append(el("a", {href: "#" + id}, title));
  return s;
}
function table(head, rows, numeric = () => false, caption) {
  const cell = (t, v, j) => el(t, numeric(j) ? {class: "n"} : t === "th" ? {scope: "col"} : {}, String(v));
  return el("div", {class: "wide", tabindex: "0", role: "region", "aria-label": caption}, el("table", {},
    el("thead", {}, el("tr", {}, ...head.map((v, j) => cell("th", v, j)))),
    el("tbody", {}, ...rows.map(r => el("tr", {}, ...r.map((v, j) => cell("td", v, j)))))));
}
function say(text, event) {
  tip.textContent = text; tip.hidden = false;
  const box = tip.getBoundingClientRect();
  tip.style.left = Math.max(4, Math.min(event.clientX + 14, innerWidth - box.width - 8)) + "px";
  tip.style.top = Math.max(4, Math.min(event.clientY + 14, innerHeight - box.height - 8)) + "px";
}
const hush = () => { tip.hidden = true; };
function choice(label, options, change) {
  const s = el("select", {onchange: e => change(e.target.value)}, ...options.map(([v, t]) => el("option", {value: v}, t)));
  return el("label", {}, label, s);
}
function ticks(low, high, count = 5, whole = false) {
  const step0 = (high - low) / count, power = 10 ** Math.floor(Math.log10(step0)), m = step0 / power;
  const fine = power * (m > 5 ? 10 : m > 2 ? 5 : m > 1 ? 2 : 1), step = whole ? Math.max(1, Math.ceil(fine)) : fine, found = [];
  for (let v = Math.ceil(low / step) * step; v <= high + step / 1e6; v += step) found.push(+v.toPrecision(12));
  return found;
}
// Lines: [{name, color, dash, x: [], y: []}]. Hover, or the arrow keys, read the values at one place.
function chart(lines, o) {
  const W = 760, H = 340, L = 64, T = 14, B = 44, Rr = 14, log = o.log;
  const root = svg("svg", {viewBox: `0 0 ${W} ${H}`, role: "img", tabindex: "0", "aria-label": o.label});
  const ok = v => v != null && (!log || v > 0), ty = v => log ? Math.log10(v) : v;
  const xs = lines.flatMap(l => l.x.filter((_, i) => ok(l.y[i]))), ys = lines.flatMap(l => l.y.filter(ok)).map(ty);
  if (!xs.length) { root.append(svg("text", {x: W / 2, y: H / 2, "text-anchor": "middle"}, "nothing to show")); return root; }
  let [x0, x1] = o.x || [Math.min(...xs), Math.max(...xs)], [y0, y1] = o.y || [Math.min(...ys), Math.max(...ys)];
  if (x0 === x1) { x0 -= .5; x1 += .5; } if (y0 === y1) { const half = Math.abs(y0) / 4 || .5; y0 -= half; y1 += half; }
  if (!o.y) { const pad = (y1 - y0) * .04; y0 -= pad; y1 += pad; }
  const px = x => L + (x - x0) / (x1 - x0) * (W - L - Rr), py = y => H - B - (ty(y) - y0) / (y1 - y0) * (H - B - T);
  for (const v of ticks(y0, y1)) {
    const y = H - B - (v - y0) / (y1 - y0) * (H - B - T);
    root.append(svg("line", {class: "grid", x1: L, x2: W - Rr, y1: y, y2: y}), svg("text", {x: L - 8, y: y + 4, "text-anchor": "end"}, fmt(log ? 10 ** v : v)));
  }
  for (const v of ticks(x0, x1, 7, o.whole)) root.append(svg("text", {x: px(v), y: H - B + 20, "text-anchor": "middle"}, fmt(v)));
  root.append(svg("text", {x: (L + W) / 2, y: H - 6, "text-anchor": "middle"}, o.xlabel));
  if (o.diagonal) root.append(svg("line", {class: "hair", x1: px(x0), y1: py(y0), x2: px(x1), y2: py(y1)}));
  for (const l of lines) {
    let d = "", pen = false;
    l.x.forEach((x, i) => { if (!ok(l.y[i])) { pen = false; return; } d += `${pen ? "L" : "M"}${px(x).toFixed(1)} ${py(l.y[i]).toFixed(1)}`; pen = true; });
    if (o.dots) { l.x.forEach((x, i) => ok(l.y[i]) && root.append(svg("circle", {cx: px(x).toFixed(1), cy: py(l.y[i]).toFixed(1), r: 3, fill: l.color, "fill-opacity": .55, class: "dot"}))); continue; }
    root.append(svg("path", {d, fill: "none", stroke: l.color, "stroke-width": 2.2, "stroke-dasharray": l.dash, class: "curve"}));
    if (l.x.length <= 12) l.x.forEach((x, i) => ok(l.y[i]) && root.append(svg("circle", {cx: px(x), cy: py(l.y[i]), r: 3, fill: l.color})));
  }
  const hair = svg("line", {class: "hair", y1: T, y2: H - B, visibility: "hidden"}); root.append(hair);
  const places = [...new Set(xs)].sort((a, b) => a - b); let at = places.length - 1;
  function read(event) {
    const x = places[at]; hair.setAttribute("x1", px(x)); hair.setAttribute("x2", px(x)); hair.setAttribute("visibility", "visible");
    const told = lines.map(l => { let best = -1; l.x.forEach((v, i) => { if (ok(l.y[i]) && (best < 0 || Math.abs(v - x) < Math.abs(l.x[best] - x))) best = i; }); return best < 0 || Math.abs(l.x[best] - x) > (x1 - x0) / 15 ? null : `${l.name}: ${fmt(l.y[best])}`; });
    say(`${o.xlabel} ${fmt(x)}\n` + told.filter(Boolean).join("\n"), event);
  }
  root.addEventListener("pointermove", e => {
    const box = root.getBoundingClientRect(), x = x0 + ((e.clientX - box.left) / box.width * W - L) / (W - L - Rr) * (x1 - x0);
    at = places.reduce((b, v, i) => Math.abs(v - x) < Math.abs(places[b] - x) ? i : b, 0); read(e);
  });
  const leave = () => { hush(); hair.setAttribute("visibility", "hidden"); };
  root.addEventListener("pointerleave", leave); root.addEventListener("blur", leave);
  root.addEventListener("keydown", e => {
    const move = {ArrowLeft: -1, ArrowRight: 1}[e.key]; if (!move) return;
    e.preventDefault(); at = Math.max(0, Math.min(places.length - 1, at + move));
    const box = root.getBoundingClientRect(); read({clientX: box.left + px(places[at]) / W * box.width, clientY: box.top + 30});
  });
  return root;
}
// Bars: counts between the edges.
function bars({edges, counts}, o) {
  const W = 760, H = 340, L = 64, T = 14, B = 44, Rr = 14, most = Math.max(1, ...counts), x0 = edges[0], x1 = edges.at(-1);
  const root = svg("svg", {viewBox: `0 0 ${W} ${H}`, role: "img", tabindex: "0", "aria-label": o.label});
  const px = x => L + (x - x0) / (x1 - x0 || 1) * (W - L - Rr), py = v => H - B - v / most * (H - B - T);
  for (const v of ticks(0, most)) root.append(svg("line", {class: "grid", x1: L, x2: W - Rr, y1: py(v), y2: py(v)}), svg("text", {x: L - 8, y: py(v) + 4, "text-anchor": "end"}, fmt(v)));
  for (const v of x1 > x0 ? ticks(x0, x1, 7) : [x0]) root.append(svg("text", {x: px(v), y: H - B + 20, "text-anchor": "middle"}, fmt(v)));
  counts.forEach((v, i) => v && root.append(svg("rect", {x: px(edges[i]), y: py(v), width: Math.max(1, px(edges[i + 1]) - px(edges[i]) - 1), height: py(0) - py(v), fill: color(0), class: "count", "data-i": i})));
  if (x0 < 0 && x1 > 0) root.append(svg("line", {class: "hair", x1: px(0), x2: px(0), y1: T, y2: H - B}));
  root.append(svg("text", {x: (L + W) / 2, y: H - 6, "text-anchor": "middle"}, o.xlabel));
  root.addEventListener("pointermove", e => { const i = e.target.dataset.i; i == null ? hush() : say(`${fmt(edges[+i])} to ${fmt(edges[+i + 1])}\n${fmt(counts[i])} rows`, e); });
  root.addEventListener("pointerleave", hush);
  return root;
}
// Viridis, in nine steps: as dark as it is low, readable without colour.
const VIRIDIS = [[68, 1, 84], [71, 45, 123], [59, 82, 139], [44, 114, 142], [33, 145, 140], [40, 174, 128], [94, 201, 98], [173, 220, 48], [253, 231, 37]];
function heat(share) {
  const at = Math.max(0, Math.min(1, share)) * (VIRIDIS.length - 1), i = Math.min(Math.floor(at), VIRIDIS.length - 2), f = at - i;
  return `rgb(${VIRIDIS[i].map((v, k) => Math.round(v + (VIRIDIS[i + 1][k] - v) * f)).join(",")})`;
}
function heatmap(signals, name, label, [low, high]) {
  const grid = signals.grids[name], W = 760, L = 86, rows = signals.layers.length, cell = Math.max(4, Math.min(26, 420 / rows)), H = rows * cell + 44, cw = (W - L - 10) / signals.steps.length;
  const root = svg("svg", {viewBox: `0 0 ${W} ${H}`, role: "img", "aria-label": label, class: "heat"});
  grid.forEach((row, i) => row.forEach((v, j) => {
    if (v == null) return;
    root.append(svg("rect", {x: L + j * cw, y: 4 + i * cell, width: cw + .5, height: cell + .5, fill: heat(high > low ? (v - low) / (high - low) : .5), "data-i": i, "data-j": j}));
  }));
  const every = Math.ceil(14 / cell);
  signals.layers.forEach((n, i) => { if (i % every === 0) root.append(svg("text", {x: L - 6, y: 4 + i * cell + Math.min(cell, 14) / 2 + 5, "text-anchor": "end"}, n)); });
  const gap = Math.ceil(signals.steps.length / 7);
  signals.steps.forEach((s, j) => { if (j % gap === 0) root.append(svg("text", {x: L + (j + .5) * cw, y: H - 22, "text-anchor": "middle"}, fmt(s))); });
  root.append(svg("text", {x: (L + W) / 2, y: H - 4, "text-anchor": "middle"}, "step"));
  root.addEventListener("pointermove", e => {
    const r = e.target; if (r.tagName !== "rect") return hush();
    const i = +r.dataset.i, j = +r.dataset.j, v = grid[i][j], logged = D.quantities[name].includes("log10");
    say(`${signals.layers[i]}, step ${fmt(signals.steps[j])}\n${D.quantities[name].replace(" (log10)", "")}: ${fmt(logged ? 10 ** v : v)}`, e);
  });
  root.addEventListener("pointerleave", hush);
  const scale = el("p", {class: "scale"}, fmt(low), el("i", {style: `background:linear-gradient(90deg,${VIRIDIS.map(c => `rgb(${c})`).join(",")})`}), fmt(high), ` ${D.quantities[name]}`);
  return [root, scale];
}
function saved(name, head, rows) {
  return el("button", {type: "button", onclick: () => {
    const quote = v => /[",\n]/.test(v = String(v ?? "")) ? `"${v.replaceAll('"', '""')}"` : v;
    const text = [head, ...rows].map(r => r.map(quote).join(",")).join("\n") + "\n";
    const a = el("a", {href: URL.createObjectURL(new Blob([text], {type: "text/csv"})), download: name}); a.click(); URL.revokeObjectURL(a.href);
  }}, "Export as CSV");
}
// ---- theme
const theme = document.getElementById("theme"), dark = matchMedia("(prefers-color-scheme: dark)");
function paint(on) { document.documentElement.classList.toggle("dark", on); theme.setAttribute("aria-pressed", on); theme.textContent = on ? "Light" : "Dark"; }
theme.addEventListener("click", () => paint(!document.documentElement.classList.contains("dark"))); paint(dark.matches);
dark.addEventListener("change", e => paint(e.matches));
document.getElementById("title").textContent = R.length === 1 ? R[0].label : `${R.length} runs`;
document.getElementById("about").textContent = `dnnrun ${D.dnnrun}, ${D.made}`;
// ---- summary
{
  const s = section("summary", "Summary"), metrics = [...new Set(R.flatMap(r => Object.keys(r.final)))];
  const head = ["run", "status", "seed", "epochs", ...metrics, "seconds", "examples/s", "network", "parameters", "FLOPs/prediction"];
  const rows = R.map(r => [r.label, r.status, r.seed, r.epochs.length, ...metrics.map(m => m in r.final ? r.final[m].toFixed(4) : "-"), fmt(r.timing.total_s), fmt(r.timing.examples_per_s && Math.round(r.timing.examples_per_s)), r.costs.layers ?? "-", fmt(r.costs.parameters), fmt(r.costs.flops_per_prediction)]);
  s.append(table(head, rows, j => j > 1 && j !== head.length - 3, "Summary of the runs"), el("div", {class: "bar"}, saved("summary.csv", head, rows)));
  for (const r of R) if (r.error) s.append(el("p", {class: "note"}, `${r.label}: ${r.error}`));
}
// ---- curves
{
  const s = section("curves", "Learning curves"), names = [...new Set(R.flatMap(r => Object.keys(r.curves)))];
  const at = {x: "epochs", log: false}, keys = el("div", {class: "bar", role: "group", "aria-label": "Runs shown"});
  const place = el("div", {class: "two"});
  const label = n => n.replace(".", " ").replace("_", " ");
  function draw() {
    place.replaceChildren(...names.map(n => el("div", {}, el("h3", {}, label(n)), chart(R.flatMap((r, i) => shown[i] && r.curves[n] ? [{name: r.label, color: color(i), dash: dash(i), x: r[at.x], y: r.curves[n]}] : []), {label: `${label(n)} of ${R.filter((_, i) => shown[i]).map(r => r.label).join(", ")}`, xlabel: at.x.slice(0, -1), log: at.log, whole: at.x !== "seconds"}))));
  }
  const swatch = i => { const s = svg("svg", {class: "swatch", viewBox: "0 0 32 6", "aria-hidden": "true"}); s.append(svg("line", {x1: 0, x2: 32, y1: 3, y2: 3, stroke: color(i), "stroke-width": 3, "stroke-dasharray": dash(i)})); return s; };
  R.forEach((r, i) => keys.append(el("button", {type: "button", class: "key", "aria-pressed": "true", onclick: e => { shown[i] = !shown[i]; e.currentTarget.setAttribute("aria-pressed", shown[i]); draw(); }}, swatch(i), r.label)));
  const log = el("input", {type: "checkbox", onchange: e => { at.log = e.target.checked; draw(); }});
  const head = ["run", "epoch", "step", "seconds", ...names];
  const rows = R.flatMap(r => r.epochs.map((e, k) => [r.label, e, r.steps[k], r.seconds[k], ...names.map(n => r.curves[n]?.[k] ?? "")]));
  s.append(keys, el("div", {class: "bar"}, choice("over", [["epochs", "epochs"], ["steps", "steps"], ["seconds", "seconds"]], v => { at.x = v; draw(); }), el("label", {}, log, "logarithmic"), saved("curves.csv", head, rows)), place);
  s.append(el("details", {}, el("summary", {}, "The numbers as a table"), table(head, rows.map(r => r.map((v, j) => j > 3 && typeof v === "number" ? fmt(v) : v ?? "")), j => j > 0, "Learning curves as numbers")));
  draw();
}
// ---- signals
if (R.some(r => r.signals)) {
  const s = section("signals", "Signals through the layers"), have = R.filter(r => r.signals);
  const names = Object.keys(D.quantities).filter(n => have.some(r => n in r.signals.grids)), at = {name: names[0]};
  const place = el("div", {class: "two"});
  // One scale for all runs, so that they can be compared.
  function range(name) {
    const values = have.flatMap(r => (r.signals.grids[name] || []).flat()).filter(v => v != null);
    return [values.reduce((a, b) => Math.min(a, b), Infinity), values.reduce((a, b) => Math.max(a, b), -Infinity)];
  }
  function draw() { const scale = range(at.name); place.replaceChildren(...have.filter(r => at.name in r.signals.grids).map(r => el("div", {}, el("h3", {}, r.label), ...heatmap(r.signals, at.name, `${D.quantities[at.name]} of each layer of ${r.label} over steps`, scale)))); }
  s.append(el("div", {class: "bar"}, choice("what", names.map(n => [n, D.quantities[n]]), v => { at.name = v; draw(); })), place); draw();
  const rest = R.filter(r => !r.signals).map(r => r.label);
  if (rest.length) s.append(el("p", {class: "note"}, `Not watched (train.watch): ${rest.join(", ")}`));
}
// ---- predictions
{
  const s = section("predictions", "Predictions"), place = el("div"), classes = i => R[i].score.classes;
  function matrix(score) {
    const t = score.confusion, most = Math.max(...t.flat().map((v, k) => v), 1), names = score.classes;
    return el("div", {class: "wide", tabindex: "0", role: "region", "aria-label": "Confusion matrix"}, el("table", {class: "matrix"}, el("caption", {class: "note"}, "true classes down, predicted across"), el("thead", {}, el("tr", {}, el("th", {}, ""), ...names.map(n => el("th", {scope: "col"}, n)))), el("tbody", {}, ...t.map((row, i) => { const sum = Math.max(1, row.reduce((a, b) => a + b, 0)); return el("tr", {}, el("th", {scope: "row"}, names[i]), ...row.map((v, j) => el("td", {style: v ? `background:rgba(${i === j ? "var(--cell)" : "213,94,0"},${(.12 + .5 * Math.sqrt(v / sum)).toFixed(2)})` : "", title: `${names[i]} taken for ${names[j]}: ${v} (${(100 * v / sum).toFixed(1)}%)`}, v || "·"))); }))));
  }
  function filters(score) {
    return score.filters.length ? [el("h3", {}, "Filters of the first layer"), el("p", {class: "note"}, "weights of a unit over the image: red above 0, blue below; those with the largest norm first"), el("div", {class: "filters"}, ...score.filters.map((f, k) => el("img", {src: f, alt: `weights of unit ${k + 1} by norm`, loading: "lazy"})))] : [];
  }
  const left = (score, what) => score.left_out ? [el("p", {class: "note"}, `${score.left_out} more ${what} are not drawn`)] : [];
  function numbers(r, score) {
    const parts = [el("p", {}, `${score.split}: ${score.examples.toLocaleString("en")} examples`), table(["target", "RMSE", "MAE", "R²"], score.targets.map(t => [t.name, fmt(t.rmse), fmt(t.mae), fmt(t.r2)]), j => j > 0, "Errors of each target")], two = el("div", {class: "two"});
    for (const t of score.targets) {
      const all = [...t.true, ...t.predicted], ends = [all.reduce((a, b) => Math.min(a, b)), all.reduce((a, b) => Math.max(a, b))];
      two.append(el("div", {}, el("h3", {}, `${t.name}: predicted over true`), chart([{name: "predicted", color: color(0), dash: "", x: t.true, y: t.predicted}], {label: `${t.name} as ${r.label} predicts it, over what is true`, xlabel: "true", x: ends, y: ends, diagonal: true, dots: true})),
        el("div", {}, el("h3", {}, `${t.name}: residuals`), bars(t.residuals, {label: `Histogram of predicted minus true ${t.name} of ${r.label}`, xlabel: "predicted minus true"})));
    }
    parts.push(two, ...left(score, "targets"), el("h3", {}, "Worst mistakes"), table(["row", "target", "true", "predicted"], score.mistakes.map(m => [m.row, m.target, fmt(m.true), fmt(m.predicted)]), j => j !== 1, "Worst mistakes"));
    return parts;
  }
  function labels(r, score) {
    const none = n => n.join(", ") || "none", curves = score.labels.flatMap((l, k) => l.roc ? [{name: `${l.name} (AUC ${l.area.toFixed(4)})`, color: color(k), dash: dash(k), x: l.roc.false, y: l.roc.true}] : []);
    const parts = [el("p", {}, `${score.split}: ${score.examples.toLocaleString("en")} examples, every label right in ${(100 * score.accuracy).toFixed(2)}%, single labels right ${(100 * score.label_accuracy).toFixed(2)}%`), table(["label", "rows with it", "accuracy", "precision", "recall", "F1", "AUC"], score.labels.map(l => [l.name, fmt(l.support), fmt(l.accuracy), fmt(l.precision), fmt(l.recall), fmt(l.f1), fmt(l.area)]), j => j > 0, "Scores of each label")];
    if (curves.length) parts.push(el("h3", {}, "ROC of each label"), el("div", {class: "two"}, chart(curves, {label: `ROC curves of the labels of ${r.label}`, xlabel: "false positives", x: [0, 1], y: [0, 1], diagonal: true})), ...left(score, "labels"));
    if (score.mistakes.length) parts.push(el("h3", {}, "Worst mistakes"), table(["row", "wrong labels", "true", "predicted"], score.mistakes.map(m => [m.row, m.wrong, none(m.true), none(m.predicted)]), j => j < 2, "Worst mistakes"));
    return parts;
  }
  function draw(i) {
    const r = R[i], score = r.score;
    if (!score) { place.replaceChildren(el("p", {class: "note"}, `No predictions of ${r.label}: ${r.no_score}`)); return; }
    if (score.task !== "classification") { place.replaceChildren(...(score.task === "regression" ? numbers : labels)(r, score), ...filters(score)); return; }
    const bins = score.calibration.bins.filter(Boolean);
    const parts = [el("p", {}, `${score.split}: ${score.examples.toLocaleString("en")} examples, accuracy ${score.accuracy.toFixed(4)}, expected calibration error ${score.calibration.error.toFixed(4)}`)];
    if (score.confusion) parts.push(el("h3", {}, "Confusion matrix"), matrix(score));
    const two = el("div", {class: "two"}, el("div", {}, el("h3", {}, "Calibration"), chart([{name: "accuracy", color: color(0), dash: "", x: bins.map(b => b.confidence), y: bins.map(b => b.accuracy)}], {label: `Calibration of ${r.label}: accuracy over confidence`, xlabel: "confidence", x: [0, 1], y: [0, 1], diagonal: true}), el("p", {class: "note"}, "accuracy of the predictions in each tenth of confidence; on the diagonal they are as often right as they claim")));
    if (score.roc) two.append(el("div", {}, el("h3", {}, "ROC, each class against the rest"), chart(score.roc.flatMap((c, k) => c ? [{name: `${score.classes[k]} (AUC ${c.area.toFixed(4)})`, color: color(k), dash: dash(k), x: c.false, y: c.true}] : []), {label: `ROC curves of ${r.label}`, xlabel: "false positives", x: [0, 1], y: [0, 1], diagonal: true})));
    parts.push(two);
    if (score.mistakes.length) parts.push(el("h3", {}, "Worst mistakes"), score.mistakes[0].picture ? el("div", {class: "pictures"}, ...score.mistakes.map(m => el("figure", {}, el("img", {src: m.picture, alt: `a ${m.true} taken for ${m.predicted}`, loading: "lazy"}), el("figcaption", {}, `${m.true} taken for ${m.predicted} (${(100 * m.probability).toFixed(0)}%), row ${m.row}`)))) : table(["row", "true", "predicted", "its probability", "of the truth"], score.mistakes.map(m => [m.row, m.true, m.predicted, fmt(m.probability), fmt(m.of_truth)]), j => j !== 1 && j !== 2, "Worst mistakes"));
    parts.push(...filters(score));
    place.replaceChildren(...parts);
  }
  if (R.length > 1) s.append(el("div", {class: "bar"}, choice("run", R.map((r, i) => [i, r.label]), v => draw(+v))));
  s.append(place); draw(0);
}
// ---- transfer
if (R.some(r => r.transfer)) {
  const s = section("transfer", "Transfer");
  for (const r of R) if (r.transfer) {
    const t = r.transfer, list = v => Array.isArray(v) ? v.join(", ") || "-" : typeof v === "object" && v ? JSON.stringify(v) : String(v);
    s.append(el("h3", {}, r.label), table(["", ""], Object.entries(t).filter(([, v]) => v != null && !(Array.isArray(v) && v.length && typeof v[0] === "object")).map(([k, v]) => [k.replaceAll("_", " "), list(v)]), () => false, `Transfer of ${r.label}`));
  }
}
// ---- specs
{
  const s = section("specs", "Specs");
  if (R.length > 1) { const head = ["key", ...R.map(r => r.label)], rows = D.diff.map(d => [d.key, ...d.values]); s.append(el("h3", {}, "Where they differ"), rows.length ? table(head, rows, () => false, "Differences of the specs") : el("p", {class: "note"}, "nowhere"), el("div", {class: "bar"}, saved("specs.csv", head, rows))); }
  for (const r of R) s.append(el("details", {}, el("summary", {}, r.label), el("pre", {tabindex: "0"}, r.spec)));
}
// ---- environment
{
  const s = section("environment", "Environment"), keys = [...new Set(R.flatMap(r => Object.keys(r.environment)))], packages = [...new Set(R.flatMap(r => Object.keys(r.versions)))];
  s.append(table(["", ...R.map(r => r.label)], [["run directory", ...R.map(r => r.path)], ...keys.map(k => [k, ...R.map(r => r.environment[k] ?? "-")]), ["data hash", ...R.map(r => r.data)], ["seconds to the first step", ...R.map(r => fmt(r.timing.to_first_step_s))], ...packages.map(k => [k, ...R.map(r => r.versions[k] ?? "-")])], () => false, "Environment of the runs"));
}
document.documentElement.dataset.ready = "yes";
