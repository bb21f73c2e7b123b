/* Codebooks: charts, how popular the codes are, what they keep of images, and the toy. */

Object.assign(METRICS, {
  'code/usage': { name: 'Codes in use', digits: 1, percent: true,
    read: 'The share of the codebook that the test set chooses at all: the higher the ' +
      'better, and under half of chance the book is dying.' },
  'code/perplexity': { name: 'Code perplexity', digits: 1, log: true,
    read: 'How many equally popular codes would say as much. One code that takes nearly ' +
      'all brings it to 1, however many others are hit now and then.' },
  'code/dead': { name: 'Dead codes', digits: 0,
    read: 'Codes that no vector has chosen in the last 100 training steps; the dashed ' +
      'line is what blind chance leaves of them.' },
  'code/error_relative': { name: 'Relative error of the codes', digits: 3, tiny: true,
    read: 'The squared distance from vectors to their codes, over that to the mean ' +
      'vector: 0 loses nothing, 1 is as bad as a single code for all.' },
  'recon/psnr': { name: 'Reconstruction: PSNR', digits: 2,
    read: 'How near images come back, in decibels: 3 dB more is half the squared error. ' +
      'It prefers a blur to a sharp edge in the wrong place.' },
  'recon/ssim': { name: 'Reconstruction: SSIM', digits: 3, range: [0, 1],
    read: 'Whether structure comes back: 1 is the same image, 0 is no likeness.' },
  'code/restarts': { name: 'Restarts', digits: 0,
    read: 'Codes that were thrown away and put where a vector lies, since the evaluation ' +
      'before. It should fall to 0: a book that needs it for ever does not stay alive.' },
  'recon/mse': { name: 'Reconstruction: squared error', digits: 4, tiny: true,
    read: 'Mean squared error of a pixel, white being 1.' },
  'recon/nmse': { name: 'Reconstruction: error over variance', digits: 3, tiny: true,
    read: 'The same over the variance of all pixels: 1 is an even grey page.' },
  'code/usage_max': { name: 'Codes chance would use', digits: 1, percent: true,
    read: 'The share that as many blind draws hit: what codes in use can be at best.' },
  'code/usage_eps': { name: 'Codes in real use', digits: 1, percent: true,
    read: 'The share of codes that get more than a tenth of their fair share.' },
  'code/used': { name: 'Codes in use, counted', digits: 0,
    read: 'How many codes the test set chooses.' },
  'code/perplexity_corrected': { name: 'Code perplexity, corrected', digits: 1, log: true,
    read: 'The same with what too few vectors hide added back.' },
  'code/error': { name: 'Squared error of the codes', digits: 4, tiny: true,
    read: 'Mean squared distance from a vector to its code.' },
  'code/z_rms': { name: 'Length of z', digits: 3,
    read: 'Root mean square length of the vectors. When it keeps growing, the encoder ' +
      'runs away from the codes: more commitment (beta) holds it.' },
  'code/erank': { name: 'Effective rank of the book', digits: 1,
    read: 'How many directions the codes spread in.' },
  'code/erank_used': { name: 'Effective rank of used codes', digits: 1,
    read: 'The same of the codes that are chosen.' },
  'code/participation': { name: 'Participation ratio of the book', digits: 1,
    read: 'A stricter count of directions.' },
  'code/nearest_min': { name: 'Closest two codes', digits: 3, tiny: true,
    read: 'The least distance between two codes: 0 means copies.' },
  'code/nearest_median': { name: 'Distance to the next code', digits: 3, tiny: true,
    read: 'The median distance from a code to its nearest other.' },
  'code/twins': { name: 'Twins', digits: 0, read: 'Codes that have a copy.' },
  'code/dead_epoch': { name: 'Dead codes of the epoch', digits: 0,
    read: 'Codes that no vector has chosen since the evaluation before.' },
  'code/births': { name: 'Births', digits: 0,
    read: 'Hits on codes that were dead or never hit, since the evaluation before.' },
  'code/deaths': { name: 'Deaths', digits: 0,
    read: 'Codes that went 100 steps without a hit, since the evaluation before.' },
  'code/life_p50': { name: 'Median life', digits: 0,
    read: 'Steps from the first to the last hit of a life, median.' },
  'code/life_p90': { name: 'Long lives', digits: 0,
    read: 'The same, nine tenths are shorter.' },
  'code/moved': { name: 'Codes that moved', digits: 1, percent: true,
    read: 'The share of codes that moved by more than a hundredth of their length since ' +
      'the evaluation before: a code that stands still learns nothing.' },
  'code/churn': { name: 'Vectors that changed their code', digits: 1, percent: true,
    read: 'The share since the evaluation before: it should fall as training ends.' },
  'train/code/usage': { name: 'Codes in use, training', digits: 1, percent: true,
    read: 'The same over the epoch of training, while the weights moved.' },
  'train/code/usage_max': { name: 'Codes chance would use, training', digits: 1,
    percent: true, read: 'What as many blind draws would hit.' },
  'train/code/perplexity': { name: 'Code perplexity, training', digits: 1, log: true,
    read: 'The same over the epoch of training.' },
});

