"use strict";

// ---- The record: arrays come as base64 of float32, with their shape. ----

function decode(name, value) {
  if (value === null || typeof value !== "object" || !("base64" in value)) return value;
  const bytes = Uint8Array.from(atob(value.base64), (c) => c.charCodeAt(0));
  return { shape: value.shape, data: new Float32Array(bytes.buffer) };
}

const record = JSON.parse(document.getElementById("record").textContent, decode);
const tokens = record.tokens;
const W = tokens.length;
const L = record.layers.length;
const D = record.states.shape[2];
const chosen = { token: 0, layer: 0, head: 0, key: 0, state: L };

/* A row of an array: row(a, 2, 5) is a[2, 5, :]. */
function row(array, ...index) {
  const width = array.shape[array.shape.length - 1];
  let at = 0;
  index.forEach((i, axis) => { at = at * array.shape[axis] + i; });
  return array.data.subarray(at * width, (at + 1) * width);
}

const sum = (numbers) => { let s = 0; for (const x of numbers) s += x; return s; };
const dot = (a, b) => { let s = 0; for (let i = 0; i < a.length; i++) s += a[i] * b[i]; return s; };
const show = (x, digits = 4) => (Math.abs(x) < 1e-4 && x !== 0 ? x.toExponential(2) : x.toFixed(digits))
  .replace("-", "−");

// ---- The formulas. ----

function score(l, h, i, j) {
  const layer = record.layers[l];
  return dot(row(layer.q, h, i), row(layer.k, h, j)) / Math.sqrt(layer.q.shape[2]);
}

function probability(l, h, i, j) {
  const layer = record.layers[l];
  return Math.exp(score(l, h, i, j) - layer.largest[h][i]) / layer.sum[h][i];
}

/* Layer norm of a + b: the number at n, and what it is made of. */
function normed(a, b, norm, n) {
  const added = Array.from(a, (x, i) => x + b[i]);
  const mean = sum(added) / added.length;
  const variance = sum(added.map((x) => (x - mean) ** 2)) / added.length;
  const factor = norm.weight.data[n], shift = norm.bias.data[n];
  const value = (added[n] - mean) / Math.sqrt(variance + record.eps) * factor + shift;
  return { a: a[n], b: b[n], mean, variance, factor, shift, value };
}

/* Whether token i may attend to token j, as in training/pretraining/attention_masks.py. */
function mayAttend(objective, masked, i, j) {
  const own = tokens[i].side === tokens[j].side;
  if (objective === "MMLM") return own;
  if (objective === "TLM" || objective === "BTMLM, step 2") return true;
  if (!masked[i]) return own && !masked[j];
  return own ? masked[j] : !masked[j];
}

// ---- Helpers for elements. ----

const $ = (id) => document.getElementById(id);

function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name === "class") element.className = value;
    else if (name.includes("-") || name === "role" || name === "dir" || name === "scope")
      element.setAttribute(name, value);
    else element[name] = value;
  }
  element.append(...children);
  return element;
}

/* A piece of text in its own direction, so that Arabic does not turn the numbers around it. */
const bdi = (text) => make("bdi", {}, text);
const piece = (i) => tokens[i].piece;
const line = (...parts) => make("p", { class: "line" }, ...parts);
const sideOf = (i) => `side${tokens[i].side}`;

function options(select, names, onChoose) {
  select.replaceChildren(...names.map((name, n) => make("option", { value: n }, name)));
  select.onchange = () => onChoose(Number(select.value));
}

