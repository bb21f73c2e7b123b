/* The report page: reads the JSON in #data and draws it.  Text only ever enters the page
 * through textContent, so no name in a run can become markup.  Charts are Chart.js; maps and
 * images are plain canvases. */
(() => {
'use strict';

const data = JSON.parse(document.getElementById('data').textContent);
const runs = data.runs, sets = data.sets;
const calm = matchMedia('(prefers-reduced-motion: reduce)');
const dark = matchMedia('(prefers-color-scheme: dark)');
const state = { space: 'z', epoch: 0, ownScale: false, only: -1, hidden: new Set() };

/* ---- words ---------------------------------------------------------------------------- */

const VERDICTS = {
  healthy: { sign: '✓', means: 'Images stay apart, and the directions of the space are in use.' },
  dimensional: { sign: '▬', means: 'The embeddings still spread out, but along a few ' +
    'directions only: the rest of the space is empty.' },
  complete: { sign: '●', means: 'Nearly every image is mapped to the same point: the loss is ' +
    'low because nothing is told apart any more.' },
  diverged: { sign: '✕', means: 'Numbers stopped being finite. This is not collapse: try a ' +
    'smaller learning rate.' },
  none: { sign: '…', means: 'No epoch has been judged.' },
};

/* What each number is called, how it is printed, and one sentence on how to read it.
 * `log` puts its axis on a logarithmic scale, `range` fixes it, `tiny` values are printed
 * with an exponent instead of as 0. */
const METRICS = {
  'loss': { name: 'Loss', digits: 3, read: 'What training minimises. A low loss proves ' +
    'nothing by itself: a collapsed network reaches the lowest loss of all.' },
  'collapse/std': { name: '√d · std', digits: 2, range: [0, 1.1], read: 'How far embeddings ' +
    'of length one spread: 1 is evenly over the sphere, 0 is a single point. It cannot see a ' +
    'cloud pressed into few directions.' },
  'collapse/erank': { name: 'Effective rank', digits: 1, log: true, read: 'How many ' +
    'directions of the space are in use, each counted by its share of the variance; near 1 ' +
    'all embeddings lie on a line.' },
  'collapse/rankme': { name: 'RankMe', digits: 1, log: true, read: 'A count of used ' +
    'directions seen from the origin instead of the mean, so an offset that all images share ' +
    'lowers it.' },
  'collapse/participation': { name: 'Participation ratio', digits: 1, log: true, read: 'A ' +
    'stricter count of directions, in which weak ones hardly matter; never above the effective ' +
    'rank.' },
  'collapse/lid_gmean': { name: 'LID, geometric mean', digits: 1, read: 'In how many ' +
    'directions an image’s nearest neighbours lie around it. True dimensions above about ten ' +
    'read too low, so compare it at equal n and k only.' },
  'collapse/lid_mean': { name: 'LID, arithmetic mean', digits: 1, read: 'The same local ' +
    'dimension, averaged so that a few unusual images can pull it up.' },
  'collapse/mean_cos': { name: 'Mean cosine', digits: 2, range: [0, 1], read: 'How alike the embeddings of ' +
    'two different images are on average: 0 unrelated, 1 the same. After a ReLU, as in h, 0.5 ' +
    'and more is normal.' },
  'eval/knn': { name: 'kNN accuracy of h', digits: 1, percent: true, read: 'How often the ' +
    'nearest training images in h tell the class. It reads tiny differences, so it can stay ' +
    'high through a collapse: hold it against the untrained network.' },
  'eval/linear': { name: 'Linear probe', digits: 1, percent: true, read: 'How often a linear ' +
    'classifier on h tells the class.' },
  'collapse/uniformity': { name: 'Uniformity', digits: 2, read: 'How evenly embeddings fill ' +
    'the sphere: lower is more even, 0 is a single point. It hardly notices unused ' +
    'directions.' },
  'collapse/alignment': { name: 'Alignment', digits: 3, tiny: true, read: 'The mean squared distance ' +
    'between the two views of an image: 0 is perfect agreement, which collapse reaches too.' },
  'collapse/wasserstein': { name: 'Wasserstein uniformity', digits: 3, read: 'The distance ' +
    'from an even spread over all directions: 0 is even, 1.41 a single point.' },
  'collapse/alpha': { name: 'Spectrum slope α', digits: 2, read: 'How fast the spectrum ' +
    'falls: 0 is flat, about 1 usually good, above 2 steep.' },
  'collapse/mst': { name: 'Spanning-tree length', digits: 3, read: 'The length per image of ' +
    'the shortest tree that joins all embeddings: 0 when they fall together.' },
  'collapse/cond': { name: 'Condition number', digits: 1, log: true, read: 'The largest ' +
    'variance of a direction over the smallest: 1 is even.' },
  'code/usage': { name: 'Codes in use', digits: 1, percent: true, read: 'The share of the ' +
    'codebook that is chosen at all.' },
  'code/perplexity': { name: 'Code perplexity', digits: 1, log: true, read: 'How many codes ' +
    'are in use, each counted by how often it is chosen.' },
  'code/dead': { name: 'Dead codes', digits: 0, read: 'Codes that no input chooses.' },
  'code/error': { name: 'Quantisation error', digits: 4, tiny: true, read: 'Mean squared distance from ' +
    'an input to its code.' },
  'lr': { name: 'Learning rate', digits: 4, tiny: true, read: 'The size of the steps at the end of each ' +
    'epoch.' },
  'images_per_s': { name: 'Images per second', digits: 0, read: 'Training speed; it says ' +
    'nothing about the result.' },
};
const MAIN = ['loss', 'collapse/std', 'collapse/erank', 'collapse/mean_cos', 'eval/knn',
  'collapse/rankme', 'collapse/participation', 'collapse/lid_gmean'];
const REFERENCE = 'isotropic';          /* what status.json's "reference" holds */

/* ---- small helpers ---------------------------------------------------------------------- */

const $ = id => document.getElementById(id);
const finite = x => typeof x === 'number' && Number.isFinite(x);
const css = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const letter = i => i < 26 ? String.fromCharCode(65 + i) : String(i + 1);
const plural = (n, word) => `${n} ${word}${n === 1 ? '' : 's'}`;

function el(tag, attributes, ...children)
{
  const e = document.createElement(tag);
  for (const [k, v] of Object.entries(attributes || {}))
    if (k.startsWith('--')) e.style.setProperty(k, v);
    else if (k.startsWith('on')) e.addEventListener(k.slice(2), v);
    else if (v !== null && v !== undefined && v !== false) e.setAttribute(k, v === true ? '' : v);
  e.append(...children.filter(c => c !== null && c !== undefined));
  return e;
}

function svg(tag, attributes, ...children)
{
  const e = document.createElementNS('http://www.w3.org/2000/svg', tag);
  for (const [k, v] of Object.entries(attributes)) e.setAttribute(k, v);
  e.append(...children);
  return e;
}

function show(key, x)
{
  const m = METRICS[base(key)] || { digits: 3 };
  if (!finite(x)) return '–';
  if (m.percent) return `${(100 * x).toFixed(m.digits)} %`;
  if (m.tiny && x !== 0 && Math.abs(x) < 10 ** (1 - m.digits)) return x.toExponential(1);
  return x.toFixed(m.digits).replace(/^-(0(\.0*)?)$/, '$1');
}

const base = key => key.startsWith('h/') ? key.slice(2) : key;
const inSpace = key => key.startsWith('collapse/') && state.space === 'h' ? 'h/' + key : key;
const column = (r, key) => r.curve[key] || [];
const lastOf = (r, key) => column(r, key)[column(r, key).length - 1];
const epochsOf = r => column(r, 'epoch');
const nested = (r, group, key) => (r.status[group] || {})[key];

function kindOf(word)
{
  const found = Object.keys(VERDICTS).find(k => (word || '').toLowerCase().startsWith(k));
  return found || 'none';
}

/* ---- signs of runs and classes ---------------------------------------------------------- */

/* Eight colours, then again with other dashes and markers; the letter is always different. */
const DASHES = [[], [7, 4], [2, 3], [9, 3, 2, 3], [4, 2], [12, 4], [1, 2], [6, 2, 1, 2, 1, 2]];
const MARKERS = ['circle', 'rect', 'triangle', 'rectRot', 'crossRot', 'star', 'rectRounded',
  'cross'];
const runColour = i => css(`--run-${i % 8}`);
const runDash = i => DASHES[(i + Math.floor(i / 8)) % 8];
const runMarker = i => MARKERS[(i + 2 * Math.floor(i / 8)) % 8];
const classColour = c => css(`--class-${c % 10}`);

function tag(i)
{
  return el('span', { class: 'tag', '--run': `var(--run-${i % 8})`, 'aria-hidden': true },
    letter(i));
}

/* A long name may break after "=", ",", "_", "/" and the like. */
function nameOf(i)
{
  const parts = runs[i].label.split(/(?<=[=,_/.:-])/);
  return el('span', { class: 'name' }, tag(i),
    el('span', {}, ...parts.flatMap((p, k) => k ? [el('wbr'), p] : [p])));
}

function lineSign(i)
{
  return svg('svg', { class: 'sign', width: 30, height: 10, 'aria-hidden': 'true' },
    svg('line', { x1: 0, x2: 30, y1: 5, y2: 5, 'stroke-width': 2.5,
      stroke: `var(--run-${i % 8})`, 'stroke-dasharray': runDash(i).join(' ') }));
}

/* Seven shapes against ten colours: 70 classes before a pair repeats.  Each is a list of
 * corners around 0 on the scale of a circle of radius 1. */
const SHAPES = [
  null,
  [[-.9, -.9], [.9, -.9], [.9, .9], [-.9, .9]],
  [[0, -1.25], [1.15, .8], [-1.15, .8]],
  [[0, -1.3], [1.3, 0], [0, 1.3], [-1.3, 0]],
  [[0, 1.25], [1.15, -.8], [-1.15, -.8]],
  [[-.4, -1.2], [.4, -1.2], [.4, -.4], [1.2, -.4], [1.2, .4], [.4, .4], [.4, 1.2],
   [-.4, 1.2], [-.4, .4], [-1.2, .4], [-1.2, -.4], [-.4, -.4]],
  [[-1.3, -.5], [1.3, -.5], [1.3, .5], [-1.3, .5]],
];

function drawShape(g, c, x, y, r)
{
  const shape = SHAPES[c % 7];
  g.beginPath();
  if (!shape) g.arc(x, y, r, 0, 2 * Math.PI);
  else shape.forEach(([a, b], i) => i ? g.lineTo(x + a * r, y + b * r)
                                      : g.moveTo(x + a * r, y + b * r));
  g.fill();
}

function classSign(c)
{
  const shape = SHAPES[c % 7], fill = `var(--class-${c % 10})`;
  return svg('svg', { class: 'sign', width: 14, height: 14, viewBox: '-1.5 -1.5 3 3',
    'aria-hidden': 'true' },
    shape ? svg('polygon', { points: shape.map(p => p.join(',')).join(' '), fill })
          : svg('circle', { r: 1, fill }));
}

/* ---- the verdicts ----------------------------------------------------------------------- */

function gauge(label, value, fraction, marks, key)
{
  const bar = el('div', { class: 'bar', 'aria-hidden': true });
  const place = x => `${100 * Math.min(1, Math.max(0, x))}%`;
  if (finite(fraction)) bar.append(el('div', { class: 'fill', '--at': place(fraction) }));
  for (const x of marks.filter(finite)) bar.append(el('div', { class: 'mark', '--at': place(x) }));
  return el('div', { class: 'gauge' }, el('span', {}, label),
    el('span', { class: 'value' }, value), bar, key ? el('span', { class: 'key' }, key) : null);
}

function knnKey(r)
{
  const b = r.status.baseline || {};
  const marked = [['chance', b.chance], ['untrained network', b.untrained_knn],
    ['raw pixels', b.raw_pixel_knn]].filter(p => finite(p[1]));
  return marked.length ? 'marks: ' +
    marked.map(([word, x]) => `${word} ${show('eval/knn', x)}`).join(' · ') : null;
}

function strip(r)
{
  const words = column(r, 'verdict');
  if (words.length < 2) return null;
  const shown = words.length > 24 ? words.slice(-24) : words, from = words.length - shown.length;
  return el('div', { class: 'gauge' }, el('span', {}, 'Verdict by epoch'),
    el('span', {}, from ? `last ${shown.length}` : ''),
    el('ol', { class: 'strip' }, ...shown.map((w, i) => {
      const kind = kindOf(w), say = `epoch ${epochsOf(r)[from + i]}: ${w || 'no verdict'}`;
      return el('li', { '--tone': `var(--${kind})`, title: say, 'aria-label': say },
        VERDICTS[kind].sign);
    })));
}

/* The three numbers the verdict and its reader look at first. */
function gauges(r)
{
  const d = lastOf(r, 'd'), erank = lastOf(r, 'collapse/erank'), std = lastOf(r, 'collapse/std');
  const knn = lastOf(r, 'eval/knn'), b = r.status.baseline || {}, limit = data.limits.collapse_std;
  const rank = show('collapse/erank', erank);
  return [
    gauge('√d · std of z', show('collapse/std', std), std, [limit],
      `mark: under ${limit} is a complete collapse`),
    gauge('effective rank of z', finite(erank) && finite(d) ? `${rank} of ${d}` : rank,
      erank / d, []),
    gauge('kNN accuracy of h', show('eval/knn', knn), knn,
      [b.chance, b.untrained_knn, b.raw_pixel_knn], knnKey(r)),
  ];
}

function card(r, i)
{
  const word = lastOf(r, 'verdict') || 'no verdict', kind = kindOf(word), s = r.status.state;
  const done = lastOf(r, 'epoch'), all = r.status.epochs;
  return el('article', { class: 'card', '--tone': `var(--${kind})`,
    '--run': `var(--run-${i % 8})` },
    el('div', { class: 'name' }, tag(i), el('h3', {}, r.label),
      el('span', { class: 'badge' }, s === 'finished' ? plural(done, 'epoch')
        : `${s} at ${finite(done) ? done : '–'} of ${finite(all) ? all : '–'}`)),
    el('p', { class: 'verdict' }, `${VERDICTS[kind].sign} ${word}`),
    lastOf(r, 'why') ? el('p', { class: 'why' }, lastOf(r, 'why')) : null,
    el('p', { class: 'meaning' }, VERDICTS[kind].means),
    ...(epochsOf(r).length ? gauges(r) : []), strip(r),
    r.notes.length ? el('ul', { class: 'notes' }, ...r.notes.map(n => el('li', {}, n))) : null);
}

function heading()
{
  const same = pick => { const all = new Set(runs.map(pick)); return all.size === 1
    ? [...all][0] : null; };
  const method = same(r => r.status.method), set = same(r => nested(r, 'data', 'name'));
  const model = same(r => nested(r, 'model', 'name'));
  $('title').textContent = [method || 'Several methods', set ? `on ${set}` : 'on several data sets',
    model ? `with ${model}` : null].filter(Boolean).join(' ');
  const counts = {};
  for (const r of runs) {
    const w = lastOf(r, 'verdict') || 'no verdict';
    counts[w] = (counts[w] || 0) + 1;
  }
  $('lead').textContent = runs.length === 1 ? `One run: ${Object.keys(counts)[0]}.`
    : `${plural(runs.length, 'run')}: ` +
      Object.entries(counts).map(([w, n]) => `${n} ${w}`).join(', ') + '.';
  $('cards').append(...runs.map(card));
  $('cards').dataset.count = runs.length;
}

/* ---- maps ------------------------------------------------------------------------------- */

/* Turns and mirrors `xy` to lie as near `onto` as it can (Procrustes in the plane): the sum of
 * products of the points is [a b; c d]; the best turn and the best mirrored turn are known in
 * closed form, and the better one is taken. */
function fitOnto(xy, onto)
{
  let a = 0, b = 0, c = 0, d = 0;
  for (let i = 0; i + 1 < xy.length; i += 2) {
    a += xy[i] * onto[i]; b += xy[i] * onto[i + 1];
    c += xy[i + 1] * onto[i]; d += xy[i + 1] * onto[i + 1];
  }
  const turn = Math.hypot(a + d, b - c), mirror = Math.hypot(a - d, b + c);
  const flip = mirror > turn, n = flip ? mirror : turn;
  if (!(n > 0)) return xy;
  const cos = (flip ? a - d : a + d) / n, sin = (flip ? b + c : b - c) / n, s = flip ? -1 : 1;
  const out = new Array(xy.length);
  for (let i = 0; i + 1 < xy.length; i += 2) {
    const x = xy[i], y = s * xy[i + 1];
    out[i] = cos * x - sin * y;
    out[i + 1] = sin * x + cos * y;
  }
  return out;
}

/* Ten-thousandths to units; every epoch fitted to the one after it, so that the last stays as
 * it was measured. */
function prepareMaps(r)
{
  for (const s of r.shots) s.xy = s.map.map(v => v === null ? 0 : v / 1e4);
  for (let i = r.shots.length - 2; i >= 0; i--)
    r.shots[i].xy = fitOnto(r.shots[i].xy, r.shots[i + 1].xy);
}

const farthest = xy => xy.reduce((m, v) => Math.max(m, Math.abs(v)), 0);

/* Root mean square distance of the points from the middle. */
function meanReach(xy)
{
  let square = 0;
  for (const v of xy) square += v * v;
  return Math.sqrt(square / Math.max(1, xy.length / 2));
}

/* The last snapshot at or before an epoch, and the one after it. */
function around(r, epoch)
{
  let i = 0;
  while (i + 1 < r.shots.length && r.shots[i + 1].epoch <= epoch) i++;
  const now = r.shots[i], next = r.shots[Math.min(i + 1, r.shots.length - 1)];
  const span = next.epoch - now.epoch;
  return { now, next, part: span > 0 ? Math.min(1, Math.max(0, (epoch - now.epoch) / span)) : 0 };
}

const mapped = runs.map((r, i) => ({ r, i })).filter(m => m.r.shots.length && m.r.set >= 0);
let commonScale = 1;

function mapPoints(r, epoch)
{
  const { now, next, part } = around(r, epoch);
  if (!part || now.xy.length !== next.xy.length) return now.xy;
  const soft = part * part * (3 - 2 * part);
  return now.xy.map((v, i) => v + soft * (next.xy[i] - v));
}

function median(list)
{
  const s = [...list].sort((a, b) => a - b);
  return s.length ? s[s.length >> 1] : 0;
}

/* Class names at the middle of their dots, skipping those that would cover another. */
function drawNames(g, set, px, py, size)
{
  const taken = [];
  g.font = '600 12px system-ui, sans-serif';
  g.textAlign = 'center';
  g.textBaseline = 'middle';
  g.lineJoin = 'round';
  for (let c = 0; c < set.classes.length; c++) {
    if (state.only >= 0 && c !== state.only) continue;
    const own = set.label.flatMap((l, i) => l === c ? [i] : []);
    if (!own.length) continue;
    const w = g.measureText(set.classes[c]).width / 2 + 3;
    const x = Math.min(size - w, Math.max(w, median(own.map(i => px[i]))));
    const y = median(own.map(i => py[i]));
    if (taken.some(t => Math.abs(t.x - x) < t.w + w && Math.abs(t.y - y) < 16)) continue;
    taken.push({ x, y, w });
    g.lineWidth = 4;
    g.strokeStyle = css('--plot');
    g.strokeText(set.classes[c], x, y);
    g.fillStyle = css('--ink');
    g.fillText(set.classes[c], x, y);
  }
}

/* A bar of a round length, so that shrinking has a measure. */
function drawScale(g, unit, size)
{
  const steps = [1, .5, .2, .1, .05, .02, .01, .005, .002, .001, 5e-4, 2e-4, 1e-4];
  const length = steps.find(s => s * unit < size / 3) || 1e-4;
  g.fillStyle = css('--soft');
  g.fillRect(12, size - 14, length * unit, 2);
  g.font = '12px system-ui, sans-serif';
  g.textAlign = 'left';
  g.textBaseline = 'bottom';
  g.fillText(String(length), 12, size - 17);
}

function drawMap(m, epoch)
{
  const box = m.canvas.getBoundingClientRect(), ratio = window.devicePixelRatio || 1;
  const size = box.width, set = sets[m.r.set], g = m.canvas.getContext('2d');
  if (!size) return;
  if (m.canvas.width !== Math.round(size * ratio))
    m.canvas.width = m.canvas.height = Math.round(size * ratio);
  g.setTransform(ratio, 0, 0, ratio, 0, 0);
  g.clearRect(0, 0, size, size);

  const xy = mapPoints(m.r, epoch);
  const reach = state.ownScale ? farthest(xy) || 1e-4 : commonScale;
  const unit = (size / 2 - 10) / reach, px = [], py = [];
  g.strokeStyle = css('--grid');
  g.lineWidth = 1;
  g.beginPath();
  g.moveTo(size / 2, 8); g.lineTo(size / 2, size - 8);
  g.moveTo(8, size / 2); g.lineTo(size - 8, size / 2);
  g.stroke();
  for (let i = 0; i < xy.length; i += 2) {
    px.push(size / 2 + unit * xy[i]);
    py.push(size / 2 - unit * xy[i + 1]);
  }
  const r = Math.max(1.8, Math.min(3, size / 170));
  const colours = set.classes.map((_, c) => classColour(c));
  for (const front of [false, true])
    for (let i = 0; i < px.length; i++) {
      const c = set.label[i], lit = state.only < 0 || c === state.only;
      if (lit !== front) continue;
      g.globalAlpha = lit ? .8 : .12;
      g.fillStyle = colours[c];
      drawShape(g, c, px[i], py[i], r);
    }
  g.globalAlpha = 1;
  /* in a cloud smaller than the names themselves they would only hide it */
  if (unit * meanReach(xy) > 60) drawNames(g, set, px, py, size);
  drawScale(g, unit, size);
}

function captionMap(m, epoch)
{
  const { now } = around(m.r, epoch), at = epochsOf(m.r).indexOf(now.epoch);
  const get = key => column(m.r, key)[at];
  const bits = [`epoch ${now.epoch}`];
  if (finite(get('loss'))) bits.push(`loss ${show('loss', get('loss'))}`);
  bits.push(`√d · std ${show('collapse/std', get('collapse/std'))}`,
    `distance from the middle ${meanReach(now.xy).toFixed(3)}`);
  if (Array.isArray(now.share) && now.share.every(finite) && now.share.length === 2)
    bits.push(`these two directions hold ${(100 * (now.share[0] + now.share[1])).toFixed(0)} %`);
  const text = bits.join(' · ');
  m.caption.textContent = text;
  m.canvas.setAttribute('aria-label', `Map of the embeddings of ${m.r.label}: ${text}. ` +
    `Verdict: ${get('verdict') || 'none'}.`);
}

function drawMaps(epoch)
{
  for (const m of mapped) drawMap(m, epoch);
}

function setEpoch(epoch)
{
  state.epoch = epoch;
  const whole = Math.floor(epoch + 1e-9);
  $('epoch').value = whole;
  $('epoch-now').textContent = whole;
  for (const m of mapped) captionMap(m, whole);
  drawMaps(epoch);
  markSpectra();
}

let playing = 0;

function stop()
{
  cancelAnimationFrame(playing);
  playing = 0;
  $('play').textContent = '▶ Play';
}

function play()
{
  const most = Number($('epoch').max);
  /* 0.9 s per epoch for a short run; a long one is over in 20 s */
  const perEpoch = Math.min(900, 20000 / Math.max(1, most));
  const from = state.epoch >= most ? 0 : state.epoch;
  let begun = null;
  const tick = time => {
    if (begun === null) begun = time;
    const at = Math.min(most, from + (time - begun) / perEpoch);
    const before = Math.floor(state.epoch), now = calm.matches ? Math.floor(at) : at;
    if (Math.floor(now) !== before || at >= most) setEpoch(now);
    else { state.epoch = now; drawMaps(now); }
    if (at < most) playing = requestAnimationFrame(tick);
    else stop();
  };
  $('play').textContent = '❚❚ Pause';
  setEpoch(from);
  playing = requestAnimationFrame(tick);
}

function classButtons()
{
  const longest = mapped.map(m => sets[m.r.set].classes)
    .reduce((a, b) => b.length > a.length ? b : a, []);
  $('classes').append(...longest.map((name, c) => el('button', { type: 'button',
    'aria-pressed': 'false', onclick: () => {
      state.only = state.only === c ? -1 : c;
      [...$('classes').children].forEach((b, i) =>
        b.setAttribute('aria-pressed', String(i === state.only)));
      drawMaps(state.epoch);
    } }, classSign(c), name)));
}

function maps()
{
  if (!mapped.length) {
    $('space').hidden = $('spectra').hidden = true;
    return;
  }
  for (const m of mapped) {
    prepareMaps(m.r);
    m.canvas = el('canvas', { class: 'map', role: 'img' });
    m.caption = el('p', { class: 'caption' });
    $('maps').append(el('figure', { class: 'panel', '--run': `var(--run-${m.i % 8})` },
      el('h3', {}, nameOf(m.i)), m.canvas, m.caption));
  }
  $('maps').dataset.count = mapped.length;
  const thinned = mapped.filter(m => m.r.shots.length < m.r.evaluated);
  if (thinned.length)
    $('space-note').append(` Of ${thinned.map(m => `${letter(m.i)}’s ${m.r.evaluated}`)
      .join(', ')} epochs, ${thinned[0].r.shots.length} are shown, evenly spread.`);
  commonScale = Math.max(1e-4, ...mapped.flatMap(m => m.r.shots.map(s => farthest(s.xy))));
  classButtons();
  const most = Math.max(...mapped.map(m => m.r.shots[m.r.shots.length - 1].epoch));
  $('epoch').max = most;
  $('epoch').addEventListener('input', e => { stop(); setEpoch(Number(e.target.value)); });
  $('play').addEventListener('click', () => playing ? stop() : play());
  $('own-scale').addEventListener('change', e => {
    state.ownScale = e.target.checked;
    drawMaps(state.epoch);
  });
  if (most === 0) $('play').disabled = $('epoch').disabled = true;
  new ResizeObserver(() => drawMaps(state.epoch)).observe($('maps'));
  state.epoch = most;
}

/* ---- charts ----------------------------------------------------------------------------- */

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

/* Reference lines with their names, and each run's letter where its curve ends.  The names
 * stand right of the plot, where no curve crosses them, or inside it on a narrow screen. */
const SMALL = '11px system-ui, sans-serif', WIDE = 400;

const marks = {
  id: 'marks',
  beforeLayout(chart) {
    const g = chart.ctx, texts = chart.options.plugins.marks.lines;
    g.save();
    g.font = SMALL;
    chart.$gutter = chart.width >= WIDE && texts.length > 0;
    chart.options.layout.padding.right = 20 + (chart.$gutter
      ? 16 + Math.max(...texts.map(l => g.measureText(l.text).width)) : 0);
    g.restore();
  },
  beforeDatasetsDraw(chart) {
    const g = chart.ctx, area = chart.chartArea, y = chart.scales.y;
    const lines = chart.options.plugins.marks.lines.map(l =>
      ({ ...l, y: y.getPixelForValue(l.value) }))
      .filter(l => l.y >= area.top - 1 && l.y <= area.bottom + 1);
    chart.$texts = lines.map(l => ({ text: l.text, y: l.y, at: chart.$gutter ? l.y : l.y - 7 }));
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
      const x = chart.$gutter ? area.right + 34
        : area.right - g.measureText(t.text).width - 6;
      g.lineWidth = chart.$gutter ? .8 : 3;
      g.strokeStyle = chart.$gutter ? css('--soft') : css('--card');
      if (chart.$gutter) {
        g.beginPath(); g.moveTo(area.right + 20, t.y); g.lineTo(x - 3, t.at); g.stroke();
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

/* Reference lines of a metric over all shown runs; values that look the same are one line. */
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
    if (key === 'collapse/std') add(data.limits.collapse_std, 'collapse', i, true);
    if (b === 'eval/knn') {
      const s = r.status.baseline || {};
      add(s.chance, 'chance', i);
      add(s.untrained_knn, 'untrained', i);
      add(s.raw_pixel_knn, 'raw pixels', i);
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
  return [1, 2, 5].some(k => Math.abs(lead - k) < 1e-6) ? String(+value.toPrecision(3)) : '';
}

/* Only the powers of ten: 1, 0.1, 10⁻², 10⁻³ ... */
function powerTick(value)
{
  const p = Math.round(Math.log10(value));
  if (Math.abs(Math.log10(value) - p) > 1e-6) return '';
  return p >= -1 ? String(10 ** p) : '10' + [...String(p)].map(c => '⁰¹²³⁴⁵⁶⁷⁸⁹'[c] || '⁻').join('');
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
    const pad = .08 * (hi - lo) || .05 * Math.abs(hi) || .01;
    axis.suggestedMin = m.percent && !zoomed ? 0 : lo - pad;
    axis.suggestedMax = m.percent ? Math.min(1, hi + pad) : hi + pad;
  }
}

function chartOf(canvas, key, zoomed)
{
  const scales = axes('epoch'), lines = referencesOf(key), values = [];
  const sets_ = runs.map((r, i) => {
    const y = column(r, key), colour = runColour(i);
    if (!state.hidden.has(i)) values.push(...y);
    return { label: `${letter(i)} ${r.label}`, letter: letter(i),
      data: epochsOf(r).map((e, j) => ({ x: e, y: finite(y[j]) ? y[j] : NaN })),
      borderColor: colour, backgroundColor: colour, borderDash: runDash(i), borderWidth: 2.2,
      pointStyle: runMarker(i), pointRadius: epochsOf(r).length > 40 ? 0 : 3.4,
      pointHoverRadius: 6, hidden: state.hidden.has(i), cubicInterpolationMode: 'monotone',
      clip: 8 };
  });
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
  return runs.map((r, i) => `${letter(i)} ${r.label}: ${show(key, lastOf(r, key))}`).join('; ');
}

function curvePanel(plain)
{
  const canvas = el('canvas', { role: 'img' }), title = el('h3', {});
  const m = METRICS[plain] || { name: plain, read: '' };
  const panel = { plain, zoomed: false, canvas, chart: null };
  const zoom = el('button', { type: 'button', 'aria-pressed': 'false', onclick: () => {
    panel.zoomed = !panel.zoomed;
    zoom.setAttribute('aria-pressed', String(panel.zoomed));
    panel.draw();
  } }, 'Zoom to curves');
  panel.draw = () => {
    const key = inSpace(plain), of = plain.startsWith('collapse/') ? ` of ${state.space}` : '';
    if (panel.chart) panel.chart.destroy();
    title.textContent = m.name + of;
    canvas.setAttribute('aria-label', `${m.name}${of} by epoch. At the end: ${sayChart(key)}`);
    panel.chart = chartOf(canvas, key, panel.zoomed);
  };
  panel.node = el('section', { class: 'panel' },
    el('div', { class: 'top' }, title, zoom),
    el('p', { class: 'caption' }, m.read), el('div', { class: 'plot' }, canvas));
  return panel;
}

const has = key => runs.some(r => column(r, key).some(finite));

/* Every metric some run has, in the order of METRICS, unknown ones last. */
function metricKeys()
{
  const skip = new Set(['epoch', 'seconds', 'eval_seconds', 'n', 'd', 'r', 'k', 'knn_k', 'bank']);
  const all = new Set(Object.keys(METRICS));
  for (const r of runs)
    for (const key of Object.keys(r.curve))
      if (!skip.has(key) && !key.startsWith('h/')) all.add(key);
  return [...all].filter(has);
}

function curves()
{
  const keys = metricKeys(), rest = keys.filter(k => !MAIN.includes(k));
  for (const key of MAIN.filter(has)) charts.push(curvePanel(key));
  $('charts').append(...charts.map(c => c.node));
  if (!charts.length) $('curves').hidden = true;
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

/* ---- spectra ---------------------------------------------------------------------------- */

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
  scales.x.max = Math.max(2, ...mapped.flatMap(o => o.r.shots.map(s => s[state.space + 'n'])));
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
      set.borderColor = chosen ? colour : fade(colour, .18 + .3 * j / Math.max(1, list.length - 1));
    });
    m.spectrum.update('none');
    m.spectrumSay.textContent = `epoch ${now.epoch}, ${state.space}`;
    m.plot.setAttribute('aria-label', `Spectrum of ${state.space} of ${m.r.label} at epoch ` +
      `${now.epoch}: largest ${Number(now[state.space][0]).toExponential(1)}, smallest ` +
      `${Number(now[state.space][now[state.space].length - 1]).toExponential(1)}`);
  }
}

function spectrumPanels()
{
  for (const m of mapped) {
    m.plot = el('canvas', { role: 'img' });
    m.spectrumSay = el('span', { class: 'badge' });
    $('spectrum').append(el('figure', { class: 'panel', '--run': `var(--run-${m.i % 8})` },
      el('h3', { class: 'name' }, nameOf(m.i), m.spectrumSay),
      el('div', { class: 'plot' }, m.plot)));
  }
  $('spectrum').dataset.count = mapped.length;
}

/* ---- choosing z or h -------------------------------------------------------------------- */

function pickers()
{
  const words = { z: 'z, what the loss sees', h: 'h, what you keep' };
  document.querySelectorAll('.pick').forEach((at, k) => {
    at.setAttribute('role', 'radiogroup');
    at.setAttribute('aria-label', 'Which embeddings');
    for (const [space, text] of Object.entries(words))
      at.append(el('label', {}, el('input', { type: 'radio', name: `space-${k}`, value: space,
        checked: space === state.space, onchange: () => {
          state.space = space;
          document.querySelectorAll(`.pick input[value="${space}"]`)
            .forEach(b => { b.checked = true; });
          drawSpectra();
          for (const c of charts) c.draw();
        } }), text));
  });
}

/* ---- tables ----------------------------------------------------------------------------- */

function runHeads(cls)
{
  return runs.map((_, i) => el('th', { scope: 'col', class: cls }, nameOf(i)));
}

/* "2048 held-out images (A, B), 1024 (C)": one value if all runs agree. */
function agreed(pick)
{
  const seen = new Map();
  runs.forEach((r, i) => {
    const v = pick(r);
    if (v !== undefined && v !== null) seen.set(v, [...(seen.get(v) || []), letter(i)]);
  });
  if (seen.size <= 1) return [...seen.keys()].join('') || '–';
  return [...seen].map(([v, who]) => `${v} (${who.join(', ')})`).join(', ');
}

const agreedNumber = (key, group, k) => agreed(r => {
  const v = nested(r, group, k);
  return finite(v) ? show(key, v) : null;
});

function referenceText(key)
{
  if (base(key) === 'eval/knn')
    return [['chance', 'chance'], ['untrained network', 'untrained_knn'],
      ['raw pixels', 'raw_pixel_knn']]
      .map(([word, k]) => `${word} ${agreedNumber(key, 'baseline', k)}`).join('; ');
  const some = runs.some(r => finite(nested(r, 'reference', key)));
  const ideal = some ? `${agreedNumber(key, 'reference', key)} ${REFERENCE}` : '';
  return key === 'collapse/std'
    ? [ideal, `under ${data.limits.collapse_std} collapsed`].filter(Boolean).join('; ') : ideal;
}

function numberTable()
{
  const body = el('tbody', {}), columns = runs.length + 2;
  for (const key of metricKeys().filter(k => k !== 'lr' && k !== 'images_per_s')) {
    const m = METRICS[key] || { name: key, read: '' }, embeds = key.startsWith('collapse/');
    body.append(el('tr', { class: 'metric' }, el('th', { scope: 'rowgroup', colspan: columns },
      el('div', { class: 'stay' }, m.name, el('span', { class: 'read' }, m.read)))));
    for (const k of embeds && has('h/' + key) ? [key, 'h/' + key] : [key])
      body.append(el('tr', {},
        el('th', { scope: 'row' }, !embeds ? 'value' : k.startsWith('h/') ? 'of h' : 'of z'),
        ...runs.map(r => el('td', { class: 'number' }, show(k, lastOf(r, k)))),
        el('td', { class: 'reference' }, referenceText(k))));
  }
  $('number-table').append(el('table', {}, el('thead', {}, el('tr', {},
    el('th', { scope: 'col' }, 'Number'), ...runHeads('number'),
    el('th', { scope: 'col' }, 'Reference'))), body));
  $('basis').textContent = `Computed on n = ${agreed(r => lastOf(r, 'n'))} held-out images, ` +
    `without augmentation, at epoch ${agreed(r => lastOf(r, 'epoch'))}. z is what the loss sees, ` +
    `d = ${agreed(r => lastOf(r, 'd'))} wide; h is what you keep, ${agreed(r => lastOf(r, 'r'))} ` +
    `wide. LID looks at k = ${agreed(r => lastOf(r, 'k'))} neighbours; kNN at ` +
    `${agreed(r => lastOf(r, 'knn_k'))} in a bank of ${agreed(r => lastOf(r, 'bank'))} training ` +
    `images. “${REFERENCE}” is the value that evenly spread Gaussian data give at this n and ` +
    `width: about the best a metric can show.`;
}

function rowTables()
{
  const keys = metricKeys();
  const name = k => (METRICS[k] || { name: k }).name;
  $('row-tables').append(...runs.flatMap((r, i) => [el('h3', {}, nameOf(i)),
    el('div', { class: 'scroll' }, el('table', { class: 'epochs' },
      el('thead', {}, el('tr', {}, el('th', { scope: 'col' }, 'epoch'),
        ...keys.map(k => el('th', { scope: 'col' }, name(k))),
        el('th', { scope: 'col' }, 'verdict'))),
      el('tbody', {}, ...epochsOf(r).map((e, j) => el('tr', {},
        el('th', { scope: 'row' }, String(e)),
        ...keys.map(k => el('td', {}, show(k, column(r, k)[j]))),
        el('td', {}, column(r, 'verdict')[j] || '–'))))))]));
}

function settingRows()
{
  const keys = [], maps_ = runs.map(r => new Map(r.config.map(([k, v, o]) => [k, [v, o]])));
  for (const r of runs) for (const [k] of r.config) if (!keys.includes(k)) keys.push(k);
  return keys.map(key => {
    const cells = maps_.map(m => m.get(key));
    const values = new Set(cells.map(c => c ? c[0] : null));
    return { key, cells, differs: values.size > 1 };
  });
}

function settingTable(rows, all)
{
  const shown = rows.filter(r => all || r.differs), body = el('tbody', {});
  let group = null;
  for (const row of shown) {
    const dot = row.key.indexOf('.'), own = dot < 0 ? 'run' : row.key.slice(0, dot);
    if (own !== group)
      body.append(el('tr', { class: 'group' },
        el('th', { scope: 'rowgroup', colspan: runs.length + 1 }, own)));
    group = own;
    body.append(el('tr', { class: row.differs && runs.length > 1 ? 'differs' : '' },
      el('th', { scope: 'row' }, row.differs ? '≠ ' : '', el('code', {}, row.key)),
      ...row.cells.map(c => c ? el('td', {}, c[0] === '' ? '(empty)' : c[0],
        c[1] ? el('span', { class: 'origin' }, c[1]) : null) : el('td', {}, '–'))));
  }
  $('setting-table').hidden = !shown.length;
  $('setting-table').replaceChildren(el('table', {}, el('thead', {}, el('tr', {},
    el('th', { scope: 'col' }, 'Setting'), ...runHeads(''))), body));
}

function settings()
{
  const rows = settingRows(), different = rows.filter(r => r.differs).length;
  if (runs.length === 1) {
    $('settings-controls').hidden = true;
    $('differences').textContent = `All ${plural(rows.length, 'setting')} of the run, and where ` +
      'each value came from.';
    settingTable(rows, true);
    return;
  }
  $('differences').textContent = different
    ? `The runs differ in ${plural(different, 'setting')}, marked ≠; the other ` +
      `${rows.length - different} agree. The small word tells where a value came from.`
    : `The runs agree in all ${plural(rows.length, 'setting')}.`;
  settingTable(rows, false);
  $('all-settings').addEventListener('change', e => settingTable(rows, e.target.checked));
}

/* ---- augmented pairs -------------------------------------------------------------------- */

function drawImage(bytes, at, p)
{
  const canvas = el('canvas', { width: p.w, height: p.h });
  const g = canvas.getContext('2d'), image = g.createImageData(p.w, p.h);
  for (let i = 0; i < p.w * p.h; i++)
    for (let c = 0; c < 4; c++)
      image.data[4 * i + c] = c === 3 ? 255
        : bytes.charCodeAt(at + i * p.c + (p.c === 3 ? c : 0));
  g.putImageData(image, 0, 0);
  return canvas;
}

function pairSets()
{
  const groups = sets.map((s, k) => ({ p: s.pairs, who: runs.flatMap((r, i) =>
    r.set === k ? [i] : []) })).filter(s => s.p && s.p.count > 0);
  let into = $('pair-sets');
  $('pairs').hidden = !groups.length;
  groups.forEach(({ p, who }, k) => {
    if (k === 1) {
      const more = el('details', {}, el('summary', {},
        `Pairs of the other runs (${groups.length - 1} more)`));
      into.append(more);
      into = more;
    }
    const box = el('div', { class: 'panel pairs' });
    const size = p.w * p.h * p.c, count = Math.min(p.count, 8);
    if (groups.length > 1)
      box.append(el('h3', {}, who.map(i => `${letter(i)} ${runs[i].label}`).join(', ')));
    for (const [side, word] of [['original', 'Image'], ['view1', 'View 1'], ['view2', 'View 2']]) {
      const bytes = atob(p[side]), row = el('div', { class: 'row', role: 'img', '--count': count,
        'aria-label': `${word}: ${plural(count, 'image')} of ${p.w} by ${p.h} pixels` });
      for (let i = 0; i < count; i++) row.append(drawImage(bytes, i * size, p));
      box.append(el('span', { class: 'side' }, word), row);
    }
    into.append(box);
  });
}

/* ---- again ------------------------------------------------------------------------------ */

const shellWord = s => /^[\w@%+=:,./-]+$/.test(s) && !s.startsWith('-') ? s
  : `'${s.replaceAll("'", "'\\''")}'`;

function duration(s)
{
  if (!finite(s)) return null;
  return s < 90 ? `${s.toFixed(1)} s` : s < 5400 ? `${(s / 60).toFixed(1)} min`
    : `${(s / 3600).toFixed(1)} h`;
}

function again()
{
  const lines = runs.map(r => `fullrank train ${shellWord(r.path + '/config.yaml')}` +
    (finite(r.status.seed) ? ` --seed ${r.status.seed}` : ''));
  lines.push(`fullrank report ${runs.map(r => shellWord(r.path)).join(' ')} -o report.html`);
  $('commands').append(el('pre', { tabindex: 0, 'aria-label': 'Commands' }, lines.join('\n')));
  const s = key => r => r.status[key];
  const facts = [
    ['folder', r => r.path, 'mono hash'], ['state', s('state')], ['seed', s('seed')],
    ['weights_sha256', s('weights_sha256'), 'mono hash'],
    ['method', s('method')],
    ['model', r => [nested(r, 'model', 'name'), finite(nested(r, 'model', 'parameters'))
      ? `${nested(r, 'model', 'parameters').toLocaleString('en-GB')} parameters` : null]
      .filter(Boolean).join(', ')],
    ['data', r => [nested(r, 'data', 'name'), finite(nested(r, 'data', 'train'))
      ? `${nested(r, 'data', 'train')} training, ${nested(r, 'data', 'test')} held-out images`
      : null].filter(Boolean).join(', ')],
    ['data fingerprint', r => nested(r, 'data', 'fingerprint'), 'mono hash'],
    ['machine', s('host')], ['kernel table', s('kernel')], ['threads', s('threads')],
    ['fullrank', s('version')], ['compiler', s('compiler')], ['started', s('started')],
    ['ended', s('ended')], ['time', r => duration(r.status.seconds)],
    ['images per second', r => finite(lastOf(r, 'images_per_s'))
      ? Math.round(lastOf(r, 'images_per_s')) : null],
    ['exit code', s('exit')], ['message', s('message')],
  ];
  const body = el('tbody', {});
  for (const [name, pick, cls] of facts) {
    const cells = runs.map(r => { const v = pick(r); return v === undefined || v === null ||
      v === '' ? null : String(v); });
    if (cells.some(c => c !== null))
      body.append(el('tr', {}, el('th', { scope: 'row' }, name),
        ...cells.map(c => el('td', { class: cls }, c === null ? '–' : c))));
  }
  $('fact-table').append(el('table', {}, el('thead', {}, el('tr', {}, el('th', { scope: 'col' },
    'Fact'), ...runHeads(''))), body));
}

/* ---- all of it -------------------------------------------------------------------------- */

function drawAll()
{
  for (const c of charts) c.draw();
  if (mapped.length) {
    drawSpectra();
    setEpoch(state.epoch);
  }
}

Chart.defaults.font.family = 'system-ui, -apple-system, "Segoe UI", Roboto, sans-serif';
heading();
maps();
spectrumPanels();
pickers();
curves();
numberTable();
rowTables();
pairSets();
settings();
again();
drawAll();
dark.addEventListener('change', drawAll);
})();
