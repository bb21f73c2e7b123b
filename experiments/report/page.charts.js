/* Curves and spectra, drawn by Chart.js. */

/* ---- charts ----------------------------------------------------------------------- */

const charts = [];

function fade(colour, alpha)
{
  const n = parseInt(colour.slice(1), 16);
  return `rgba(${n >> 16 & 255}, ${n >> 8 & 255}, ${n & 255}, ${alpha})`;
}

/* Moves labels apart (top down, then back up) so that none covers another. */
function apart(list, gap, lo, hi)
{
  list.sort((a, b) => a.at - b.at);
  for (let i = 0; i < list.length; i++)
    list[i].at = Math.max(list[i].at, i ? list[i - 1].at + gap : lo);
  for (let i = list.length - 1; i >= 0; i--)
    list[i].at = Math.min(list[i].at, i + 1 < list.length ? list[i + 1].at - gap : hi);
}

/* Reference lines with their names, and each run's letter where its curve ends.  The
 * names stand right of the plot, where no curve crosses them, or inside it on a narrow
 * screen. */
const SMALL = '11px system-ui, sans-serif', WIDE = 400;

const marks = {
  id: 'marks',
  beforeLayout(chart) {
    const g = chart.ctx, texts = chart.options.plugins.marks.lines;
    g.save();
    g.font = '700 12px system-ui, sans-serif';
    const ends = chart.data.datasets.map(s => g.measureText(s.letter || '').width);
    chart.$ends = Math.max(0, ...ends.map(w => w - 14));    // wider than a letter
    g.font = SMALL;
    chart.$gutter = chart.width >= WIDE && texts.length > 0;
    chart.options.layout.padding.right = 20 + chart.$ends + (chart.$gutter
      ? 16 + Math.max(...texts.map(l => g.measureText(l.text).width)) : 0);
    g.restore();
  },
  beforeDatasetsDraw(chart) {
    const g = chart.ctx, area = chart.chartArea, y = chart.scales.y;
    const lines = chart.options.plugins.marks.lines.map(l =>
      ({ ...l, y: y.getPixelForValue(l.value) }))
      .filter(l => l.y >= area.top - 1 && l.y <= area.bottom + 1);
    chart.$texts = lines.map(l =>
      ({ text: l.text, y: l.y, at: chart.$gutter ? l.y : l.y - 7 }));
    apart(chart.$texts, 13, area.top + 6, area.bottom - 7);
    g.save();
    g.strokeStyle = css('--soft');
    for (const l of lines) {
      g.setLineDash(l.strong ? [8, 4] : [3, 4]);
      g.lineWidth = l.strong ? 1.6 : 1.1;
      g.beginPath(); g.moveTo(area.left, l.y); g.lineTo(area.right, l.y); g.stroke();
    }
    g.restore();
  },
  afterDatasetsDraw(chart) {
    const g = chart.ctx, area = chart.chartArea;
    g.save();
    g.font = SMALL;
    g.textBaseline = 'middle';
    g.lineJoin = 'round';
    g.fillStyle = css('--soft');
    for (const t of chart.$texts) {
      const x = chart.$gutter ? area.right + 34 + chart.$ends
        : area.right - g.measureText(t.text).width - 6;
      g.lineWidth = chart.$gutter ? .8 : 3;
      g.strokeStyle = chart.$gutter ? css('--soft') : css('--card');
      if (chart.$gutter) {
        g.beginPath(); g.moveTo(x - 14, t.y); g.lineTo(x - 3, t.at); g.stroke();
      } else {
        g.strokeText(t.text, x, t.at);
      }
      g.fillText(t.text, x, t.at);
    }
    const ends = chart.data.datasets.flatMap((set, i) => {
      const points = chart.getDatasetMeta(i).data.filter((p, j) => finite(set.data[j].y));
      const p = points[points.length - 1];
      return set.letter && chart.isDatasetVisible(i) && p
        ? [{ text: set.letter, at: p.y, x: p.x, colour: set.borderColor }] : [];
    });
    const near = e => Math.round(e.x / 16);         /* only neighbours can collide */
    for (const x of new Set(ends.map(near)))
      apart(ends.filter(e => near(e) === x), 13, area.top + 4, area.bottom - 4);
    g.font = '700 12px system-ui, sans-serif';
    for (const e of ends) {
      g.fillStyle = e.colour;
      g.fillText(e.text, e.x + 8, e.at);
    }
    g.restore();
  },
};