/* Let arrow keys move inside a table, and Enter or a click choose a cell. */
function makeGrid(table, onChoose) {
  const cells = () => Array.from(table.tBodies[0].rows, (r) => Array.from(r.querySelectorAll("td")));
  const place = (cell) => [cell.parentNode.rowIndex - (table.tHead ? table.tHead.rows.length : 0),
    cells()[cell.parentNode.rowIndex - (table.tHead ? table.tHead.rows.length : 0)].indexOf(cell)];
  const choose = (cell) => {
    table.querySelectorAll("[aria-selected=true]").forEach((c) => c.setAttribute("aria-selected", "false"));
    table.querySelectorAll("[tabindex='0']").forEach((c) => { c.tabIndex = -1; });
    cell.setAttribute("aria-selected", "true");
    cell.tabIndex = 0;
    onChoose(...place(cell));
  };
  table.onclick = (event) => {
    const cell = event.target.closest("td");
    if (cell) choose(cell);
  };
  table.onkeydown = (event) => {
    const cell = event.target.closest("td");
    if (!cell) return;
    const moves = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
    if (event.key === "Enter" || event.key === " ") choose(cell);
    else if (event.key in moves) {
      const all = cells(), [r, c] = place(cell), [down, right] = moves[event.key];
      const next = all[r + down] && all[r + down][c + right];
      if (next) { cell.tabIndex = -1; next.tabIndex = 0; next.focus(); }
    } else return;
    event.preventDefault();
  };
}

function tokenHead(i, tag = "th", scope = "col") {
  return make(tag, { class: `token ${sideOf(i)}`, scope }, bdi(piece(i)));
}

/* A table of tokens × tokens; cell(i, j) gives the properties of a td. */
function tokenTable(table, corner, cell) {
  const head = make("thead", {}, make("tr", {}, make("th", { scope: "col" }, corner),
    ...tokens.map((_, j) => tokenHead(j))));
  const body = make("tbody", {}, ...tokens.map((_, i) => make("tr", {}, tokenHead(i, "th", "row"),
    ...tokens.map((_, j) => make("td", { role: "gridcell", tabIndex: -1, "aria-selected": "false",
      ...cell(i, j) })))));
  table.replaceChildren(head, body);
  body.querySelector("td").tabIndex = 0;
}

/* A table of numbers, closed until it is wanted. */
function numbersTable(title, heads, rows) {
  return make("details", {}, make("summary", {}, title), make("table", {},
    make("thead", {}, make("tr", {}, ...heads.map((h) => make("th", { scope: "col" }, h)))),
    make("tbody", {}, ...rows.map((cells) => make("tr", {}, ...cells.map((c) => make("td", {}, c)))))));
}

// ---- Texts and tokens. ----

function showTexts() {
  const { side, span } = tokens[chosen.token];
  $("texts").replaceChildren(...record.texts.map((text, n) => {
    const letters = Array.from(text); // spans count characters, not units of UTF-16
    const paragraph = make("p", { class: `side${n}`, dir: "auto" });
    if (n !== side || span[0] === span[1]) paragraph.append(text);
    else paragraph.append(letters.slice(0, span[0]).join(""),
      make("mark", {}, letters.slice(...span).join("")), letters.slice(span[1]).join(""));
    return paragraph;
  }));
}

function showTokens() {
  $("tokens").replaceChildren(...tokens.map((token, i) => make("li", {}, make("button", {
    type: "button", class: sideOf(i), "aria-pressed": String(i === chosen.token),
    "aria-label": `Token ${record.shown[i]}: ${token.piece}`, onclick: () => chooseToken(i),
  }, bdi(token.piece)))));
}

function showToken() {
  const { piece: text, id, span } = tokens[chosen.token];
  const where = span[0] === span[1] ? "no characters of the text"
    : `characters ${span[0]} to ${span[1] - 1}`;
  $("token").replaceChildren(`Token ${record.shown[chosen.token]}: `, bdi(text),
    ` — id ${id}, ${where}`, record.texts.length > 1 ? `, text ${tokens[chosen.token].side + 1}.` : ".");
}

function chooseToken(i) {
  chosen.token = i;
  Array.from($("tokens").querySelectorAll("button"),
    (button, n) => button.setAttribute("aria-pressed", String(n === i)));
  showTexts();
  showToken();
  showNearest();
  showNumbers();
}

