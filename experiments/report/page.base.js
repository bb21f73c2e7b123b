/* Shared by the parts of the page: the data, the state, small helpers, and the signs by
 * which runs and classes are told apart without colour. */

const data = JSON.parse(document.getElementById('data').textContent);
const runs = data.runs, sets = data.sets;
const calm = matchMedia('(prefers-reduced-motion: reduce)');
const dark = matchMedia('(prefers-color-scheme: dark)');
const state = { space: 'z', epoch: 0, ownScale: false, only: -1, hidden: new Set() };

/* What a page has beside the rest where a run has a codebook (page.codes.js): gauges in
 * place of the usual ones, references of a metric as [word, value], facts about a run by
 * their name, keys that are drawn elsewhere, what is drawn anew with the rest. */
const extra = { gauges: () => null, references: () => [], fact: () => null,
  shown: new Set(), isPart: () => false, start() {}, draw() {} };

/* ---- small helpers ---------------------------------------------------------------- */

const $ = id => document.getElementById(id);
const finite = x => typeof x === 'number' && Number.isFinite(x);
const style = getComputedStyle(document.documentElement);
const css = name => style.getPropertyValue(name).trim();
const letter = i => i < 26 ? String.fromCharCode(65 + i) : String(i + 1);
const plural = (n, word) => `${n} ${word}${n === 1 ? '' : 's'}`;

function el(tag, attributes, ...children)
{
  const e = document.createElement(tag);
  for (const [k, v] of Object.entries(attributes || {}))
    if (k.startsWith('--')) e.style.setProperty(k, v);
    else if (k.startsWith('on')) e.addEventListener(k.slice(2), v);
    else if (v !== null && v !== undefined && v !== false)
      e.setAttribute(k, v === true ? '' : v);
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
  const m = METRICS[base(key)] || wordsOf(key);
  if (!finite(x)) return '–';
  if (m.percent) return `${(100 * x).toFixed(m.digits)} %`;
  if (m.tiny && x !== 0 && Math.abs(x) < 10 ** (1 - m.digits)) return x.toExponential(1);
  if (Math.abs(x) >= 1e6) return x.toExponential(1).replace('e+', 'e');
  return x.toFixed(m.digits).replace(/^-(0(\.0*)?)$/, '$1');
}

const base = key => key.startsWith('h/') ? key.slice(2) : key;
const ofEmbeddings = key => key.startsWith('collapse/');
const inSpace = key => ofEmbeddings(key) && state.space === 'h' ? 'h/' + key : key;
const column = (r, key) => r.curve[key] || [];
const lastOf = (r, key) => column(r, key)[column(r, key).length - 1];
const epochsOf = r => column(r, 'epoch');
const nested = (r, group, key) => (r.status[group] || {})[key];

function kindOf(word)
{
  const found = Object.keys(VERDICTS).find(k => (word || '').toLowerCase().startsWith(k));
  return found || 'none';
}

/* ---- signs of runs and classes ---------------------------------------------------- */

/* Eight colours, then again with other dashes and markers; the letter always differs. */
const DASHES = [[], [7, 4], [2, 3], [9, 3, 2, 3], [4, 2], [12, 4], [1, 2],
  [6, 2, 1, 2, 1, 2]];
const MARKERS = ['circle', 'rect', 'triangle', 'rectRot', 'crossRot', 'star',
  'rectRounded', 'cross'];
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
