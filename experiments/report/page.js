/* The page itself: verdicts, tables, pairs, commands; and at the end the start of all.
 * Text only ever enters as text nodes, so no name in a run can become markup. */

/* ---- the verdicts ----------------------------------------------------------------- */

function gauge(label, value, fraction, marked, key)
{
  const bar = el('div', { class: 'bar', 'aria-hidden': true });
  const place = x => `${100 * Math.min(1, Math.max(0, x))}%`;
  if (finite(fraction)) bar.append(el('div', { class: 'fill', '--at': place(fraction) }));
  for (const x of marked.filter(finite))
    bar.append(el('div', { class: 'mark', '--at': place(x) }));
  return el('div', { class: 'gauge' }, el('span', {}, label),
    el('span', { class: 'value' }, value), bar,
    key ? el('span', { class: 'key' }, key) : null);
}

/* A share of right classes beside what it has to be held against. */
function accuracy(r, key, word)
{
  const marked = BASELINES[key].map(([name, k]) => [name, nested(r, 'baseline', k)])
    .filter(p => finite(p[1]));
  const value = lastOf(r, key);
  return gauge(word, show(key, value), value, marked.map(p => p[1]),
    marked.length ? 'marks: ' +
      marked.map(([name, x]) => `${name} ${show(key, x)}`).join(' · ') : null);
}

function strip(r)
{
  const untrained = epochsOf(r)[0] === 0 ? 1 : 0;     // a network before training has no verdict
  const words = column(r, 'verdict').slice(untrained);
  if (words.length < 2) return null;
  const shown = words.slice(-24), from = words.length - shown.length + untrained;
  return el('div', { class: 'gauge' }, el('span', {}, 'Verdict by epoch'),
    el('span', {}, from > untrained ? `last ${shown.length}` : ''),
    el('ol', { class: 'strip' }, ...shown.map((w, i) => {
      const kind = kindOf(w);
      const say = `epoch ${epochsOf(r)[from + i]}: ${w || 'no verdict'}`;
      return el('li', { '--tone': `var(--${kind})`, title: say, 'aria-label': say },
        VERDICTS[kind].sign);
    })));
}

/* The numbers the verdict and its reader look at first. */
function gauges(r)
{
  const own = extra.gauges(r);
  if (own) return own;
  const d = lastOf(r, 'd'), std = lastOf(r, 'collapse/std');
  const erank = lastOf(r, 'collapse/erank'), rank = show('collapse/erank', erank);
  const limit = data.limits.collapse_std;
  return [
    gauge('√d · std of z', show('collapse/std', std), std, [limit],
      `mark: under ${limit} is a complete collapse`),
    gauge('effective rank of z', finite(erank) && finite(d) ? `${rank} of ${d}` : rank,
      erank / d, []),
    accuracy(r, 'eval/knn', 'kNN accuracy of h'),
    ...(finite(lastOf(r, 'eval/linear'))
      ? [accuracy(r, 'eval/linear', 'linear probe of h')] : []),
  ];
}

/* Why it came to this verdict, likeliest first, with what the run has of it, and a way out. */
function causes(r, kind)
{
  const has = name => extra.fact(r, name);
  const some = (VERDICTS[kind].causes || []).filter(c => c.holds(has));
  if (!some.length) return null;
  return el('details', { class: 'causes', open: runs.length < 3 },
    el('summary', {}, 'Likely causes, in order, and what to try'),
    el('ol', {}, ...some.map(c => {
      const here = c.shows.map(has).filter(Boolean).join(', ');
      return el('li', {}, c.why, here ? ` Here: ${here}.` : '', ' Try ',
        el('code', {}, c.fix), c.or ? ` or ${c.or}.` : '.');
    })));
}