// ---- Attention. ----

const all = record.layers.map((layer, l) => Array.from({ length: record.heads[l] }, (_, h) => {
  const values = new Float32Array(W * W);
  for (let i = 0; i < W; i++) for (let j = 0; j < W; j++) values[i * W + j] = probability(l, h, i, j);
  return values;
}));
const most = Math.max(1e-9, ...all.flat().map((values) => values.reduce((a, b) => Math.max(a, b), 0)));

function isShown(i, j) {
  const between = $("between").value, same = tokens[i].side === tokens[j].side;
  return between === "all" || (between === "within") === same;
}

function showGrid() {
  const { layer, head } = chosen;
  tokenTable($("grid"), "row attends to", (i, j) => {
    const p = all[layer][head][i * W + j];
    const text = `${piece(i)} attends to ${piece(j)}: ${show(p, 3)}`;
    if (!isShown(i, j)) return { class: "off", "aria-label": `${text} (not shown)` };
    return { "aria-label": text, title: text, "data-share": p };
  });
  for (const cell of $("grid").querySelectorAll("td[data-share]"))
    cell.style.backgroundColor = `rgba(var(--blue), ${cell.dataset.share / most})`;
  $("grid").setAttribute("aria-label", `Attention of layer ${layer + 1}, head ${head + 1}`);
  $("formula").replaceChildren();
  for (const button of $("overview").querySelectorAll("button"))
    button.setAttribute("aria-pressed",
      String(Number(button.dataset.layer) === layer && Number(button.dataset.head) === head));
}

function showFormula(i, j) {
  const { layer: l, head: h } = chosen, layer = record.layers[l];
  const q = row(layer.q, h, i), k = row(layer.k, h, j), v = row(layer.v, h, j), d = q.length;
  const product = dot(q, k), s = score(l, h, i, j), p = probability(l, h, i, j);
  const largest = layer.largest[h][i], total = layer.sum[h][i];
  const others = 1 - sum(tokens.map((_, n) => all[l][h][i * W + n]));
  $("formula").replaceChildren(
    make("h3", {}, bdi(piece(i)), " attends to ", bdi(piece(j)), `: ${show(p)}`),
    make("p", {}, `Layer ${l + 1}, head ${h + 1}. The score is the query of `, bdi(piece(i)),
      " times the key of ", bdi(piece(j)), ":"),
    line(`s = q · k / √d = ${show(product)} / √${d} = ${show(s)}`),
    numbersTable(`q · k, all ${d} products`, ["number", "q", "k", "q × k"],
      Array.from(q, (x, n) => [n, show(x), show(k[n]), show(x * k[n])])),
    make("p", {}, `Softmax over the ${record.total} keys of the row, whose largest score is `
      + `${show(largest)}:`),
    line(`p = exp(s − largest) / Σ exp = exp(${show(s - largest)}) / ${show(total)} = ${show(p)}`),
    make("p", {}, "The token adds p times the value of ", bdi(piece(j)), " to its result:"),
    numbersTable(`p × v, all ${d} numbers`, ["number", "v", "p × v"],
      Array.from(v, (x, n) => [n, show(x), show(p * x)])),
    ...(W < record.total ? [make("p", {}, `Tokens that are not on this page get ${show(others)} of `
      + "this row.")] : []));
}

function chooseHead(layer, head) {
  Object.assign(chosen, { layer, head: Math.min(head, record.heads[layer] - 1) });
  options($("head"), Array.from({ length: record.heads[layer] }, (_, h) => h + 1),
    (h) => chooseHead(chosen.layer, h));
  $("layer").value = chosen.layer;
  $("head").value = chosen.head;
  showGrid();
}

