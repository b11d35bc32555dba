// What an answer says, by the calibration that the network brings with it.

// Returns {order, set, unsure, strange}: classes from the most probable on, those of the conformal
// set, whether the answer is not sure, and whether the picture is unlike those of the training.
// `set` and `strange` are null where the run was not calibrated for them.
export function judge({ probabilities, distance }, calibration) {
  const classes = probabilities.map((_, index) => index);
  const order = classes.sort((a, b) => probabilities[b] - probabilities[a]);
  if (!calibration) return { order, set: null, unsure: false, strange: null };
  const set = order.filter((index) => probabilities[index] >= calibration.conformal.least);
  const threshold = calibration.abstention.threshold;
  const abstains = threshold !== null && probabilities[order[0]] <= threshold;
  const limit = calibration.distance_threshold;
  const strange = distance === null || limit === null ? null : distance > limit;
  return { order, set, unsure: set.length !== 1 || abstains, strange };
}