const CODE_CHARTS = ['code/usage', 'code/perplexity', 'code/dead', 'code/error_relative',
  'recon/psnr', 'recon/ssim'];
const PART_CHARTS = ['code/usage', 'code/perplexity', 'code/dead', 'code/error_relative'];
const FAIR = 12;                        /* MET_CODE_FAIR: the bin of the fair share */

/* ---- facts ------------------------------------------------------------------------- */

const hasCodes = r => finite(lastOf(r, 'code/K'));
const booked = runs.map((r, i) => ({ r, i })).filter(m => hasCodes(m.r));
const isPartKey = key => /^(train\/)?code\/[gs]\d[^/]*\//.test(key);
const grouped = n => Math.round(n).toLocaleString('en-GB');

const setting = (r, key) => (r.config.find(row => row[0] === key) || [])[1];

/* "s0", "s1" ... of a book in parts; [] of a single one. */
function partsOf(r)
{
  return Object.keys(r.curve).map(k => /^code\/([gs]\d[^/]*)\/usage$/.exec(k))
    .filter(Boolean).map(m => m[1]);
}

const partKey = (key, part) => key.replace('code/', `code/${part}/`);
const partWord = name => name.replace(/([gs])(\d+)/g,
  (_, kind, n) => `${kind === 's' ? 'stage' : 'group'} ${+n + 1} `).trim();

/* Vectors that one part sees in a training step. */
function perStep(r)
{
  return lastOf(r, 'code/n') / nested(r, 'data', 'test') * Number(setting(r, 'batch'));
}

/* Perplexity of n blind draws from K codes, hits being nearly Poisson of mean m = n / K:
 * ln n - E[c ln c] / m; of many hits, ln K - (K - 1) / 2n. */
function chancePerplexity(K, n)
{
  const m = n / K;
  if (!(m > 0)) return NaN;
  if (m > 50) return K * Math.exp(-(K - 1) / (2 * n));
  let p = Math.exp(-m), sum = 0;
  for (let c = 1; c < m + 20 * Math.sqrt(m) + 30; c++) {
    p *= m / c;
    sum += p * c * Math.log(c);
  }
  return Math.exp(Math.log(n) - sum / m);
}

function codeReferences(key, r)
{
  if (!hasCodes(r)) return [];
  const K = lastOf(r, 'code/K'), mse = lastOf(r, 'recon/mse');
  switch (key) {
  case 'code/usage': return [['chance', lastOf(r, 'code/usage_max')]];
  case 'train/code/usage': return [['chance', lastOf(r, 'train/code/usage_max')]];
  case 'code/perplexity':
    return [['chance', chancePerplexity(K, lastOf(r, 'code/n'))]];
  case 'code/dead':
    return [['chance', K * (1 - 1 / K) ** (100 * perStep(r))]];
  case 'code/error_relative': return [['one code', 1]];
  case 'recon/psnr':
    return [['grey page', -10 * Math.log10(mse / lastOf(r, 'recon/nmse'))]];
  case 'recon/nmse': return [['grey page', 1]];
  default: return [];
  }
}