function showOverview() {
  const colour = matchMedia("(prefers-color-scheme: dark)").matches ? [110, 168, 255] : [27, 88, 184];
  $("overview").replaceChildren(...all.map((heads, l) => make("div", {}, ...heads.map((values, h) => {
    const canvas = make("canvas", { width: W, height: W });
    const context = canvas.getContext("2d"), image = context.createImageData(W, W);
    values.forEach((p, n) => image.data.set([...colour, 255 * p / most], 4 * n));
    context.putImageData(image, 0, 0);
    return make("button", { type: "button", "aria-label": `Layer ${l + 1}, head ${h + 1}`,
      title: `Layer ${l + 1}, head ${h + 1}`, "data-layer": l, "data-head": h,
      onclick: () => { chooseHead(l, h); $("attention").scrollIntoView(); } }, canvas);
  }))));
}

/* Heads with a habit that can be put into words, and its mean share of attention. */
function habits() {
  const special = new Set(record.special);
  const kinds = {
    "the token before": (i, j) => record.shown[j] === record.shown[i] - 1,
    "the token after": (i, j) => record.shown[j] === record.shown[i] + 1,
    "the token itself": (i, j) => i === j,
    "special tokens": (i, j) => special.has(tokens[j].id),
  };
  if (record.texts.length > 1) kinds["the other text"] = (i, j) => tokens[i].side !== tokens[j].side;
  return Object.entries(kinds).map(([name, holds]) => {
    let best = { share: -1 };
    all.forEach((heads, layer) => heads.forEach((values, head) => {
      let share = 0, rows = 0;
      for (let i = 0; i < W; i++) {
        if (special.has(tokens[i].id)) continue;
        rows++;
        for (let j = 0; j < W; j++) if (holds(i, j)) share += values[i * W + j];
      }
      if (rows && share / rows > best.share) best = { name, layer, head, share: share / rows };
    }));
    return best;
  }).filter((habit) => habit.share >= 0);
}

function showHints() {
  $("hints").replaceChildren(...habits().map(({ name, layer, head, share }) => make("li", {},
    make("button", { type: "button", onclick: () => chooseHead(layer, head) },
      `Layer ${layer + 1}, head ${head + 1}`),
    ` looks most at ${name}: ${show(share, 2)} of a word's attention on average.`)),
  make("li", {}, "A column that is dark in many heads is a token that tells little: heads rest on it "
    + "when they find nothing."),
  make("li", {}, "In later layers the nearest tokens below drift from the word itself to what it "
    + "means in this text."));
}

// ---- Vectors. ----

function showNearest() {
  const rows = record.nearest.map((layer, l) => make("tr", {}, make("th", { scope: "row" }, String(l)),
    ...layer[chosen.token].map(([text, cosine]) => make("td", { role: "gridcell", tabIndex: -1,
      "aria-selected": "false" }, bdi(text), ` ${show(cosine, 2)}`))));
  const count = record.nearest[0][0].length;
  const head = make("thead", {}, make("tr", {}, make("th", { scope: "col" }, "after layer"),
    ...Array.from({ length: count }, (_, n) => make("th", { scope: "col" }, `${n + 1}.`))));
  $("nearest").replaceChildren($("nearest").caption, head, make("tbody", {}, ...rows));
  $("nearest").querySelector("td").tabIndex = 0;
  $("near").replaceChildren();
}

function showNear(l, n) {
  const i = chosen.token, h = row(record.states, l, i), [text, cosine, length] = record.nearest[l][i][n];
  const own = Math.sqrt(dot(h, h));
  $("near").replaceChildren(
    make("h3", {}, bdi(piece(i)), ` after layer ${l} and `, bdi(text), `: ${show(cosine)}`),
    make("p", {}, "h is the vector of ", bdi(piece(i)), ", e the row of ", bdi(text),
      " in the table of word embeddings, and |h| and |e| are their lengths:"),
    line(`cosine = h · e / (|h| |e|) = ${show(cosine * own * length)} / (${show(own)} · ${show(length)}) = `
      + show(cosine)));
}