/* Reference lines of a metric over all shown runs; equal-looking values are one line. */
function referencesOf(key)
{
  const found = [], b = base(key);
  const add = (value, text, i, strong) => {
    if (!finite(value)) return;
    const near = found.find(f => f.word === text &&
      Math.abs(f.value - value) <= .004 * Math.max(Math.abs(value), 1e-9));
    if (near) near.runs.push(i);
    else found.push({ value, word: text, runs: [i], strong });
  };
  runs.forEach((r, i) => {
    if (state.hidden.has(i) || !epochsOf(r).length) return;
    for (const [word, value] of extra.references(key, r)) add(value, word, i, true);
    if (key === 'collapse/std') add(data.limits.collapse_std, 'collapse', i, true);
    if (BASELINES[b]) {
      for (const [word, k] of BASELINES[b])
        add(nested(r, 'baseline', k), word.split(' network')[0], i);
    } else {
      add(nested(r, 'reference', key), REFERENCE, i);
    }
  });
  const shown = runs.length - state.hidden.size;
  return found.map(f => ({ value: f.value, strong: f.strong,
    text: `${f.word} ${show(key, f.value)}` +
      (f.runs.length < shown && found.some(o => o !== f && o.word === f.word)
        ? ` (${f.runs.map(letter).join(', ')})` : '') }));
}

function axes(xTitle)
{
  const grid = css('--grid'), soft = css('--soft');
  return {
    x: { type: 'linear', grid: { color: grid, borderColor: css('--line') },
      title: { display: true, text: xTitle, color: soft },
      ticks: { color: soft, precision: 0, maxRotation: 0, autoSkipPadding: 16 } },
    y: { grid: { color: c => c.tick && c.tick.label ? grid : 'transparent',
        borderColor: css('--line') },
      ticks: { color: soft, maxTicksLimit: 7, includeBounds: false } },
  };
}

/* On a logarithmic axis only 1, 2 and 5 of each decade get a number. */
function logTick(value)
{
  const lead = value / 10 ** Math.floor(Math.log10(value) + 1e-9);
  return [1, 2, 5].some(k => Math.abs(lead - k) < 1e-6) ? String(+value.toPrecision(3))
    : '';
}

/* Only the powers of ten: 1, 0.1, 10⁻², 10⁻³ ... */
function powerTick(value)
{
  const p = Math.round(Math.log10(value));
  if (Math.abs(Math.log10(value) - p) > 1e-6) return '';
  const raised = [...String(p)].map(c => '⁰¹²³⁴⁵⁶⁷⁸⁹'[c] || '⁻').join('');
  return p >= -1 ? String(10 ** p) : '10' + raised;
}

function yAxis(axis, key, values, lines, zoomed)
{
  const m = METRICS[base(key)] || {};
  const all = values.concat(zoomed ? [] : lines.map(l => l.value)).filter(finite);
  if (m.percent) axis.ticks.callback = v => `${+(100 * v).toFixed(1)} %`;
  if (!all.length) return;
  const lo = Math.min(...all), hi = Math.max(...all);
  if (m.log && lo > 0) {
    axis.type = 'logarithmic';
    axis.ticks.callback = logTick;
    axis.ticks.maxTicksLimit = 40;
    axis.min = zoomed ? lo / 1.1 : Math.min(1, lo);
    axis.max = hi * (zoomed ? 1.1 : 1.35);
  } else if (m.range && !zoomed) {
    const slack = .02 * (m.range[1] - m.range[0]);
    axis.min = lo < m.range[0] - slack ? lo - slack : m.range[0];
    axis.max = hi > m.range[1] + slack ? hi + slack : m.range[1];
  } else {
    const pad = .08 * (hi - lo) || .05 * Math.abs(hi) || (m.digits === 0 ? 1 : .01);
    const below = lo >= 0 ? Math.max(0, lo - pad) : lo - pad;   // no room under zero for counts
    axis.suggestedMin = m.percent && !zoomed ? 0 : below;
    axis.suggestedMax = m.percent ? Math.min(1, hi + pad) : hi + pad;
  }
}

/* A curve of chartOf: y over the epochs of a run, with the signs of number i. */
function curveOf(r, i, y, label, end, hidden)
{
  const colour = runColour(i);
  return { label, letter: end, hidden,
    data: epochsOf(r).map((e, j) => ({ x: e, y: finite(y[j]) ? y[j] : NaN })),
    borderColor: colour, backgroundColor: colour, borderDash: runDash(i),
    borderWidth: 2.2,
    pointStyle: runMarker(i), pointRadius: epochsOf(r).length > 40 ? 0 : 3.4,
    pointHoverRadius: 6, clip: 8 };
}

const runCurves = key => runs.map((r, i) =>
  curveOf(r, i, column(r, key), `${letter(i)} ${r.label}`, letter(i), state.hidden.has(i)));