/* What a run has of a likely cause, by the name it has in VERDICTS. */
function codeFact(r, name)
{
  const z = column(r, 'code/z_rms').filter(finite);
  const value = { 'codes': () => `K = ${grouped(lastOf(r, 'code/K'))}`,
    'vectors a step': () => finite(perStep(r)) ? `${grouped(perStep(r))} vectors a step, ` +
      `${(perStep(r) / lastOf(r, 'code/K')).toFixed(1)} for each code` : null,
    /* under 4 for each code, chance leaves e^-4 = 2 % of them without one */
    'few vectors': () => perStep(r) / lastOf(r, 'code/K') < 4,
    'long z': () => z.length && Math.max(...z) > 2 * z[0],
    'length of z': () => z.length ? `length of z ${z[0].toFixed(2)} → ` +
      `${z[z.length - 1].toFixed(2)}` : null };
  if (!hasCodes(r)) return null;
  if (value[name]) return value[name]();
  const v = setting(r, name);
  return v === undefined ? null : `${name}=${v}`;
}

function codeGauges(r)
{
  if (!hasCodes(r)) return null;
  const K = lastOf(r, 'code/K'), get = key => lastOf(r, key);
  const chance = get('code/usage_max'), perplexity = get('code/perplexity');
  return [
    gauge('Codes in use', finite(get('code/usage')) ? `${show('code/usage',
      get('code/usage'))} of ${grouped(K)}` : '–', get('code/usage'),
      finite(chance) ? [chance, chance / 2] : [], finite(chance)
        ? `marks: chance ${show('code/usage', chance)} · under half of it the book is dying`
        : null),
    gauge('Perplexity', `${show('code/perplexity', perplexity)} of ${grouped(K)}`,
      perplexity / K, []),
    gauge('Relative error', show('code/error_relative', get('code/error_relative')),
      get('code/error_relative'), [], 'full: as bad as a single code'),
    accuracy(r, 'eval/knn', 'kNN accuracy of h'),
    ...(finite(get('eval/linear')) ? [accuracy(r, 'eval/linear', 'linear probe of h')] : []),
  ];
}

Object.assign(extra, { gauges: codeGauges, references: codeReferences, fact: codeFact,
  isPart: key => isPartKey(key) || ['code/K', 'code/D', 'code/parts', 'code/n',
    'train/code/n'].includes(key) });

/* ---- charts ------------------------------------------------------------------------ */

function codeBasis()
{
  $('code-basis').replaceChildren(...booked.flatMap(({ r, i }, k) => {
    const parts = lastOf(r, 'code/parts'), K = lastOf(r, 'code/K');
    const quantiser = setting(r, 'quantiser.name') || 'codebook', n = perStep(r);
    const books = parts > 1 ? `${parts} books of ` : '';
    return [k ? el('br', {}) : null, runs.length > 1 ? `${letter(i)}: ` : null,
      `${quantiser}, ${books}${grouped(K)} codes of ${lastOf(r, 'code/D')} numbers; ` +
      (finite(n) ? `${grouped(n)} vectors a step, ${(n / K).toFixed(1)} for each code; `
        : '') + `measured on ${finite(lastOf(r, 'code/n')) ? grouped(lastOf(r, 'code/n'))
        : 'no'} vectors of the test set` + (parts > 1 ? ', the curves below are means over the parts.' : '.')];
  }).filter(x => x !== null));
}

const partPanels = [];

function partPanel(r, i, key, parts)
{
  const canvas = el('canvas', { role: 'img' });
  const word = (METRICS[key] || wordsOf(key)).name;
  const panel = { chart: null, draw() {
    if (panel.chart) panel.chart.destroy();
    const lines = codeReferences(key, r)
      .map(([name, value]) => ({ value, strong: true, text: `${name} ${show(key, value)}` }))
      .filter(l => finite(l.value));
    panel.chart = chartOf(canvas, key, false, parts.map((p, k) =>
      curveOf(r, k, column(r, partKey(key, p)), partWord(p),
        parts.length > 12 ? '' : p, false)), lines);      // more names cover each other
  } };
  canvas.setAttribute('aria-label', `${word} of ${r.label} by part. At the end: ` +
    parts.map(p => `${partWord(p)}: ${show(key, lastOf(r, partKey(key, p)))}`).join('; '));
  panel.node = el('section', { class: 'panel' }, el('h3', {}, word),
    el('div', { class: 'plot' }, canvas));
  partPanels.push(panel);
  return panel.node;
}