function card(r, i)
{
  const word = lastOf(r, 'verdict') || 'no verdict', kind = kindOf(word);
  const s = r.status.state, notes = r.notes.map(n => el('li', {}, n));
  const done = lastOf(r, 'epoch'), all = r.status.epochs;
  return el('article', { class: 'card', '--tone': `var(--${kind})`,
    '--run': `var(--run-${i % 8})` },
    el('div', { class: 'name' }, tag(i), el('h3', {}, r.label),
      el('span', { class: 'badge' }, s === 'finished' ? plural(done, 'epoch')
        : `${s} at ${finite(done) ? done : '–'} of ${finite(all) ? all : '–'}`)),
    el('p', { class: 'verdict' }, `${VERDICTS[kind].sign} ${word}`),
    lastOf(r, 'why') ? el('p', { class: 'why' }, lastOf(r, 'why')) : null,
    el('p', { class: 'meaning' }, kind === 'healthy' && hasCodes(r) ? HEALTHY_CODES
      : VERDICTS[kind].means),
    causes(r, kind), ...(epochsOf(r).length ? gauges(r) : []), strip(r),
    notes.length ? el('ul', { class: 'notes' }, ...notes) : null);
}

function heading()
{
  const same = pick => { const all = new Set(runs.map(pick)); return all.size === 1
    ? [...all][0] : null; };
  const method = same(r => r.status.method), set = same(r => nested(r, 'data', 'name'));
  const model = same(r => nested(r, 'model', 'name'));
  $('title').textContent = [method || 'Several methods',
    set ? `on ${set}` : 'on several data sets',
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

/* ---- tables ----------------------------------------------------------------------- */

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
  if (BASELINES[base(key)])
    return BASELINES[base(key)]
      .map(([word, k]) => `${word} ${agreedNumber(key, 'baseline', k)}`).join('; ');
  const own = runs.flatMap(r => extra.references(key, r).map(p => p[0]));
  if (own.length)
    return [...new Set(own)].map(word => `${word} ` + agreed(r => {
      const p = extra.references(key, r).find(q => q[0] === word);
      return p && finite(p[1]) ? show(key, p[1]) : null;
    })).join('; ');
  const some = runs.some(r => finite(nested(r, 'reference', key)));
  const ideal = some ? `${agreedNumber(key, 'reference', key)} ${REFERENCE}` : '';
  return key === 'collapse/std'
    ? [ideal, `under ${data.limits.collapse_std} collapsed`].filter(Boolean).join('; ')
    : ideal;
}

function numberTable()
{
  const body = el('tbody', {}), columns = runs.length + 2;
  for (const key of metricKeys().filter(k => !['lr', 'tau', 'images_per_s'].includes(k))) {
    const m = METRICS[key] || wordsOf(key), embeds = ofEmbeddings(key);
    body.append(el('tr', { class: 'metric' },
      el('th', { scope: 'rowgroup', colspan: columns },
        el('div', { class: 'stay' }, m.name, el('span', { class: 'read' }, m.read)))));
    for (const k of embeds && has('h/' + key) ? [key, 'h/' + key] : [key])
      body.append(el('tr', {},
        el('th', { scope: 'row' }, !embeds ? 'value' : k === key ? 'of z' : 'of h'),
        ...runs.map(r => el('td', { class: 'number' }, show(k, lastOf(r, k)))),
        el('td', { class: 'reference' }, referenceText(k))));
  }
  $('number-table').append(el('table', {}, el('thead', {}, el('tr', {},
    el('th', { scope: 'col' }, 'Number'), ...runHeads('number'),
    el('th', { scope: 'col' }, 'Reference'))), body));
  const all = key => agreed(r => lastOf(r, key));
  $('basis').textContent = `Computed on n = ${all('n')} held-out images, without ` +
    `augmentation, at epoch ${all('epoch')}. z is what the loss sees, d = ${all('d')} ` +
    `wide; h is what you keep, ${all('r')} wide. LID looks at k = ${all('k')} ` +
    `neighbours; kNN at ${all('knn_k')} in a bank of ${all('bank')} training images. ` +
    `“${REFERENCE}” is the value that evenly spread Gaussian data give at this n and ` +
    'width: about the best a metric can show.';
}

function rowTables()
{
  const keys = metricKeys();
  const name = k => (METRICS[k] || wordsOf(k)).name;
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
  const chosen = runs.map(r => new Map(r.config.map(([k, v, o]) => [k, [v, o]])));
  const keys = new Set(runs.flatMap(r => r.config.map(row => row[0])));
  return [...keys].map(key => {
    const cells = chosen.map(m => m.get(key));
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
    $('differences').textContent = `All ${plural(rows.length, 'setting')} of the run, ` +
      'and where each value came from.';
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

/* ---- augmented pairs -------------------------------------------------------------- */

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
    const sides = { original: 'Image', view1: 'View 1', view2: 'View 2' };
    for (const [side, word] of Object.entries(sides)) {
      const bytes = atob(p[side]);
      const row = el('div', { class: 'row', role: 'img', '--count': count,
        'aria-label': `${word}: ${plural(count, 'image')} of ${p.w} by ${p.h} pixels` });
      for (let i = 0; i < count; i++) row.append(drawImage(bytes, i * size, p));
      box.append(el('span', { class: 'side' }, word), row);
    }
    into.append(box);
  });
}

/* ---- again ------------------------------------------------------------------------ */

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
    (finite(r.status.seed) ? ` --seed ${r.status.seed}` : '') + ' --out again');
  const paths = runs.map(r => shellWord(r.path)).join(' ');
  lines.push(`fullrank report ${paths} -o report.html`);
  $('commands').append(el('pre', { tabindex: 0, 'aria-label': 'Commands' },
    lines.join('\n')));
  const s = key => r => r.status[key];
  const facts = [
    ['folder', r => r.path, 'mono hash'], ['state', s('state')], ['seed', s('seed')],
    ['weights_sha256', s('weights_sha256'), 'mono hash'],
    ['method', s('method')],
    ['model', r => [nested(r, 'model', 'name'), finite(nested(r, 'model', 'parameters'))
      ? `${nested(r, 'model', 'parameters').toLocaleString('en-GB')} parameters` : null]
      .filter(Boolean).join(', ')],
    ['data', r => [nested(r, 'data', 'name'), finite(nested(r, 'data', 'train'))
      ? `${nested(r, 'data', 'train')} training, ${nested(r, 'data', 'test')} held-out ` +
        'images' : null].filter(Boolean).join(', ')],
    ['data fingerprint', r => nested(r, 'data', 'fingerprint'), 'mono hash'],
    ['machine', s('host')], ['kernel table', s('kernel')], ['threads', s('threads')],
    ['fullrank', s('version')], ['compiler', s('compiler')], ['started', s('started')],
    ['ended', s('ended')], ['time', r => duration(r.status.seconds)],
    ['images per second', r => finite(lastOf(r, 'images_per_s'))
      ? Math.round(lastOf(r, 'images_per_s')) : null],
    ['waiting for data', r => finite(lastOf(r, 'data_wait'))
      ? `${(100 * lastOf(r, 'data_wait')).toFixed(1)} % of the training time` : null],
    ['exit code', s('exit')], ['message', s('message')],
  ];
  const body = el('tbody', {});
  for (const [name, pick, cls] of facts) {
    const cells = runs.map(r => String(pick(r) ?? '') || null);
    if (cells.some(c => c !== null))
      body.append(el('tr', {}, el('th', { scope: 'row' }, name),
        ...cells.map(c => el('td', { class: cls }, c === null ? '–' : c))));
  }
  $('fact-table').append(el('table', {}, el('thead', {}, el('tr', {},
    el('th', { scope: 'col' }, 'Fact'), ...runHeads(''))), body));
}

/* ---- all of it -------------------------------------------------------------------- */

function drawAll()
{
  for (const c of charts) c.draw();
  extra.draw();
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
extra.start();
curves();
numberTable();
rowTables();
pairSets();
settings();
again();
drawAll();
dark.addEventListener('change', drawAll);