function chartOf(canvas, key, zoomed, sets_ = runCurves(key), lines = referencesOf(key))
{
  const scales = axes('epoch');
  const values = sets_.filter(s => !s.hidden).flatMap(s => s.data.map(p => p.y));
  yAxis(scales.y, key, values, lines, zoomed);
  scales.x.min = 0;
  scales.x.max = Math.max(1, ...runs.map(r => lastOf(r, 'epoch')).filter(finite));
  return new Chart(canvas, { type: 'line', data: { datasets: sets_ }, plugins: [marks],
    options: { animation: false, responsive: true, maintainAspectRatio: false, scales,
      layout: { padding: { right: 18, top: 4 } },
      interaction: { mode: 'nearest', axis: 'x', intersect: false },
      plugins: { legend: { display: false }, marks: { lines },
        tooltip: { callbacks: { title: t => `epoch ${t[0].parsed.x}`,
          label: t => ` ${t.dataset.label}: ${show(key, t.parsed.y)}` } } } } });
}

function sayChart(key)
{
  return runs.map((r, i) => `${letter(i)} ${r.label}: ${show(key, lastOf(r, key))}`)
    .join('; ');
}

function curvePanel(plain)
{
  const canvas = el('canvas', { role: 'img' }), title = el('h3', {});
  const m = METRICS[plain] || wordsOf(plain);
  const panel = { plain, zoomed: false, canvas, chart: null };
  const zoom = el('button', { type: 'button', 'aria-pressed': 'false', onclick: () => {
    panel.zoomed = !panel.zoomed;
    zoom.setAttribute('aria-pressed', String(panel.zoomed));
    panel.draw();
  } }, 'Zoom to curves');
  panel.draw = () => {
    const key = inSpace(plain), of = ofEmbeddings(plain) ? ` of ${state.space}` : '';
    if (panel.chart) panel.chart.destroy();
    title.textContent = m.name + of;
    canvas.setAttribute('aria-label',
      `${m.name}${of} by epoch. At the end: ${sayChart(key)}`);
    panel.chart = chartOf(canvas, key, panel.zoomed);
  };
  panel.node = el('section', { class: 'panel' },
    el('div', { class: 'top' }, title, zoom),
    el('p', { class: 'caption' }, m.read), el('div', { class: 'plot' }, canvas));
  return panel;
}

/* "term/variance" of the loss, by the name that the method gave it. */
const isTerm = key => key.startsWith('term/');

const has = key => runs.some(r => column(r, key).some(finite));

/* Every metric some run has, in the order of METRICS, unknown ones last. */
function metricKeys()
{
  const skip = new Set(['epoch', 'seconds', 'eval_seconds', 'n', 'd', 'r', 'k', 'knn_k',
    'bank', 'linear_bank', 'data_wait']);
  const all = new Set(Object.keys(METRICS));
  for (const r of runs)
    for (const key of Object.keys(r.curve))
      if (!skip.has(key) && !key.startsWith('h/') && !extra.isPart(key)) all.add(key);
  return [...all].filter(has);
}

function curves()
{
  const keys = metricKeys(), terms = keys.filter(isTerm);
  const main = MAIN.filter(has);
  if (terms.length > 1) main.splice(main[0] === 'loss' ? 1 : 0, 0, ...terms);
  const rest = keys.filter(k => !main.includes(k) && !extra.shown.has(k));
  const panels = main.map(curvePanel);
  charts.push(...panels);
  $('charts').append(...panels.map(c => c.node));
  if (!panels.length) $('curves').hidden = true;
  if (!rest.length) $('more').hidden = true;
  $('more').addEventListener('toggle', () => {
    if (!$('more').open || $('more-charts').children.length) return;
    for (const key of rest) {
      const panel = curvePanel(key);
      charts.push(panel);
      $('more-charts').append(panel.node);
      panel.draw();
    }
  });
  if (runs.length > 1)
    $('legend').append(...runs.map((r, i) => el('button', { type: 'button',
      'aria-pressed': 'true', onclick: e => {
        if (!state.hidden.delete(i)) state.hidden.add(i);
        e.currentTarget.setAttribute('aria-pressed', String(!state.hidden.has(i)));
        for (const c of charts) c.draw();
      } }, tag(i), lineSign(i), el('span', {}, r.label))));
}

/* ---- spectra ---------------------------------------------------------------------- */

const spectra = [];

function spectrumPoints(values, all, floor)
{
  return values.map((v, j) => ({
    x: values.length > 1 ? 1 + Math.round(j * (all - 1) / (values.length - 1)) : 1,
    y: finite(v) && v >= floor ? v : NaN }));
}

