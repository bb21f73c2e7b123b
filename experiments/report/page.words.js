/* What the page says: the verdicts, and for every metric its name, its digits and one
 * sentence on how to read it. */

/* Of a run with a codebook, whose verdict says nothing of the space. */
const HEALTHY_CODES = 'At least half as many codes are chosen as chance would reach.';

const VERDICTS = {
  healthy: { sign: '✓',
    means: 'Images stay apart, and the directions of the space are in use.' },
  dimensional: { sign: '▬',
    means: 'The embeddings still spread out, but along a few directions only: the rest ' +
      'of the space is empty.' },
  complete: { sign: '●',
    means: 'Nearly every image is mapped to the same point: the loss is low because ' +
      'nothing is told apart any more.' },
  codebook: { sign: '○',
    means: 'Most codes are chosen by no image: they get no gradient, so they stay where ' +
      'they are, and the book is smaller than it says.',
    /* likeliest first; `holds` sees what the run has: "quantiser.init=uniform" */
    causes: [
      { why: 'The codes start near the origin: the first step gives all vectors to the ' +
          'few codes that face them.', shows: ['quantiser.init'],
        holds: has => has('quantiser.init') === 'quantiser.init=uniform',
        fix: 'quantiser.init=kmeans' },
      { why: 'The book is large against the vectors of a step: most codes see none.',
        shows: ['codes', 'vectors a step'], holds: has => has('few vectors'),
        fix: 'quantiser.codes=256', or: 'a larger batch' },
      { why: 'The commitment is too weak: z runs away faster than the codes follow.',
        shows: ['quantiser.beta', 'length of z'], holds: has => has('long z'),
        fix: 'quantiser.beta=1' },
      { why: 'Dead codes are never restarted.', shows: ['quantiser.restart'],
        holds: has => has('quantiser.restart') === 'quantiser.restart=0',
        fix: 'quantiser.restart=0.1' },
      { why: 'This kind of book loses codes one by one. One layer moves all codes of ' +
          'SimVQ, and those of FSQ are a grid that cannot die.',
        shows: ['quantiser.name'],
        holds: has => !/simvq|fsq|lfq/.test(has('quantiser.name')),
        fix: 'quantiser.name=simvq', or: 'fsq' },
    ] },
  diverged: { sign: '✕',
    means: 'Numbers stopped being finite. This is not collapse: try a smaller learning ' +
      'rate.' },
  none: { sign: '…', means: 'No epoch has been judged.' },
};

/* What each number is called, how it is printed, and one sentence on how to read it.
 * `log` puts its axis on a logarithmic scale, `range` fixes it, `tiny` values are printed
 * with an exponent instead of as 0. */