function partCharts()
{
  const many = booked.map(m => ({ ...m, parts: partsOf(m.r) }))
    .filter(m => m.parts.length > 1);
  if (!many.length) return;
  $('code-parts').append(el('h3', { class: 'part' }, 'Part by part'),
    el('p', { class: 'say' }, 'A stage quantises what the stages before it left over, a ' +
      'group has a piece of every vector (s0 is the first stage, g0 the first group). ' +
      'Later stages see smaller rests: their error is relative to that rest.'));
  for (const { r, i, parts } of many)
    $('code-parts').append(runs.length > 1 ? el('h3', {}, nameOf(i)) : '',
      el('div', { class: 'charts' }, ...PART_CHARTS
        .filter(key => parts.some(p => column(r, partKey(key, p)).some(finite)))
        .map(key => partPanel(r, i, key, parts))));
}

function codeCharts()
{
  const restarts = booked.some(({ r }) => column(r, 'code/restarts').some(x => x > 0));
  const keys = CODE_CHARTS.filter(has).concat(restarts ? ['code/restarts'] : [],
    has('recon/psnr') || !has('recon/nmse') ? [] : ['recon/nmse']);     // vectors
  for (const key of keys) {
    const panel = curvePanel(key);
    charts.push(panel);
    extra.shown.add(key);
    $('code-charts').append(panel.node);
  }
}

/* ---- how popular the codes are ------------------------------------------------------ */

const heats = [];

const timesFair = b => b >= FAIR ? `×${2 ** (b - FAIR)}` : `÷${2 ** (FAIR - b)}`;

/* The bins that any epoch of any run fills, at least a factor of 8 around the fair share,
 * and the largest share in one. */
function binRange()
{
  let lo = FAIR - 3, hi = FAIR + 3, most = 0;
  for (const h of heats)
    for (const s of h.shots)
      s.bins[h.part].forEach((x, b) => {
        if (b === 0 || !(x > 0)) return;
        lo = Math.min(lo, b);
        hi = Math.max(hi, b);
        most = Math.max(most, x);
      });
  return { lo, hi, most };
}

function drawHeat(h, { lo, hi, most })
{
  const box = h.canvas.getBoundingClientRect(), ratio = window.devicePixelRatio || 1;
  const g = h.canvas.getContext('2d'), wide = box.width, high = box.height;
  if (!wide) return;
  h.canvas.width = Math.round(wide * ratio);
  h.canvas.height = Math.round(high * ratio);
  g.setTransform(ratio, 0, 0, ratio, 0, 0);
  g.clearRect(0, 0, wide, high);

  const left = 76, foot = 34, gap = 7, deadHigh = 26, right = wide - 4;
  const top = 4, rows = hi - lo + 1, column = (right - left) / h.shots.length;
  const row = (high - foot - deadHigh - gap - top) / rows;
  const yOf = b => top + (hi - b) * row, deadTop = top + rows * row + gap;
  const colour = runColour(h.i), dead = css('--dead'), soft = css('--soft');
  g.fillStyle = css('--plot');
  g.fillRect(left, top, right - left, rows * row);
  g.fillRect(left, deadTop, right - left, deadHigh);
  g.font = SMALL;
  g.textBaseline = 'middle';
  h.shots.forEach((s, k) => {
    const x = left + k * column, w = Math.max(1, column - (column > 6 ? 1 : 0));
    s.bins[h.part].forEach((share, b) => {
      if (!(share > 0)) return;
      /* the root keeps a few codes in sight beside many */
      const full = Math.min(1, b ? share / most : share);
      g.fillStyle = fade(b ? colour : dead, .1 + .9 * Math.sqrt(full));
      if (b) g.fillRect(x, yOf(b), w, Math.max(1, row - .5));
      else g.fillRect(x, deadTop, w, deadHigh);
    });
    const text = `${(100 * s.bins[h.part][0]).toFixed(0)} %`;
    if (g.measureText(text).width + 6 < column) {
      g.textAlign = 'center';
      g.fillStyle = s.bins[h.part][0] > .45 ? css('--card') : css('--ink');
      g.fillText(text, x + w / 2, deadTop + deadHigh / 2);
    }
  });
  g.strokeStyle = g.fillStyle = soft;
  g.setLineDash([8, 4]);
  g.beginPath();
  g.moveTo(left, yOf(FAIR) + row / 2);
  g.lineTo(right, yOf(FAIR) + row / 2);
  g.stroke();
  g.setLineDash([]);
  g.textAlign = 'right';
  const every = row * 3 >= 13 ? 3 : 6;
  for (let b = FAIR - 24; b <= hi; b += every)
    if (b >= lo) g.fillText(b === FAIR ? 'fair share' : timesFair(b), left - 7,
      yOf(b) + row / 2);
  g.fillStyle = dead;
  g.fillText('never', left - 7, deadTop + deadHigh / 2);
  g.fillStyle = soft;
  g.textBaseline = 'top';
  let free = -Infinity;
  h.shots.forEach((s, k) => {
    const x = left + (k + .5) * column, half = g.measureText(s.epoch).width / 2;
    if (x - half < free) return;
    g.textAlign = 'center';
    g.fillText(String(s.epoch), x, high - foot + 4);
    free = x + half + 12;
  });
  g.fillText('epoch', (left + right) / 2, high - 13);
}

