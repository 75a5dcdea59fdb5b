"use strict";
// The losses and the model, as losslab's Python has them; a test compares both.

const sum = (numbers) => numbers.reduce((a, b) => a + b, 0);
const mean = (numbers) => sum(numbers) / numbers.length;
const highest = (numbers) => numbers.reduce((a, b) => Math.max(a, b), -Infinity);
const length = (numbers) => Math.sqrt(sum(numbers.map((x) => x * x)));

function softmax(logits) {
  const top = highest(logits);
  const grown = logits.map((z) => Math.exp(z - top));
  const all = sum(grown);
  return grown.map((x) => x / all);
}

function nll(logits, target) {
  const top = highest(logits);
  return Math.log(sum(logits.map((z) => Math.exp(z - top)))) + top - logits[target];
}

const came = (j, target) => (j === target ? 1 : 0);
const EPSILON = 0.1;

const LOSSES = {
  cross_entropy: {
    value: nll,
    gradient: (z, y) => softmax(z).map((p, j) => p - came(j, y)),
  },
  label_smoothing: {
    value: (z, y) => nll(z, y) + EPSILON * (z[y] - mean(z)),
    gradient: (z, y) => softmax(z).map((p, j) => p - (1 - EPSILON) * came(j, y) - EPSILON / z.length),
  },
  squentropy: {
    value: (z, y) => nll(z, y) + sum(z.map((x, j) => (j === y ? 0 : x * x))) / (z.length - 1),
    gradient: (z, y) => softmax(z).map((p, j) => p - came(j, y) + (j === y ? 0 : (2 * z[j]) / (z.length - 1))),
  },
  mse: {
    value: (z, y) => mean(z.map((x, j) => (x - came(j, y)) ** 2)),
    gradient: (z, y) => z.map((x, j) => (2 * (x - came(j, y))) / z.length),
  },
};

// --- the scalar GPT ----------------------------------------------------------------------------

const times = (matrix, vector) => matrix.map((row) => sum(row.map((w, i) => w * vector[i])));
const plus = (a, b) => a.map((x, i) => x + b[i]);

function normed(vector, epsilon) {
  const scale = 1 / Math.sqrt(mean(vector.map((x) => x * x)) + epsilon);
  return vector.map((x) => x * scale);
}

class Model {
  // `shapes`: [name, rows, columns] of each matrix; `packed`: all weights in that order, float64 in base64
  constructor(packed, shapes, constants) {
    const bytes = Uint8Array.from(atob(packed), (c) => c.charCodeAt(0));
    const numbers = new Float64Array(bytes.buffer);
    let at = 0;
    this.weights = {};
    this.constants = constants;
    for (const [name, rows, columns] of shapes) {
      this.weights[name] = Array.from({ length: rows }, () => Array.from(numbers.subarray(at, (at += columns))));
    }
  }

  // the logits after each of the tokens
  logits(tokens) {
    const { weights, constants } = this;
    const keys = [], values = [];
    return tokens.map((token, position) => {
      const norm = (vector) => normed(vector, constants.epsilon);
      let hidden = norm(plus(weights["token embedding"][token], weights["position embedding"][position]));
      let x = norm(hidden);
      const query = times(weights.query, x);
      keys.push(times(weights.key, x));
      values.push(times(weights.value, x));
      hidden = plus(hidden, times(weights["attention output"], this.attended(query, keys, values)));
      x = times(weights["mlp in"], norm(hidden)).map((a) => Math.max(0, a));
      hidden = plus(hidden, times(weights["mlp out"], x));
      return times(weights.lm_head, hidden);
    });
  }

  attended(query, keys, values) {
    const size = this.constants.head_dim;
    const mixed = [];
    for (let start = 0; start < query.length; start += size) {
      const part = (vector) => vector.slice(start, start + size);
      const own = part(query);
      const shares = softmax(keys.map((key) => sum(part(key).map((x, i) => x * own[i])) / Math.sqrt(size)));
      for (let column = start; column < start + size; column++) {
        mixed.push(sum(shares.map((share, i) => share * values[i][column])));
      }
    }
    return mixed;
  }
}