const METRICS = {
  'loss': { name: 'Loss', digits: 3,
    read: 'What training minimises. A low loss proves nothing by itself: a collapsed ' +
      'network reaches the lowest loss of all.' },
  'collapse/std': { name: '√d · std', digits: 2, range: [0, 1.1],
    read: 'How far embeddings of length one spread: 1 is evenly over the sphere, 0 is ' +
      'a single point. It cannot see a cloud pressed into few directions.' },
  'collapse/erank': { name: 'Effective rank', digits: 1, log: true,
    read: 'How many directions of the space are in use, each counted by its share of ' +
      'the variance; near 1 all embeddings lie on a line.' },
  'collapse/rankme': { name: 'RankMe', digits: 1, log: true,
    read: 'A count of used directions seen from the origin instead of the mean, so an ' +
      'offset that all images share lowers it.' },
  'collapse/participation': { name: 'Participation ratio', digits: 1, log: true,
    read: 'A stricter count of directions, in which weak ones hardly matter; never ' +
      'above the effective rank.' },
  'collapse/lid_gmean': { name: 'LID, geometric mean', digits: 1,
    read: 'In how many directions an image’s nearest neighbours lie around it. True ' +
      'dimensions above about ten read too low, so compare it at equal n and k ' +
      'only.' },
  'collapse/lid_mean': { name: 'LID, arithmetic mean', digits: 1,
    read: 'The same local dimension, averaged so that a few unusual images can pull it ' +
      'up.' },
  'collapse/mean_cos': { name: 'Mean cosine', digits: 2, range: [0, 1],
    read: 'How alike the embeddings of two different images are on average: 0 ' +
      'unrelated, 1 the same. After a ReLU, as in h, 0.5 and more is normal.' },
  'eval/knn': { name: 'kNN accuracy of h', digits: 1, percent: true,
    read: 'How often the nearest training images in h tell the class. It reads tiny ' +
      'differences, so it can stay high through a collapse: hold it against the ' +
      'untrained network.' },
  'eval/linear': { name: 'Linear probe', digits: 1, percent: true,
    read: 'How often a linear classifier on h tells the class of all held-out images. ' +
      'What a plane can part only: hold it against raw pixels and the untrained network.' },
  'eval/online': { name: 'Online probe', digits: 1, percent: true,
    read: 'How often a linear classifier that learns beside the method tells the class ' +
      'from h: it lags behind h, so take the linear probe for the record.' },
  'collapse/uniformity': { name: 'Uniformity', digits: 2,
    read: 'How evenly embeddings fill the sphere: lower is more even, 0 is a single ' +
      'point. It hardly notices unused directions.' },
  'collapse/alignment': { name: 'Alignment', digits: 3, tiny: true,
    read: 'The mean squared distance between the two views of an image: 0 is perfect ' +
      'agreement, which collapse reaches too.' },
  'collapse/wasserstein': { name: 'Wasserstein uniformity', digits: 3,
    read: 'The distance from an even spread over all directions: 0 is even, 1.41 a ' +
      'single point.' },
  'collapse/alpha': { name: 'Spectrum slope α', digits: 2,
    read: 'How fast the spectrum falls: 0 is flat, about 1 usually good, above 2 ' +
      'steep.' },
  'collapse/mst': { name: 'Spanning-tree length', digits: 3,
    read: 'The length per image of the shortest tree that joins all embeddings: 0 when ' +
      'they fall together.' },
  'collapse/stable_rank': { name: 'Stable rank', digits: 1, log: true,
    read: 'How many directions as strong as the strongest would hold everything; an ' +
      'offset that all images share brings it near 1.' },
  'collapse/numerical_rank': { name: 'Numerical rank', digits: 0, log: true,
    read: 'How many directions have more than a thousandth of the largest variance.' },
  'collapse/top': { name: 'Concentration', digits: 3, range: [0, 1],
    read: 'How much of the variance the strongest directions hold: 0 all the same, ' +
      'near 1 a single one.' },
  'collapse/sui': { name: 'Directions used', digits: 3, range: [0, 1],
    read: 'The share of directions in use by two counts, the effective rank and the ' +
      'participation ratio; our own index.' },
  'collapse/offdiag': { name: 'Column correlation', digits: 3, tiny: true,
    read: 'The mean squared correlation between two numbers of the embedding: 1 means ' +
      'that all are copies of one.' },
  'collapse/twonn': { name: 'TwoNN dimension', digits: 1,
    read: 'In how many directions the two nearest neighbours of an image lie: the ' +
      'finest scale, and the noisiest.' },
  'collapse/cond': { name: 'Condition number', digits: 1, log: true,
    read: 'The largest variance of a direction over the smallest: 1 is even.' },
  'collapse/raw_std': { name: 'Raw std', digits: 3, tiny: true,
    read: 'How far embeddings spread before they are scaled to length one: it sees a ' +
      'collapse of scale, which the other numbers do not.' },
  'collapse/dead': { name: 'Dead units', digits: 1, percent: true,
    read: 'The share of units that hardly move from image to image.' },
  'train/alignment': { name: 'Alignment in training', digits: 3, tiny: true,
    read: 'The mean squared distance between the unit embeddings of two views, on the ' +
      'last batch of the epoch: 0 is perfect agreement, which collapse reaches too; 2 is ' +
      'none at all.' },
  'tau': { name: 'Momentum of the target', digits: 5,
    read: 'What the target keeps of itself in a step.' },
  'lr': { name: 'Learning rate', digits: 4, tiny: true,
    read: 'The size of the steps at the end of each epoch.' },
  'images_per_s': { name: 'Images per second', digits: 0,
    read: 'Training speed; it says nothing about the result.' },
};
/* What stands in status.json's "baseline" for a share of right classes. */
const BASELINES = {
  'eval/knn': [['chance', 'chance'], ['untrained network', 'untrained_knn'],
    ['raw pixels', 'raw_pixel_knn']],
  'eval/linear': [['chance', 'chance'], ['untrained network', 'untrained_linear'],
    ['raw pixels', 'raw_pixel_linear']],
};
/* For keys that are not among them. */
const wordsOf = key => key.startsWith('term/')
  ? { name: 'Term: ' + key.slice(5), digits: 4, tiny: true,
      read: 'Its mean over the epoch, before its weight. The loss is the weighted sum of ' +
        'its terms: see which of them fell, and which paid for it.' }
  : { name: key, digits: 3, read: '' };
const MAIN = ['loss', 'collapse/std', 'collapse/erank', 'collapse/mean_cos', 'eval/knn',
  'eval/linear', 'collapse/rankme', 'collapse/participation', 'collapse/lid_gmean'];
const REFERENCE = 'isotropic';          /* what status.json's "reference" holds */