function sayHeat(h)
{
  const s = h.shots[h.shots.length - 1], bins = s.bins[h.part];
  const sum = (a, b) => bins.slice(a, b).reduce((t, x) => t + (x || 0), 0);
  const p = x => `${(100 * x).toFixed(1)} %`;
  return `Epoch ${s.epoch}: ${p(sum(0, 1))} of the codes never chosen, ` +
    `${p(sum(1, FAIR - 2))} rarely (a fifth of the fair share or less), ` +
    `${p(sum(FAIR - 2, FAIR + 3))} near it, ${p(sum(FAIR + 3, 24))} more than five times ` +
    'as often.';
}

function drawHeats()
{
  const range = binRange();
  for (const h of heats) drawHeat(h, range);
}

function popularity()
{
  const shown = booked.map(m => ({ ...m, shots: m.r.shots.filter(s => s.bins) }))
    .filter(m => m.shots.length);
  if (!shown.length) {
    $('popular-title').nextElementSibling.remove();
    $('popular-title').remove();
  }
  for (const { r, i, shots } of shown) {
    const names = partsOf(r), count = shots[shots.length - 1].bins.length;
    const whole = shots.filter(s => s.bins.length === count);
    const own = Array.from({ length: count }, (_, part) => {
      const h = { i, part, shots: whole, canvas: el('canvas', { class: 'heat',
        role: 'img' }) };
      heats.push(h);
      h.say = sayHeat(h);
      h.canvas.setAttribute('aria-label', `Popularity of the codes of ${r.label}` +
        `${count > 1 ? ', ' + partWord(names[part] || '') : ''}. ${h.say}`);
      return h;
    });
    const title = el('h3', { class: 'name' }, nameOf(i));
    $('code-bins').append(count === 1
      ? el('figure', { class: 'panel' }, title, own[0].canvas,
          el('p', { class: 'caption' }, own[0].say))
      : el('figure', { class: 'panel wide' }, title, el('div', { class: 'heats' },
          ...own.map((h, part) => el('div', {}, el('h4', {}, partWord(names[part] ||
            `part ${part + 1}`)), h.canvas, el('p', { class: 'caption' }, h.say))))));
  }
  if (shown.every(m => partsOf(m.r).length < 2))     // else a run needs the whole width
    $('code-bins').dataset.count = shown.length;
  new ResizeObserver(drawHeats).observe($('code-bins'));
}

/* ---- images -------------------------------------------------------------------------- */