function spectrumRange()
{
  let hi = 0, lo = Infinity;
  for (const m of mapped)
    for (const s of m.r.shots)
      for (const v of s[state.space])
        if (finite(v) && v > 0) { hi = Math.max(hi, v); lo = Math.min(lo, v); }
  /* seven decades: what lies below is rounding of single precision, not a direction */
  return hi > 0 ? { hi: hi * 2, lo: Math.max(lo / 2, hi * 1e-7) } : null;
}

function drawSpectrum(m, range)
{
  const scales = axes('direction, widest first'), colour = runColour(m.i);
  const all = Math.max(1, ...m.r.shots.map(s => s[state.space + 'n']));
  if (m.spectrum) m.spectrum.destroy();
  scales.x.min = 1;
  scales.x.max = Math.max(2, ...mapped.flatMap(o =>
    o.r.shots.map(s => s[state.space + 'n'])));
  Object.assign(scales.y, { type: 'logarithmic', min: range.lo, max: range.hi });
  scales.y.ticks.maxTicksLimit = 40;
  scales.y.ticks.callback = powerTick;
  scales.y.title = { display: true, text: 'variance', color: css('--soft') };
  m.spectrum = new Chart(m.plot, { type: 'line', plugins: [marks],
    data: { datasets: m.r.shots.map(s => ({ label: `epoch ${s.epoch}`, epoch: s.epoch,
      data: spectrumPoints(s[state.space], s[state.space + 'n'], range.lo),
      borderColor: colour, pointRadius: 0, pointHitRadius: 4, borderWidth: 1 })) },
    options: { animation: false, responsive: true, maintainAspectRatio: false, scales,
      interaction: { mode: 'nearest', axis: 'x', intersect: false },
      plugins: { legend: { display: false },
        marks: { lines: [{ value: 1 / all, text: `all ${all} used equally` }] },
        tooltip: { filter: t => t.dataset.borderWidth > 2,
          callbacks: { title: t => t.length ? `direction ${t[0].parsed.x}` : '',
            label: t => ` ${t.dataset.label}: ${t.parsed.y.toExponential(2)}` } } } } });
}

function drawSpectra()
{
  const range = spectrumRange();
  $('spectrum').hidden = !range;
  if (!range) return;
  for (const m of mapped) drawSpectrum(m, range);
  markSpectra();
}

/* The chosen epoch bold, the others faint, the later the stronger. */
function markSpectra()
{
  for (const m of mapped) {
    if (!m.spectrum) continue;
    const { now } = around(m.r, Math.floor(state.epoch + 1e-9)), colour = runColour(m.i);
    m.spectrum.data.datasets.forEach((set, j, list) => {
      const chosen = set.epoch === now.epoch;
      set.borderWidth = chosen ? 3 : 1.2;
      set.order = chosen ? 0 : 1;
      set.borderColor = chosen ? colour
        : fade(colour, .18 + .3 * j / Math.max(1, list.length - 1));
    });
    m.spectrum.update('none');
    m.spectrumSay.textContent = `epoch ${now.epoch}, ${state.space}`;
    const values = now[state.space].map(v => Number(v).toExponential(1));
    m.plot.setAttribute('aria-label', `Spectrum of ${state.space} of ${m.r.label} at ` +
      `epoch ${now.epoch}: largest ${values[0]}, smallest ${values[values.length - 1]}`);
  }
}

function spectrumPanels()
{
  for (const m of mapped) {
    m.plot = el('canvas', { role: 'img' });
    m.spectrumSay = el('span', { class: 'badge' });
    $('spectrum').append(el('figure', { class: 'panel' },
      el('h3', { class: 'name' }, nameOf(m.i), m.spectrumSay),
      el('div', { class: 'plot' }, m.plot)));
  }
  $('spectrum').dataset.count = mapped.length;
}

/* ---- choosing z or h -------------------------------------------------------------- */

function choose(space)
{
  state.space = space;
  document.querySelectorAll(`.pick input[value="${space}"]`)
    .forEach(b => { b.checked = true; });
  drawSpectra();
  for (const c of charts) c.draw();
}

function pickers()
{
  const words = { z: 'z, what the loss sees', h: 'h, what you keep' };
  document.querySelectorAll('.pick').forEach((at, k) => {
    at.setAttribute('role', 'radiogroup');
    at.setAttribute('aria-label', 'Which embeddings');
    for (const [space, text] of Object.entries(words))
      at.append(el('label', {}, el('input', { type: 'radio', name: `space-${k}`,
        value: space, checked: space === state.space, onchange: () => choose(space) }),
        text));
  });
}