function showNumbers() {
  const vector = row(record.states, chosen.state, chosen.token), columns = 16;
  const rows = [];
  for (let n = 0; n < D; n += columns)
    rows.push(make("tr", {}, make("th", { scope: "row" }, String(n)),
      ...Array.from(vector.subarray(n, n + columns), (x, c) => make("td", { role: "gridcell",
        tabIndex: -1, "aria-selected": "false", "aria-label": `Number ${n + c}: ${show(x, 3)}` },
      show(x, 2)))));
  $("numbers").replaceChildren(make("tbody", {}, ...rows));
  $("numbers").querySelector("td").tabIndex = 0;
  $("state").value = chosen.state;
  $("number").replaceChildren();
}

/* The lines of a layer norm with its numbers put in. */
function normLines(names, got) {
  return [
    line(`${names.sum} = ${names.a} + ${names.b} = ${show(got.a)} + ${show(got.b)} = ${show(got.a + got.b)}`),
    line(`${names.result} = (${names.sum} − mean) / √(variance + ε) · γ + β = (${show(got.a + got.b)} − `
      + `${show(got.mean)}) / √(${show(got.variance)} + ${record.eps}) · ${show(got.factor)} + `
      + `${show(got.shift)} = ${show(got.value)}`),
  ];
}

function numberOf(l, i, n) {
  if (l === 0) {
    const { words, positions, norm } = record.embedding;
    return [normed(row(words, i), row(positions, i), norm, n)];
  }
  const layer = record.layers[l - 1], middle = row(layer.middle, i);
  return [normed(row(layer.attended, i), row(record.states, l - 1, i), layer.norm1, n),
    normed(row(layer.fed, i), middle, layer.norm2, n)];
}

function showNumber(n) {
  const { state: l, token: i } = chosen, steps = numberOf(l, i, n);
  const parts = l === 0
    ? [make("p", {}, "The row of the token's id and the row of its position are added and normed:"),
      ...normLines({ sum: "x", a: "word", b: "position", result: "h" }, steps[0])]
    : [make("p", {}, "The result of attention is added to the input of the layer and normed:"),
      ...normLines({ sum: "x", a: "attention", b: "input", result: "m" }, steps[0]),
      make("p", {}, "The result of the feed-forward maps is added and normed again:"),
      ...normLines({ sum: "y", a: "feed-forward", b: "m", result: "h" }, steps[1])];
  $("number").replaceChildren(make("h3", {}, `Number ${n} of `, bdi(piece(i)), ` after layer ${l}`),
    ...parts);
}

// ---- Masks of pre-training. ----

const RULES = {
  MMLM: "A token attends to its own text alone. Masked tokens are guessed from their own language.",
  TLM: "Every token attends to both texts. A masked token is guessed from its sentence and the translation.",
  CAMLM: "A masked token attends to the other text and to masked tokens of its own, so it must be "
    + "guessed from the translation. An unmasked token attends to unmasked tokens of its own text.",
  "BTMLM, step 1": "The second text is made of placeholders, all masked. The model guesses them from "
    + "the first text: a translation in pseudo tokens.",
  "BTMLM, step 2": "The guessed tokens stay. Tokens of the first text are masked and guessed from both.",
};
const special = new Set(record.special);
const isWord = (i) => !special.has(tokens[i].id);
const masks = { objective: "MMLM", masked: tokens.map((_, i) => isWord(i) && i % 5 === 2) };

function maskedNow() {
  if (masks.objective !== "BTMLM, step 1") return masks.masked;
  return tokens.map((token, i) => token.side === 1 && isWord(i));
}

