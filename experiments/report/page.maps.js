/* The maps: every held-out image as a dot, by epoch, all runs on one scale. */


/* Turns and mirrors `xy` to lie as near `onto` as it can (Procrustes in the plane): the
 * sum of products of the points is [a b; c d]; the best turn and the best mirrored turn
 * are known in closed form, and the better one is taken. */
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
  const cos = (flip ? a - d : a + d) / n, sin = (flip ? b + c : b - c) / n;
  const s = flip ? -1 : 1;
  const out = new Array(xy.length);
  for (let i = 0; i + 1 < xy.length; i += 2) {
    const x = xy[i], y = s * xy[i + 1];
    out[i] = cos * x - sin * y;
    out[i + 1] = sin * x + cos * y;
  }
  return out;
}

/* Ten-thousandths to units; every epoch fitted to the one after it, so that the last
 * stays as it was measured. */
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
  const part = span > 0 ? Math.min(1, Math.max(0, (epoch - now.epoch) / span)) : 0;
  return { now, next, part };
}

const mapped = runs.map((r, i) => ({ r, i }))
  .filter(m => m.r.shots.length && m.r.set >= 0);
let commonScale = 1;

function mapPoints(r, epoch)
{
  const { now, next, part } = around(r, epoch);
  if (!part || now.xy.length !== next.xy.length) return now.xy;
  const soft = part * part * (3 - 2 * part);
  return now.xy.map((v, i) => v + soft * (next.xy[i] - v));
}

/* The one of `own` with most of the others near: a median could lie where no dot is. */
function densest(own, px, py, size)
{
  const near = (size / 14) ** 2;
  const count = i => own.reduce((n, j) =>
    n + ((px[i] - px[j]) ** 2 + (py[i] - py[j]) ** 2 < near), 0);
  return own.map(i => ({ i, n: count(i) })).reduce((a, b) => b.n > a.n ? b : a).i;
}

/* Class names where their dots are densest, skipping those that would cover another. */
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
    const at = densest(own, px, py, size);
    const x = Math.min(size - w, Math.max(w, px[at])), y = py[at];
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
  if (!playing && unit * meanReach(xy) > 60) drawNames(g, set, px, py, size);
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
  if (Array.isArray(now.share) && now.share.every(finite) && now.share.length === 2) {
    const both = 100 * (now.share[0] + now.share[1]);
    bits.push(`these two directions hold ${both.toFixed(0)} %`);
  }
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
  drawMaps(state.epoch);
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
  commonScale = Math.max(1e-4, ...mapped.flatMap(m =>
    m.r.shots.map(s => farthest(s.xy))));
  classButtons();
  const most = Math.max(...mapped.map(m => m.r.shots[m.r.shots.length - 1].epoch));
  $('epoch').max = most;
  $('epoch').addEventListener('input', e => {
    stop();
    setEpoch(Number(e.target.value));
  });
  $('play').addEventListener('click', () => playing ? stop() : play());
  $('own-scale').addEventListener('change', e => {
    state.ownScale = e.target.checked;
    drawMaps(state.epoch);
  });
  if (most === 0) $('play').disabled = $('epoch').disabled = true;
  new ResizeObserver(() => drawMaps(state.epoch)).observe($('maps'));
  state.epoch = most;
}