function madeSets()
{
  const some = booked.filter(m => m.r.pictures);
  $('made').hidden = !some.length;
  for (const { r, i } of some) {
    const p = r.pictures, size = p.w * p.h * p.c;
    const box = el('figure', { class: 'panel pairs' });
    const psnr = e => column(r, 'recon/psnr')[epochsOf(r).indexOf(e)];
    const rows = [['Original', p.original, ''], ...p.made.map(([e, bytes]) =>
      [e === 0 ? 'Untrained' : `Epoch ${e}`, bytes,
        finite(psnr(e)) ? `${psnr(e).toFixed(1)} dB` : ''])];
    if (runs.length > 1) box.append(el('h3', {}, nameOf(i)));
    for (const [word, base64, note] of rows) {
      const bytes = atob(base64);
      const row = el('div', { class: 'row', role: 'img', '--count': p.shown,
        'aria-label': `${word}: ${plural(p.shown, 'image')} of ${p.w} by ${p.h} pixels` });
      for (let k = 0; k < p.shown; k++) row.append(drawImage(bytes, k * size, p));
      box.append(el('span', { class: 'side' }, word, note ? el('br', {}) : null, note || null),
        row);
    }
    $('made-sets').append(box);
  }
}

/* ---- the toy -------------------------------------------------------------------------- */

const WAYS = [
  { name: 'q only: B learns, as in vanilla VQ',
    than: ['2–3 %', '0', '0.003–0.007'],
    say: (w, K) => `${Math.round(w.moved * K)} of ${K} codes moved, one for each target; ` +
      'no other ever gets a gradient.' },
  { name: 'W only: the layer learns, as in SimVQ',
    than: ['97–100 %', '0.50–1.09', '–'],
    say: (w, K) => `${Math.round(w.moved * K)} of ${K} codes moved: two targets drew the ` +
      'whole book along.' },
  { name: 'Both learn',
    than: ['88–97 %', '0.32–0.46', '0.001–0.016'],
    say: (w, K, all) => `${Math.round(w.moved * K)} of ${K} codes moved; W moved ` +
      `${Math.round(100 * w.turned / all[1].turned)} % as far as alone.` },
];
const film = { at: 0, running: 0, panels: [] };

/* Differences of hundredths to positions. */
function developFilm(way)
{
  let now = null;
  way.xy = way.frames.map(f => {
    now = now ? now.map((v, i) => v + f[i]) : f.slice();
    return now.map(v => v / 100);
  });
}

function filmReach()
{
  return 1.06 * Math.max(...data.toy.ways.flatMap(w => w.xy.map(farthest)), 3.2);
}

function drawFilm(canvas, way, at, reach)
{
  const box = canvas.getBoundingClientRect(), ratio = window.devicePixelRatio || 1;
  const size = box.width, g = canvas.getContext('2d'), last = way.xy.length - 1;
  if (!size) return;
  canvas.width = canvas.height = Math.round(size * ratio);
  g.setTransform(ratio, 0, 0, ratio, 0, 0);
  const unit = size / 2 / reach, x = v => size / 2 + unit * v, y = v => size / 2 - unit * v;
  const f = Math.min(last, Math.floor(at)), part = at - f;
  const a = way.xy[f], b = way.xy[Math.min(last, f + 1)], from = way.xy[0];
  const r = Math.max(1.6, size / 110);
  g.strokeStyle = css('--grid');
  g.beginPath();
  g.moveTo(x(0), 0); g.lineTo(x(0), size); g.moveTo(0, y(0)); g.lineTo(size, y(0));
  g.stroke();
  g.strokeStyle = css('--dead');
  g.lineWidth = 2.4;
  for (let k = 0; k < data.toy.targets.length; k += 2) {
    const tx = x(data.toy.targets[k] / 100), ty = y(data.toy.targets[k + 1] / 100), s = size / 40;
    g.beginPath();
    g.moveTo(tx - s, ty - s); g.lineTo(tx + s, ty + s);
    g.moveTo(tx - s, ty + s); g.lineTo(tx + s, ty - s);
    g.stroke();
  }
  for (let k = 0; k < a.length; k += 2) {
    const px = a[k] + part * (b[k] - a[k]), py = a[k + 1] + part * (b[k + 1] - a[k + 1]);
    const moved = Math.hypot(px - from[k], py - from[k + 1]) > .05;
    g.lineWidth = 1;
    if (moved) {
      g.strokeStyle = fade(css('--moved'), .35);
      g.beginPath(); g.moveTo(x(from[k]), y(from[k + 1])); g.lineTo(x(px), y(py));
      g.stroke();
      g.strokeStyle = fade(css('--soft'), .6);
      g.beginPath(); g.arc(x(from[k]), y(from[k + 1]), r * .8, 0, 7); g.stroke();
    }
    g.fillStyle = moved ? css('--moved') : css('--soft');
    g.beginPath(); g.arc(x(px), y(py), moved ? r * 1.15 : r, 0, 7); g.fill();
  }
}

