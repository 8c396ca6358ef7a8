/**
 * Health: how well a guest is, judged from outside by what its cgroup tree shows over time. A pure fold and a pure
 * judgement; looking is the port's (`ports/guest-witness`).
 *
 * Owns what counts as stopped, booting, booted, in a crash loop and healthy. Never enters a guest, never takes a name
 * that a guest made for a path, and never lets what a guest says raise what was seen.
 * Read in this order: judge, history, witness-facts.
 */
export { emptyHistory, loopMs, withEvent, withSample } from './history.ts';
export type { History } from './history.ts';
export { judge, unitsOf } from './judge.ts';
export type { Health, Terms, Trouble } from './judge.ts';