function showMasks() {
  const names = Object.keys(RULES).slice(0, record.texts.length > 1 ? undefined : 1);
  $("objectives").replaceChildren(...names.map((name) => make("label", {}, make("input", {
    type: "radio", name: "objective", value: name, checked: name === masks.objective,
    onchange: () => { masks.objective = name; showMask(); } }), ` ${name} `)));
  if (record.texts.length === 1)
    $("objectives").append(make("p", {}, "The other objectives need two texts: give a translation, too."));
  $("masked").replaceChildren(...tokens.map((_, i) => make("button", { type: "button",
    class: sideOf(i), disabled: !isWord(i), "aria-pressed": String(masks.masked[i]),
    onclick: (event) => {
      masks.masked[i] = !masks.masked[i];
      event.currentTarget.setAttribute("aria-pressed", String(masks.masked[i]));
      showMask();
    } }, bdi(piece(i)))));
  showMask();
}

function showMask() {
  const masked = maskedNow();
  $("rule").textContent = RULES[masks.objective];
  tokenTable($("mask"), "row attends to", (i, j) => {
    const may = mayAttend(masks.objective, masked, i, j);
    const name = (n) => `${piece(n)}${masked[n] ? " (masked)" : ""}`;
    const text = `${name(i)} ${may ? "may attend" : "may not attend"} to ${name(j)}`;
    return { class: may ? "seen" : "", "aria-label": text, title: text };
  });
  $("why").replaceChildren();
}

/* Why a token may attend to another: what the rule of the objective asks for, of these two. */
function showWhy(i, j) {
  const masked = maskedNow(), is = (n) => (masked[n] ? "is masked" : "is not masked");
  const where = tokens[i].side === tokens[j].side ? "the same text" : "the other text";
  $("why").replaceChildren(bdi(piece(i)), ` ${is(i)}. `, bdi(piece(j)), ` ${is(j)} and stands in ${where}. `
    + `So the first ${mayAttend(masks.objective, masked, i, j) ? "may" : "may not"} attend to the second.`);
}

// ---- Similarity. ----

function showSimilarity() {
  if (!record.similarity) {
    $("similarity").hidden = true;
    return;
  }
  const a = row(record.similarity.vectors, 0), b = row(record.similarity.vectors, 1);
  const product = dot(a, b), lengths = [Math.sqrt(dot(a, a)), Math.sqrt(dot(b, b))];
  const cosine = product / lengths[0] / lengths[1];
  const order = Array.from(a, (_, n) => n).sort((m, n) => Math.abs(a[n] * b[n]) - Math.abs(a[m] * b[m]));
  $("cosine").replaceChildren(
    make("p", {}, `Each text is read alone and becomes one vector (pooling: ${record.similarity.pooling}).`),
    line(`cosine = Σ a b / (|a| |b|) = ${show(product)} / (${show(lengths[0])} · ${show(lengths[1])}) = `
      + show(cosine)),
    numbersTable(`a × b, all ${a.length} products, the largest first`, ["number", "a", "b", "a × b"],
      order.map((n) => [n, show(a[n]), show(b[n]), show(a[n] * b[n])])));
}

// ---- Start. ----

$("model").textContent = record.model;
$("extent").textContent = (W < record.total
  ? `${W} of ${record.total} tokens are shown; the model read all of them.`
  : `All ${W} tokens are shown.`)
  + (record.cut ? ` The last ${record.cut} tokens do not fit into the model and were not read.` : "");
$("between-label").hidden = record.texts.length === 1;
$("between").onchange = showGrid;
$("most").textContent = show(most, 2);
options($("layer"), record.layers.map((_, l) => l + 1), (l) => chooseHead(l, chosen.head));
options($("state"), Array.from({ length: L + 1 }, (_, l) => l), (l) => { chosen.state = l; showNumbers(); });
makeGrid($("grid"), showFormula);
makeGrid($("numbers"), (r, c) => showNumber(16 * r + c));
makeGrid($("nearest"), showNear);
makeGrid($("mask"), showWhy);
showOverview();
showHints();
showTokens();
chooseHead(0, 0);
showMasks();
showSimilarity();
chooseToken(Math.min(1, W - 1));