function drawFilms()
{
  const reach = filmReach();
  for (const p of film.panels)
    for (const [canvas, at] of p.stills.length ? p.stills : [[p.canvas, film.at]])
      drawFilm(canvas, p.way, at, reach);
}

function setFrame(at)
{
  film.at = at;
  $('toy-step').value = Math.floor(at);
  $('toy-now').textContent = data.toy.steps[Math.floor(at)];
  drawFilms();
}

function stopFilm()
{
  cancelAnimationFrame(film.running);
  film.running = 0;
  $('toy-play').textContent = '▶ Play';
}

function playFilm()
{
  const last = data.toy.steps.length - 1, perFrame = 180;
  const from = film.at >= last ? 0 : film.at;
  let begun = null;
  const tick = time => {
    if (begun === null) begun = time;
    setFrame(Math.min(last, from + (time - begun) / perFrame));
    if (film.at < last) film.running = requestAnimationFrame(tick);
    else stopFilm();
  };
  $('toy-play').textContent = '❚❚ Pause';
  film.running = requestAnimationFrame(tick);
}

/* Four frames instead of a film for whoever wants no motion. */
function layFilms()
{
  const last = data.toy.steps.length - 1;
  const frames = [0, 5, Math.round(last / 3), last];
  stopFilm();
  $('toy-controls').hidden = calm.matches;
  for (const p of film.panels) {
    p.stills = calm.matches
      ? frames.map(f => [el('canvas', { class: 'film', 'aria-hidden': true }), f]) : [];
    p.picture.replaceChildren(...(calm.matches
      ? [el('div', { class: 'stills' }, ...p.stills.map(([c, f]) =>
          el('div', {}, c, el('p', {}, `step ${data.toy.steps[f]}`))))]
      : [p.canvas]));
  }
  drawFilms();
}

function filmPanel(way, k)
{
  const words = WAYS[k], K = way.xy[0].length / 2;
  const canvas = el('canvas', { class: 'film', role: 'img' });
  const said = words.say(way, K, data.toy.ways);
  const ours = [`${(100 * way.moved).toFixed(0)} %`,
    way.turned ? way.turned.toFixed(2) : '0', way.loss.toFixed(4)];
  const picture = el('div', { role: 'img', 'aria-label': `${words.name}: ${said}` });
  const names = ['moved > 0.05', '|ΔW|', 'end loss'];
  film.panels.push({ way, canvas, picture, stills: [] });
  return el('figure', { class: 'panel' }, el('h3', {}, words.name), picture,
    el('p', { class: 'caption' }, said),
    el('table', {}, el('thead', {}, el('tr', {}, el('th', { scope: 'col' }, ''),
      el('th', { scope: 'col' }, 'here'), el('th', { scope: 'col' }, 'elsewhere'))),
      el('tbody', {}, ...names.map((n, j) => el('tr', {},
        el('th', { scope: 'row' }, n), el('td', {}, ours[j]),
        el('td', { class: 'reference' }, words.than[j]))))));
}

function films()
{
  data.toy.ways.forEach(developFilm);
  const last = data.toy.steps.length - 1;
  $('films').append(...data.toy.ways.map(filmPanel));
  $('toy-step').max = last;
  $('toy-step').addEventListener('input', e => {
    stopFilm();
    setFrame(Number(e.target.value));
  });
  $('toy-play').addEventListener('click', () => film.running ? stopFilm() : playFilm());
  calm.addEventListener('change', layFilms);
  new ResizeObserver(drawFilms).observe($('films'));
  film.at = last;
  layFilms();
  setFrame(last);
}

/* ---- all of it ------------------------------------------------------------------------ */

extra.start = () => {
  codeBasis();
  codeCharts();
  partCharts();
  popularity();
  madeSets();
  films();
};
extra.draw = () => {
  for (const p of partPanels) p.draw();
  drawHeats();
  drawFilms();
};
